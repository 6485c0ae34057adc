"""Tables of stations as CSV or Parquet files, one for all or one a station, loose or zipped, to daily values.

Parquet needs the extra ``parquet`` (pyarrow).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from smdown.errors import InputError
from smdown.sources.aside import SetAside
from smdown.sources.config import StationsCsvConfig
from smdown.sources.context import IngestContext
from smdown.sources.files import why_bad_bytes
from smdown.sources.items import Item, list_items
from smdown.sources.places import Place, find_places
from smdown.sources.table import PreparedStations, Station, build_table, days_of, inside_extent, none_inside
from smdown.sources.values import FillWatch, clean, numbers

PARQUET = (".parquet", ".pq")
SUFFIXES = (".csv", ".txt", *PARQUET)
_ONE_PLACE = 1e-3
"""Degrees by which the places of a station's rows may differ."""


@dataclass(kw_only=True)
class PreparedCsv(PreparedStations):
    """Checked tables, joined: station, latitude, longitude, date and one column a layer."""

    rows: pd.DataFrame
    config: StationsCsvConfig
    context: IngestContext

    def table(self) -> xr.Dataset:
        """Return the daily values of every station."""
        stations = [self._station(str(name), rows) for name, rows in self.rows.groupby("station")]
        return build_table(
            stations, self.context, {n: self.config.units_of(n) or "m3 m-3" for n in self.config.variables}
        )

    def _station(self, name: str, rows: pd.DataFrame) -> Station:
        days = pd.DatetimeIndex(days_of(self.context))
        layers = {}
        if again := int(rows["date"].duplicated().sum()):
            self.notes.append(f"{name}: {again} repeated times averaged")
        for layer in self.config.variables:
            daily = rows[layer].groupby(rows["date"].dt.floor("D")).mean()
            layers[layer] = daily.reindex(days).to_numpy(dtype=np.float32)
        first = rows.iloc[0]
        return Station(self.config.network, name, float(first["latitude"]), float(first["longitude"]), layers)


