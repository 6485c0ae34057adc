"""Longitudes come round after 360 degrees: grids from 0 to 360, grids over the antimeridian, and where grids join.

The projects' own grids end at the antimeridian, so results keep longitudes from -180 to 180, and some pixels more on
either side for the neighbourhoods of those at the seam.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.grid import RasterGrid
from smdown.sources.context import IngestContext, crs_of

SEAM_PX = 16
"""Pixels kept beyond the antimeridian."""
_WHOLE = 1e-3
"""Pixels by which 360 degrees may miss a whole number of them."""


def centre_choices(centres: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Return the ways to write longitudes that may make an even axis of them: -180 to 180, as they are, 0 to 360."""
    ways = [centres]
    if bool((centres >= 180.0).any()):
        ways.insert(0, np.where(centres >= 180.0, centres - 360.0, centres))
    if bool((centres < 0.0).any()):
        ways.append(np.where(centres < 0.0, centres + 360.0, centres))
    return ways


def pixels_round(step: float) -> int | None:
    """Return the pixels that 360 degrees are; None where they are no whole number."""
    pixels = 360.0 / step
    return round(pixels) if abs(pixels - round(pixels)) < _WHOLE else None


def without_repeats(order: npt.NDArray[Any], ranked: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Return an order of longitudes without those that come twice, as 0 and 360 do."""
    steps = np.diff(ranked)
    return order[np.concatenate([[True], steps > 0.01 * np.median(steps)])]


def closed(order: npt.NDArray[Any], step: float) -> tuple[npt.NDArray[Any], int]:
    """Return the order of a whole circle's columns with those beyond the seam, and how many were put in front."""
    if pixels_round(step) != order.size or order.size <= 2 * SEAM_PX:
        return order, 0
    return np.concatenate([order[-SEAM_PX:], order, order[:SEAM_PX]]), SEAM_PX


def nearest_turn(raster: RasterGrid, context: IngestContext) -> RasterGrid:
    """Return a raster in longitude and latitude moved by whole turns to where it covers most of the extent."""
    if not crs_of(raster.crs).is_geographic:
        return raster
    west, _, east, _ = context.lonlat

    def covered(turn: float) -> float:
        x0 = raster.x0 + turn
        return min(east, x0 + raster.width * raster.dx) - max(west, x0)

    turn = max((0.0, -360.0, 360.0), key=covered)
    return replace(raster, x0=raster.x0 + turn) if turn and covered(turn) > 0 else raster


def views(raster: RasterGrid) -> list[tuple[RasterGrid, int]]:
    """Return the parts of a raster that lie between -180 and 180 degrees or just beyond, as rasters of their own.

    Returns
    -------
    list of tuple
        Each part and its first column in the raster; the raster itself where it crosses nothing. Of a raster whose
        pixels do not divide the circle, whole turns away are left out, since they would not line up. One whose
        coordinates are no longitudes, whatever it says, stays as it is.
    """
    if not crs_of(raster.crs).is_geographic or not -540.0 <= raster.x0 <= raster.x0 + raster.width * raster.dx <= 720.0:
        return [(raster, 0)]
    pad = SEAM_PX * raster.dx
    found = []
    for turn in (0.0, -360.0, 360.0) if pixels_round(raster.dx) else (0.0,):
        x0 = raster.x0 + turn
        first = max(0, int(np.ceil((-180.0 - pad - x0) / raster.dx - 1e-6)))
        stop = min(raster.width, int(np.floor((180.0 + pad - x0) / raster.dx + 1e-6)))
        if first < stop:
            found.append((replace(raster, x0=x0 + first * raster.dx, width=stop - first), first))
    whole = len(found) == 1 and (found[0][0].x0, found[0][0].width) == (raster.x0, raster.width)
    return [(raster, 0)] if whole else found
