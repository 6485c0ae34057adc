"""ISMN archives in both formats, through the ismn package's file handlers, to daily layer means.

The package's own interface would write metadata beside the user's data and needs network/station folders; its
handlers of single files do neither.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from ismn.base import IsmnRoot
from ismn.const import VARIABLE_LUT
from ismn.filehandlers import DataFile

from smdown.errors import InputError
from smdown.sources.aside import SetAside
from smdown.sources.config import IsmnConfig
from smdown.sources.context import IngestContext
from smdown.sources.copies import local
from smdown.sources.depths import layer_mean
from smdown.sources.files import why_unreadable
from smdown.sources.ismn_static import STATIC, climate_of, home
from smdown.sources.items import Item, list_items
from smdown.sources.overpass import days_around
from smdown.sources.places import Place, find_places
from smdown.sources.table import PreparedStations, Station, build_table, days_of, inside_extent, none_inside
from smdown.sources.values import Float32, numbers

SUFFIXES = (".stm",)
_PERIOD = re.compile(r"_(\d{8})_(\d{8})\.stm$")
_FLAGS = r"[A-Z]{1,3}\d{0,2}(,[A-Z]{1,3}\d{0,2})*"


@dataclass(frozen=True)
class Sensor:
    """One file: a sensor at a depth."""

    item: Item
    network: str
    station: str
    latitude: float
    longitude: float
    top: float
    bottom: float
    climate: str = ""


@dataclass(kw_only=True)
class PreparedIsmn(PreparedStations):
    """Checked sensors inside the extent."""

    sensors: tuple[Sensor, ...]
    config: IsmnConfig
    context: IngestContext

    def table(self) -> xr.Dataset:
        """Return the daily layer means of every station."""
        self.files = 0
        groups: dict[tuple[str, str], list[Sensor]] = {}
        for sensor in self.sensors:
            groups.setdefault((sensor.network, sensor.station), []).append(sensor)
        stations = [self._station(group) for group in groups.values()]
        table = build_table(
            stations, self.context, {n: self.config.units_of(n) or "m3 m-3" for n in self.config.layers}
        )
        if silent := len(groups) - table.sizes["station"]:
            self.notes.append(f"{silent} stations have no good value in the period")
        return table

    def _station(self, sensors: list[Sensor]) -> Station:
        days = days_of(self.context)
        read = [
            (s, self.aside.attempt(s.item, lambda s=s: daily_values(s, self.config, days)))  # type: ignore[misc]
            for s in sensors
        ]
        good = [(sensor, values) for sensor, values in read if values is not None]
        self.files += len(good)
        series = np.stack([v for _, v in good]) if good else np.full((0, days.size), np.nan, dtype=np.float32)
        tops, bottoms = [s.top for s, _ in good], [s.bottom for s, _ in good]
        layers = {name: layer_mean(series, tops, bottoms, layer) for name, layer in self.config.layers.items()}
        first = sensors[0]
        climate = next((s.climate for s in sensors if s.climate), "")
        return Station(first.network, first.station, first.latitude, first.longitude, layers, climate)


def prepare(config: IsmnConfig, context: IngestContext) -> PreparedIsmn:
    """Check the archive and find the sensors inside the extent.

    Raises
    ------
    InputError
        In one line, if it cannot be used.
    """
    aside = SetAside(context.strict)
    every = list_items(input_files(config), (*SUFFIXES, STATIC), aside)
    items = tuple(item for item in every if item.name.lower().endswith(SUFFIXES))
    climates = {home(item): item for item in every if item.name.lower().endswith(STATIC)}
    code = next((k for k, v in VARIABLE_LUT.items() if v == config.variable), config.variable)
    wanted = [item for item in items if f"_{code}_" in item.name]
    what = f"the ISMN archive {config.paths[0]}"
    if not wanted:
        there = sorted({parts[3] for item in items if len(parts := item.name.split("_")) > 3})
        raise InputError(f"got {what} without {config.variable} ({code}); it has {', '.join(there)}; correct variable")
    found = [aside.attempt(item, lambda item=item: read_sensor(item)) for item in wanted]  # type: ignore[misc]
    sensors = [sensor for sensor in found if sensor is not None]
    if not sensors:
        raise aside.nothing_left(what, len(wanted))
    inside = tuple(
        replace(s, climate=climate_of(climates.get(home(s.item))))
        for s in sensors
        if inside_extent(context, s.longitude, s.latitude)
    )
    if not inside:
        raise none_inside(context, what, len({(s.network, s.station) for s in sensors}))
    _check_layers(inside, config, what)
    inputs = f"{len(inside)} files of the ISMN archive {Place(config.paths[0]).name}"
    return PreparedIsmn(inputs=inputs, aside=aside, sensors=inside, config=config, context=context)


def input_files(config: IsmnConfig) -> tuple[Place, ...]:
    """Return the files and archives that the source names."""
    return find_places(config.paths, (*SUFFIXES, STATIC, ".zip"))


def _check_layers(sensors: tuple[Sensor, ...], config: IsmnConfig, what: str) -> None:
    for name, layer in config.layers.items():
        top, bottom = layer.depth
        if not any(top - 1e-6 <= s.top and s.bottom <= bottom + 1e-6 for s in sensors):
            depths = sorted({(s.top, s.bottom) for s in sensors})
            listed = ", ".join(f"{a:g}-{b:g}" for a, b in depths[:8])
            raise InputError(
                f"got {what} with no sensor of {name} within {top:g}-{bottom:g} m; it has {listed} m; correct layers"
            )


def read_sensor(item: Item) -> Sensor:
    """Return what a file says of its sensor.

    Raises
    ------
    InputError
        If it is no ISMN file, or places its sensor nowhere.
    """
    with opened(item) as file:
        meta, parts = file.metadata, item.name.split("_")
        depth = meta["variable"].depth
        place = float(meta["latitude"].val), float(meta["longitude"].val)
        if not (abs(place[0]) <= 90 and abs(place[1]) <= 360):
            raise InputError(f"got {item}, whose station lies nowhere (latitude {place[0]:g}, longitude {place[1]:g})")
        return Sensor(item, parts[1], parts[2], *place, float(depth.start), float(depth.end))


@contextmanager
def opened(item: Item) -> Iterator[Any]:
    """Open one file of an archive with the ismn package; a zipped one is unpacked alone, to a folder of its own.

    Raises
    ------
    InputError
        If it is no ISMN file.
    """
    with tempfile.TemporaryDirectory(prefix="smdown-ismn-") as folder, _unpacked(item, Path(folder)) as path:
        try:
            whole = ends_with_line(path)
        except OSError as error:
            raise InputError(f"got {item}, {why_unreadable(path, 'an ISMN file', error)}; download it again") from error
        if not whole:
            raise InputError(f"got {item}, {why_unreadable(path, 'an ISMN file', ValueError('cut short'))}")
        try:
            file = DataFile(IsmnRoot(path.parent), path.name, temp_root=folder)
        except Exception as error:  # the package raises whatever its parsing meets
            problem = ValueError(_last_line(error))
            raise InputError(f"got {item}, {why_unreadable(path, 'an ISMN file', problem)}") from error
        yield file


@contextmanager
def _unpacked(item: Item, folder: Path) -> Iterator[Path]:
    """Give the file itself, or the member of an archive as a file of the folder."""
    if item.member is None:
        with local(item.place) as path:
            yield path
    else:
        (folder / item.name).write_bytes(item.read())
        yield folder / item.name


def ends_with_line(path: Path) -> bool:
    """Whether a text file ends with a line's end, as the archive's files do; one that was cut short does not."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - 64))
        return stream.read().rstrip(b" \t").endswith((b"\n", b"\r"))


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1][:160] if str(error).strip() else type(error).__name__


