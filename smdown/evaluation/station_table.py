"""One row per station and layer: figures of every estimate, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from smdown.evaluation import metrics
from smdown.evaluation.stations import UNKNOWN, comparable, members_of

Array = npt.NDArray[np.float64]

BASELINE = "coarse_nearest"
"""What the gain of downscaling is measured from."""
FIGURES = ("r", "rho", "anomaly_r", "bias", "rmse", "ubrmse", "slope")
"""Figures with an interval, in the order of their columns."""
MIN_PAIRS = 10
"""Fewest pairs for which a station's own correlation and slope are given (as pytesmo and QA4SM do)."""
_CORRELATIONS = ("r", "rho", "slope")
_DRAWN = ("r", "bias", "rmse", "ubrmse")
"""Figures that get the interval of the moving-block bootstrap too."""
_CHUNK = 128


@dataclass(frozen=True, eq=False)
class Series:
    """Matchups of some stations as series of days.

    Parameters
    ----------
    names : list of str
        Stations.
    observed : ndarray
        ``(station, day)``, NaN for missing.
    members : dict
        Estimates of the same shape.
    """

    names: list[str]
    observed: Array
    members: dict[str, Array]


def station_table(table: pd.DataFrame, places: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """Return one row per station and layer.

    Only days count on which every estimate is known, so that estimates compare.

    Parameters
    ----------
    table : DataFrame
        Matchups.
    places : dict
        Longitude and latitude by station.

    Returns
    -------
    DataFrame
        ``station, network, climate, layer, held_out, cell, longitude, latitude, n``; ``days`` from the first to the
        last and ``block_days``, the blocks' length of the bootstrap; then for every estimate `FIGURES` with ``_low``
        and ``_high`` (see :func:`metrics.intervals`), ``_n_eff``, ``_gdown``, and ``_block_low``, ``_block_high`` of
        some. Empty without matchups.
    """
    parts = [_group(rows, places) for _, rows in table.groupby(["layer", "held_out"], sort=True)] if len(table) else []
    whole = pd.concat([p for p in parts if len(p)], ignore_index=True) if any(map(len, parts)) else pd.DataFrame()
    return whole.sort_values(["station", "layer"], ignore_index=True) if len(whole) else whole


def _group(table: pd.DataFrame, places: dict[str, tuple[float, float]]) -> pd.DataFrame:
    rows = comparable(table.dropna(axis="columns", how="all"))
    out = [pd.DataFrame(_figures(series), index=series.names) for series in series_of(rows)]
    if not out:
        return pd.DataFrame()
    keys = [k for k in ("station", "network", "climate", "layer", "held_out", "cell") if k in rows]
    first = rows.drop_duplicates("station").set_index("station", drop=False)[keys]
    if "climate" not in first:
        first.insert(2, "climate", UNKNOWN)
    found = pd.concat(out)
    place = [places.get(str(name), (math.nan, math.nan)) for name in found.index]
    left = first.loc[found.index].assign(longitude=[p[0] for p in place], latitude=[p[1] for p in place])
    return pd.concat([left, found], axis=1).reset_index(drop=True)


def series_of(rows: pd.DataFrame) -> Iterator[Series]:
    """Yield matchups as series on consecutive days, some stations at a time.

    Parameters
    ----------
    rows : DataFrame
        Matchups of one layer, in which all estimates are known.
    """
    if rows.empty:
        return
    day = pd.to_datetime(rows["day"]).to_numpy(dtype="datetime64[D]")
    index = (day - day.min()).astype(np.int64)
    names = sorted(rows["station"].unique())
    code = pd.Categorical(rows["station"], categories=names).codes.astype(np.int64)
    columns = {m: rows[m].to_numpy(dtype=np.float64) for m in ("observed", *members_of(rows))}
    for first in range(0, len(names), _CHUNK):
        some = (code >= first) & (code < first + _CHUNK)
        shape = (min(_CHUNK, len(names) - first), int(index.max()) + 1)
        values = {}
        for member, column in columns.items():
            values[member] = np.full(shape, np.nan)
            values[member][code[some] - first, index[some]] = column[some]
        yield Series(names[first : first + _CHUNK], values.pop("observed"), values)


def _figures(series: Series) -> dict[str, Any]:
    """Return all columns of figures."""
    y, there = series.observed, np.isfinite(series.observed)
    blocks = _block_lengths(series)
    length = there.shape[1]
    out: dict[str, Any] = {
        "n": there.sum(axis=1),
        "days": length - np.argmax(there[:, ::-1], axis=1) - np.argmax(there, axis=1),
        "block_days": blocks,
    }
    calm = metrics.moving_anomalies(y)
    plain = {member: _with_anomaly(x, y, calm) for member, x in series.members.items()}
    drawn = _drawn(series, blocks)
    for member, x in series.members.items():
        ends = metrics.intervals(x, y)
        ends["anomaly_r"] = metrics.intervals(metrics.moving_anomalies(x), calm)["r"]
        for name in FIGURES:
            out[f"{member}_{name}"] = plain[member][name]
            out[f"{member}_{name}_low"], out[f"{member}_{name}_high"] = ends[name]
        for name in _DRAWN:
            out[f"{member}_{name}_block_low"], out[f"{member}_{name}_block_high"] = drawn[member][name]
        out[f"{member}_n_eff"] = metrics.effective_size(x, y)[0]
        base = plain.get(BASELINE)
        own = np.full(len(y), np.nan) if base is None or member == BASELINE else metrics.gdown(plain[member], base)
        out[f"{member}_gdown"] = own
    return out


def _with_anomaly(x: Array, y: Array, calm: Array) -> dict[str, Array]:
    found = metrics.pair_metrics(x, y)
    anomalies = metrics.pair_metrics(metrics.moving_anomalies(x), calm)
    out = {k: np.where(found["n"] >= MIN_PAIRS, v, np.nan) if k in _CORRELATIONS else v for k, v in found.items()}
    return out | {"anomaly_r": np.where(anomalies["n"] >= MIN_PAIRS, anomalies["r"], np.nan)}


def _block_lengths(series: Series) -> npt.NDArray[np.int64]:
    """Return the longest that any estimate's error asks for: all are drawn from the same blocks."""
    errors = [x - series.observed for x in series.members.values()]
    return np.array([max(metrics.block_length(e[i]) for e in errors) for i in range(len(series.names))])


def _drawn(series: Series, blocks: npt.NDArray[np.int64]) -> dict[str, dict[str, tuple[Array, Array]]]:
    """Return the bootstrap's intervals by member and figure."""
    out = {m: {f: (np.full(len(blocks), np.nan), np.full(len(blocks), np.nan)) for f in _DRAWN} for m in series.members}
    every = list(series.members)
    for i, length in enumerate(blocks):
        x = np.stack([series.members[m][i] for m in every])
        found = metrics.block_intervals(x, series.observed[i], int(length))
        for figure in _DRAWN:
            for k, member in enumerate(every):
                out[member][figure][0][i], out[member][figure][1][i] = (e[k] for e in found[figure])
    return out
