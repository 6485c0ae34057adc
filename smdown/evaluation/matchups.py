"""Matchups of a tile: what its stations saw on a day, and what every estimate says there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.evaluation.footprint import Footprint, weighted
from smdown.evaluation.reader import Reader
from smdown.evaluation.stations import Station
from smdown.grid import Tile, Window

Field = npt.NDArray[np.float32]
Estimates = dict[str, tuple[Field, Field | None]]
"""Value and stated standard deviation, by member."""


def matchups(
    reader: Reader, stations: list[Station], layer: str, day: str, tile: Tile, estimates: Estimates,
    elsewhere: Callable[[Tile], Estimates | None],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield one row per station that saw something on the day.

    Parameters
    ----------
    reader : Reader
        For the stations.
    stations : list of Station
        Those of the tile.
    layer, day : str
        What and when.
    tile : Tile
        Its core is what `estimates` cover.
    estimates : dict
        By member.
    elsewhere : callable
        Returns the estimates of other cells, for stations that see beyond the tile.
    """
    job, seen = reader.job, reader.stations
    footprint = job.footprint or Footprint()
    for station in stations:
        observed = float("nan") if seen is None else seen.observed(station, layer, day)
        if not np.isfinite(observed):
            continue
        window, weights = footprint.around(job.grid, station.network, station.y, station.x)
        here, core = estimates, tile.core
        if not core.contains(window):
            wider = Tile(tile.row, tile.col, _cells(window, tile.ratio), tile.ratio)
            here, core = elsewhere(wider) or {}, wider.core
        row: dict[str, Any] = {"station": station.name, "network": station.network, "climate": station.climate}
        row |= {"layer": layer, "day": day, "held_out": job.held_out is None or station.name in job.held_out}
        row |= {"cell": f"{station.y // tile.ratio},{station.x // tile.ratio}", "observed": observed}
        yield row | {"std": float("nan")} | _seen(here, core, window, weights)


def _cells(window: Window, ratio: int) -> Window:
    """Return the cells that hold a window of pixels."""
    return Window(window.y0 // ratio, -(-window.y1 // ratio), window.x0 // ratio, -(-window.x1 // ratio))


def _seen(estimates: Estimates, core: Window, window: Window, weights: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return every estimate over a window, and its standard deviation as if its errors there were all alike."""
    part = window.shift(-core.y0, -core.x0)
    at = slice(part.y0, part.y1), slice(part.x0, part.x1)
    out = {}
    for member, (estimate, std) in estimates.items():
        out[member] = weighted(estimate[at], weights)
        if std is not None:
            out["std" if member == "ensemble" else f"{member}_std"] = weighted(std[at], weights)
    return out
