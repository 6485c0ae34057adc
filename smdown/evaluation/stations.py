"""Stations: which pixel holds each, what it saw on a day, and the figures over many matchups."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyproj import Transformer

from smdown.evaluation.stats import Z_90, Moments, correlation, gaussian_crps
from smdown.grid import NestedGrid, Window

KEYS = ("station", "network", "layer", "day", "held_out", "cell", "observed", "std")
"""Columns of a matchup that are not estimates."""
MIN_PAIRS = 10
"""Fewest pairs for which a station's own correlation is given (as pytesmo and QA4SM do)."""


@dataclass(frozen=True, slots=True)
class Station:
    """One station on the mosaic's grid.

    Parameters
    ----------
    index : int
        Its place in the file.
    name, network : str
        As in the file.
    y, x : int
        The pixel that holds it, in global indices.
    """

    index: int
    name: str
    network: str
    y: int
    x: int


@dataclass(frozen=True)
class Stations:
    """Daily observations of many stations, in memory.

    Parameters
    ----------
    names, networks : list of str
        By station.
    longitude, latitude : ndarray
        Degrees.
    times : ndarray
        Days, ``datetime64[ns]``.
    values : dict
        ``(station, time)`` by layer, NaN for missing.
    """

    names: list[str]
    networks: list[str]
    longitude: npt.NDArray[np.float64]
    latitude: npt.NDArray[np.float64]
    times: npt.NDArray[np.datetime64]
    values: dict[str, npt.NDArray[np.float64]]

    def on(self, grid: NestedGrid) -> list[Station]:
        """Return the stations inside the grid, each with the pixel that holds it."""
        ys, xs = pixel_of(grid, self.longitude, self.latitude)
        inside = [
            Station(i, self.names[i], self.networks[i], int(y), int(x))
            for i, (y, x) in enumerate(zip(ys, xs, strict=True))
            if np.isfinite(y) and np.isfinite(x)
        ]
        window = grid.window
        return [s for s in inside if window.y0 <= s.y < window.y1 and window.x0 <= s.x < window.x1]

    def observed(self, station: Station, layer: str, day: str) -> float:
        """Return what a station saw on a day, NaN where it saw nothing."""
        found = np.flatnonzero(self.times == np.datetime64(day, "ns"))
        if layer not in self.values or found.size == 0:
            return math.nan
        return float(self.values[layer][station.index, found[0]])


