"""Stations: which pixel holds each, what it saw on a day, and the figures over many matchups."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyproj import Transformer

from smdown.grid import NestedGrid, Window

KEYS = ("station", "network", "climate", "layer", "day", "held_out", "cell", "observed", "std")
"""Columns of a matchup that are not estimates."""
UNKNOWN = "unknown"
"""Climate of a station whose source does not state it."""


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
    climate : str
        Koeppen-Geiger class.
    """

    index: int
    name: str
    network: str
    y: int
    x: int
    climate: str = UNKNOWN


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
    climates : list of str
        By station; empty where the source states none.
    """

    names: list[str]
    networks: list[str]
    longitude: npt.NDArray[np.float64]
    latitude: npt.NDArray[np.float64]
    times: npt.NDArray[np.datetime64]
    values: dict[str, npt.NDArray[np.float64]]
    climates: list[str]

    def on(self, grid: NestedGrid) -> list[Station]:
        """Return the stations inside the grid, each with the pixel that holds it."""
        ys, xs = pixel_of(grid, self.longitude, self.latitude)
        inside = [
            Station(i, self.names[i], self.networks[i], int(y), int(x), self.climates[i] or UNKNOWN)
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
        climates = data["climate"].to_numpy() if "climate" in data.coords else [""] * count
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
            [str(name) for name in climates],
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


def in_grid_percent(
    grid: NestedGrid, longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """Return places as percent from the left and from the top of a grid's picture."""
    y, x = pixel_of(grid, longitude, latitude)
    window = grid.window
    left = (x + 0.5 - window.x0) / window.width * 100
    top = (y + 0.5 - window.y0) / window.height * 100
    return [float(v) for v in left], [float(v) for v in top]