def _check_rows(item: Item, times: Any, flags: pd.Series[str]) -> None:
    """Raise InputError where times do not rise within the period of the file's name, or a flag is none."""
    if not (times.is_monotonic_increasing and times.is_unique):
        raise InputError(f"got {item}, whose times do not rise from line to line; it is damaged")
    if len(odd := flags[~flags.str.fullmatch(_FLAGS)]):
        raise InputError(f"got {item}, which flags a value with {odd.iloc[0]!r}; it is damaged")
    if period := _PERIOD.search(item.name):
        first, last = (pd.to_datetime(text, format="%Y%m%d", errors="coerce") for text in period.groups())
        if len(times) and not (times[0] >= first and times[-1] < last + pd.Timedelta(days=1)):
            raise InputError(f"got {item}, with times from {times[0]} to {times[-1]}; it is damaged")


def daily_values(sensor: Sensor, config: IsmnConfig, days: Any) -> Float32:
    """Return the daily means (UTC) of a sensor's good values.

    Parameters
    ----------
    sensor : Sensor
        Which file.
    config : IsmnConfig
        Flags to keep, values that a day needs, limits.
    days : ndarray of datetime64
        The period.

    Returns
    -------
    ndarray
        ``(day,)``, NaN for missing.
    """
    with opened(sensor.item) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the package uses what pandas is about to drop
                frame = file.read_data()
        except Exception as error:  # the package raises whatever its parsing meets
            raise InputError(f"got {sensor.item}, which is damaged ({_last_line(error)})") from error
    value = numbers(frame[config.variable], f"{sensor.item}, whose {config.variable}")
    flags = frame[f"{config.variable}_flag"].astype(str).str.strip()
    _check_rows(sensor.item, frame.index, flags)
    low, high = config.valid_range or (-np.inf, np.inf)
    good = value[flags.isin(config.flags) & value.between(low, high)]
    day, inside = days_around(pd.DatetimeIndex(good.index), sensor.longitude, config.overpass, config.window_hours)
    groups = good[inside].groupby(day[inside])
    mean = groups.mean().where(groups.count() >= config.minimum_values)
    return mean.reindex(pd.DatetimeIndex(days)).to_numpy(dtype=np.float32)
