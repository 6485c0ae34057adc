"""Terrain drivers of a window, from an elevation source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from smdown.features.config import TerrainDriver
from smdown.features.ground import row_distances
from smdown.features.reader import SourceReader
from smdown.grid import NestedGrid, Window
from smdown.kernels import terrain

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def measures(drivers: Sequence[TerrainDriver], reader: SourceReader, grid: NestedGrid, window: Window) -> list[F32]:
    """Return measures of the shape of the ground, ``(y, x)`` each; NaN where elevation around a pixel is missing.

    Parameters
    ----------
    drivers : sequence of TerrainDriver
        All of one elevation, brought to the grid in one way: it is read once.
    reader : SourceReader
        Source of elevation.
    grid : NestedGrid
        The whole region at the ratio that is measured on.
    window : Window
        Global indices.
    """
    radii = {d: tpi_radii(d.radius_m, grid) for d in drivers if d.measure == "tpi"}
    halo_y, halo_x = (max((1, *(r[axis] for r in radii.values()))) for axis in (0, 1))
    wide = window.expand(halo_y, halo_x)
    elevation = reader.read((drivers[0].variable,), grid, wide, (), drivers[0].resampling)[0, 0]

    def around(radius_y: int, radius_x: int) -> F32:
        return elevation[window.expand(radius_y, radius_x).relative_to(wide).slices]

    out: dict[TerrainDriver, F32] = {d: terrain.tpi(around(*r), *r) for d, r in radii.items()}
    if rest := [d for d in drivers if d not in radii]:
        out |= _of_neighbours(rest, around(1, 1), *row_distances(grid, window.y0, window.y1))
    return [out[d] for d in drivers]


def _of_neighbours(drivers: Sequence[TerrainDriver], elevation: F32, dx: F64, dy: F64) -> dict[TerrainDriver, F32]:
    east, north = terrain.gradient(elevation, dx, dy)
    make: dict[str, Callable[[], F32]] = {
        "slope": lambda: terrain.slope(east, north),
        "northness": lambda: terrain.fall(north, east),
        "eastness": lambda: terrain.fall(east, north),
        "curvature": lambda: terrain.laplacian(elevation, dx, dy),
    }
    return {d: make[d.measure]() for d in drivers}


def tpi_radii(radius_m: float, grid: NestedGrid) -> tuple[int, int]:
    """Return the half height and width of the square, in pixels: one pair for the whole region."""
    rows = grid.window
    dx, dy = row_distances(grid, (rows.y0 + rows.y1) // 2, (rows.y0 + rows.y1) // 2 + 1)
    return max(1, round(radius_m / float(dy[0]))), max(1, round(radius_m / float(dx[0])))