def pixel_of(
    grid: NestedGrid, longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the global row and column (whole numbers as floats; inf where it cannot be projected) of places."""
    transformer = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    x, y = transformer.transform(longitude, latitude)
    scale = grid.ratio / grid.lattice.cell
    return np.floor((grid.lattice.y0 - np.asarray(y)) * scale), np.floor((np.asarray(x) - grid.lattice.x0) * scale)


def load_stations(url: str, layers: Sequence[str]) -> Stations:
    """Read a station file into memory."""
    from smdown.sources import open_stations

    with open_stations(url) as data:
        count = data.sizes["station"]
        networks = data["network"].to_numpy() if "network" in data.coords else [""] * count
        values = {
            name: np.asarray(data[name].transpose("station", "time").to_numpy(), dtype=np.float64)
            for name in layers
            if name in data
        }
        return Stations(
            [str(name) for name in data["station"].to_numpy()],
            [str(name) for name in networks],
            np.asarray(data["longitude"].to_numpy(), dtype=np.float64),
            np.asarray(data["latitude"].to_numpy(), dtype=np.float64),
            np.asarray(data["time"].to_numpy(), dtype="datetime64[ns]"),
            values,
        )


def in_window(stations: Iterable[Station], window: Window) -> list[Station]:
    """Return the stations whose pixel lies in a window of global indices."""
    return [s for s in stations if window.y0 <= s.y < window.y1 and window.x0 <= s.x < window.x1]


def members_of(table: pd.DataFrame) -> list[str]:
    """Return the columns of a matchup table that hold estimates, in order."""
    return [str(c) for c in table.columns if c not in KEYS and not str(c).endswith("_std")]


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the matchups in which the observation and every estimate are known, so that rows compare."""
    return table.dropna(subset=["observed", *members_of(table)])


def pooled_metrics(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return, by member, the figures over all matchups of one layer and the medians over stations."""
    rows = comparable(table)
    out: dict[str, dict[str, float]] = {}
    for member in members_of(table):
        metrics = Moments.of(rows[member], rows["observed"]).metrics()
        metrics["stations"] = int(rows["station"].nunique())
        metrics["r_within_cell"] = within_cell_correlation(rows, member)
        metrics |= _medians([station_metrics(group, member) for _, group in rows.groupby("station", sort=True)])
        out[member] = metrics | _scores(rows, member)
    return out


def _scores(rows: pd.DataFrame, member: str) -> dict[str, float]:
    """Return ``crps``, and ``coverage_90`` where a standard deviation is stated; see `smdown.evaluation.stats`."""
    column = "std" if member == "ensemble" else f"{member}_std"
    error = (rows[member] - rows["observed"]).to_numpy(dtype=np.float64)
    std = rows[column].to_numpy(dtype=np.float64) if column in rows else np.full(len(rows), np.nan)
    out = {"crps": float(gaussian_crps(error, std).mean()) if len(rows) else math.nan}
    known = np.isfinite(std)
    if known.any():
        out["coverage_90"] = float((np.abs(error[known]) <= Z_90 * std[known]).mean())
    return out


def _medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    out = {}
    for name in ("r", "bias", "rmse", "ubrmse"):
        values = [row[name] for row in rows if math.isfinite(row[name])]
        out[f"median_{name}"] = float(np.median(values)) if values else math.nan
    return out


def station_metrics(rows: pd.DataFrame, member: str) -> dict[str, float]:
    """Return a station's figures; correlation only from `MIN_PAIRS` pairs on."""
    metrics = Moments.of(rows[member], rows["observed"]).metrics()
    return metrics if metrics["n"] >= MIN_PAIRS else metrics | {"r": math.nan}


def within_cell_correlation(rows: pd.DataFrame, member: str) -> float:
    """Return the correlation of anomalies from the mean of a cell on a day, where 3 or more stations share it."""
    sums = np.zeros(3)
    for _, group in rows.groupby(["cell", "day"], sort=True):
        if len(group) >= 3:
            moments = Moments.of(group[member], group["observed"])
            sums += (moments.m2_x, moments.m2_y, moments.m2_xy)
    xx, yy, xy = (float(v) for v in sums)
    return correlation(xx, yy, xy, float((rows["observed"] ** 2).sum()))


def station_table(table: pd.DataFrame, stations: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """Return one row per station and layer: place, number of pairs, and the figures of every member.

    Parameters
    ----------
    table : DataFrame
        Matchups.
    stations : dict
        Longitude and latitude by station.
    """
    rows: list[dict[str, Any]] = []
    for (name, layer), group in comparable(table).groupby(["station", "layer"], sort=True):
        first = group.iloc[0]
        longitude, latitude = stations.get(str(name), (math.nan, math.nan))
        row: dict[str, Any] = defaultdict(float)
        row |= {"station": name, "network": first["network"], "layer": layer, "held_out": bool(first["held_out"])}
        row |= {"longitude": longitude, "latitude": latitude, "n": len(group)}
        for member in members_of(table):
            metrics = station_metrics(group, member)
            row |= {f"{member}_{m}": metrics[m] for m in ("r", "bias", "rmse", "ubrmse")}
        rows.append(dict(row))
    return pd.DataFrame(rows)


def in_grid_percent(
    grid: NestedGrid, longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """Return places as percent from the left and from the top of a grid's picture."""
    y, x = pixel_of(grid, longitude, latitude)
    window = grid.window
    left = (x + 0.5 - window.x0) / window.width * 100
    top = (y + 0.5 - window.y0) / window.height * 100
    return [float(v) for v in left], [float(v) for v in top]
