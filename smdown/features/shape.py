"""Terrain drivers of a window, from an elevation source."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.features.config import TerrainDriver
from smdown.features.ground import row_distances
from smdown.features.reader import SourceReader
from smdown.grid import NestedGrid, Window
from smdown.kernels import terrain

F32 = npt.NDArray[np.float32]


def measure(driver: TerrainDriver, reader: SourceReader, grid: NestedGrid, window: Window) -> F32:
    """Return one measure of the shape of the ground, ``(y, x)``; NaN where elevation around a pixel is missing."""
    if driver.measure == "tpi":
        return _tpi(driver, reader, grid, window)
    elevation = _elevation(driver, reader, grid, window.expand(1))
    dx, dy = row_distances(grid, window.y0, window.y1)
    if driver.measure == "curvature":
        return terrain.laplacian(elevation, dx, dy)
    east, north = terrain.gradient(elevation, dx, dy)
    return _of_gradient(driver.measure, east, north)


def _of_gradient(name: str, east: F32, north: F32) -> F32:
    steepness = np.hypot(east, north)
    if name == "slope":
        return steepness
    # Aspect is where the ground falls to: minus the gradient, over its length; times sin(slope).
    fall = -(north if name == "northness" else east)
    return np.asarray(fall / np.sqrt(1 + steepness * steepness), dtype=np.float32)


def _tpi(driver: TerrainDriver, reader: SourceReader, grid: NestedGrid, window: Window) -> F32:
    radius_y, radius_x = tpi_radii(driver.radius_m, grid)
    return terrain.tpi(_elevation(driver, reader, grid, window.expand(radius_y, radius_x)), radius_y, radius_x)


def tpi_radii(radius_m: float, grid: NestedGrid) -> tuple[int, int]:
    """Return the half height and width of the square, in pixels: one pair for the whole region."""
    rows = grid.window
    dx, dy = row_distances(grid, (rows.y0 + rows.y1) // 2, (rows.y0 + rows.y1) // 2 + 1)
    return max(1, round(radius_m / float(dy[0]))), max(1, round(radius_m / float(dx[0])))


def _elevation(driver: TerrainDriver, reader: SourceReader, grid: NestedGrid, window: Window) -> F32:
    return reader.read((driver.variable,), grid, window, (), driver.resampling)[0, 0]