def prepare(config: StationsCsvConfig, context: IngestContext) -> PreparedCsv:
    """Check the tables and find the stations inside the extent.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    aside, what = SetAside(context.strict), f"{config.paths[0]}"
    items = list_items(input_files(config), SUFFIXES, aside)
    _need_pyarrow(items)
    tables = [aside.attempt(item, lambda item=item: read_table(item, config)) for item in items]  # type: ignore[misc]
    good = [frame for frame in tables if frame is not None]
    if not good:
        raise aside.nothing_left(what, len(items))
    rows = pd.concat(good, ignore_index=True)
    days = rows["date"].dt.strftime("%Y-%m-%d")
    within = rows[(days >= context.start) & (days <= context.end)]
    if within.empty:
        raise InputError(
            f"got {what} from {days.min()} to {days.max()}, none in the period {context.start} to {context.end}; "
            "change the period, or name another table"
        )
    places = within.groupby("station")[["longitude", "latitude"]].first()
    inside = [str(n) for n, lon, lat in places.itertuples() if inside_extent(context, float(lon), float(lat))]
    if not inside:
        raise none_inside(context, what, len(places))
    return PreparedCsv(
        inputs=f"{len(inside)} stations of {Place(config.paths[0]).name}",
        rows=within[within["station"].isin(inside)],
        aside=aside,
        files=len(good),
        config=config,
        context=context,
    )


def input_files(config: StationsCsvConfig) -> tuple[Place, ...]:
    """Return the files and archives that the source names."""
    return find_places(config.paths, (*SUFFIXES, ".zip"))


def read_table(item: Item, config: StationsCsvConfig) -> pd.DataFrame:
    """Return one file's rows with our own column names.

    Raises
    ------
    InputError
        If it is unreadable, lacks a column, or its dates cannot be read.
    """
    frame = _parquet(item) if item.name.lower().endswith(PARQUET) else _csv(item)
    columns = {"latitude": config.latitude, "longitude": config.longitude, "date": config.date, **config.variables}
    if config.station_pattern is None:
        columns["station"] = config.station
    if missing := [c for c in columns.values() if c not in frame.columns]:
        raise InputError(f"got {item} without the column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}")
    out = pd.DataFrame({ours: frame[theirs] for ours, theirs in columns.items()})
    if config.station_pattern is not None:
        out["station"] = _station_of(item, config.station_pattern)
    out["station"] = out["station"].astype(str)
    try:
        out["date"] = _dates(out["date"])
    except (ValueError, TypeError) as error:
        raise InputError(f"got {item}, whose column {config.date!r} holds no ISO dates; write YYYY-MM-DD") from error
    _check_places(out, item, columns)
    for layer in config.variables:
        column = numbers(out[layer], f"{item}, whose column {columns[layer]!r}").to_numpy()
        values = clean(column, valid_range=config.range_of(layer))
        out[layer] = values
        watch = FillWatch()
        watch.look(values)
        if verdict := watch.verdict("set valid_range"):
            raise InputError(f"got {item}, whose {layer} {verdict}")
    return out


def _check_places(rows: pd.DataFrame, item: Item, columns: dict[str, str]) -> None:
    """Turn places into numbers, in place; raise InputError where a station lies nowhere, or at several places."""
    for key, most in (("latitude", 90.0), ("longitude", 360.0)):
        rows[key] = numbers(rows[key], f"{item}, whose column {columns[key]!r}").astype(np.float64)
        if len(lost := rows[~(rows[key].abs() <= most)]):
            first = lost.iloc[0]
            raise InputError(f"got {item}, whose station {first['station']} lies nowhere ({key} {first[key]:g})")
    spread = rows.groupby("station")[["latitude", "longitude"]].agg(np.ptp).max(axis=1)
    if len(spread) and not spread.max() <= _ONE_PLACE:
        raise InputError(f"got {item}, whose station {spread.idxmax()} lies at several places; name each of them")


def _csv(item: Item) -> pd.DataFrame:
    content = item.read()
    if cut_short(content):
        raise InputError(f"got {item}, whose last line has fewer fields than its first: it is cut short")
    if content and not content.rstrip(b" \t").endswith((b"\n", b"\r")):
        raise InputError(f"got {item}, whose last line does not end: it may be cut short; end it if it is whole")
    if content.lstrip().startswith(b"<"):
        raise InputError(f"got {item}, {why_bad_bytes(content[:512], 'CSV')}; download it again")
    try:
        return pd.read_csv(io.BytesIO(content))
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"got {item}, {why_bad_bytes(content[:512], 'CSV', error)}; mend it") from error


def _parquet(item: Item) -> pd.DataFrame:
    content = item.read()
    try:
        frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise InputError(f"got {item}, {why_bad_bytes(content[:512], 'Parquet', error)}; download it again") from error
    return frame.reset_index() if any(frame.index.names) else frame


def _need_pyarrow(items: Sequence[Item]) -> None:
    """Raise InputError where a table is Parquet and what reads it is not installed."""
    tables = [item for item in items if item.name.lower().endswith(PARQUET)]
    if tables and find_spec("pyarrow") is None:
        raise InputError(f"got {tables[0]}, which needs pyarrow; install smdown[parquet]")


def _dates(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return ISO texts, days or times as times without zone, UTC."""
    if column.dtype.kind == "M":
        return pd.to_datetime(column, utc=True).dt.tz_localize(None)
    return pd.to_datetime(column.astype(str), utc=True, format="ISO8601").dt.tz_localize(None)


def cut_short(content: bytes) -> bool:
    """Whether the last line has fewer fields than the first."""
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    rows = list(csv.reader([lines[0], lines[-1]])) if lines else [[], []]
    return len(rows[-1]) < len(rows[0])


def _station_of(item: Item, pattern: str) -> str:
    match = re.search(pattern, item.name)
    if match is None:
        raise InputError(f"got {item}, whose name does not match station_pattern {pattern!r}; correct it")
    return match[1]
