"""Where the pixels of nested grids fall on a raster: axis by axis where that can be, else from a lattice of nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer

from smdown.errors import GridError
from smdown.grid import Lattice, NestedGrid, RasterGrid, Window

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
NODE_STEPS_PX = (64, 32, 16, 8, 4, 2, 1)
"""Spacings of the general warp's nodes, in target pixels; the widest that is exact enough is taken."""
NODE_ERROR_PX = 1e-4
"""Largest error between nodes, in source pixels: a hundredth of what the design allows."""
CHECKED = 9
"""Places along each side of the region where positions are checked."""
_HALFWAY = np.array([-1.0, 9.0, 9.0, -1.0]) / 16.0
"""Weights of the four nodes around the middle of a mesh (Lagrange's cubic)."""


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Transformer:
    """Return the (cached) transformation between two coordinate systems, x before y."""
    return Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=64)
def is_separable(source: str, target: str) -> bool:
    """Whether the axes of the target map to those of the source one by one."""
    a, b = CRS.from_user_input(source), CRS.from_user_input(target)
    if a.equals(b, ignore_axis_order=True):
        return True
    cylindrical = b.coordinate_operation is not None and "cylindrical" in b.coordinate_operation.method_name.lower()
    return a.is_geographic and (b.is_geographic or cylindrical)


@dataclass(frozen=True)
class Geometry:
    """A raster, and the region whose nested grids are filled from it.

    Parameters
    ----------
    raster : RasterGrid
        The raster's own grid.
    region : NestedGrid
        The project's region, at any ratio: what is decided once (order, spacing, kernel) is decided over all of it.
    """

    raster: RasterGrid
    region: NestedGrid

    @property
    def separable(self) -> bool:
        """Whether the axes of the raster and of the nested grids map one by one."""
        return is_separable(self.raster.crs, self.region.crs)

    def scales(self, ratio: int) -> tuple[float, float]:
        """Raster pixels, along its rows and columns, that a pixel of a ratio spans at most in the region."""
        return _spans(self, ratio)

    def locate(self, x: F64, y: F64) -> tuple[F64, F64]:
        """Return fractional rows and columns of places in the nested grids' coordinates; not finite off the map."""
        sx, sy = transformer(self.region.crs, self.raster.crs).transform(x, y)
        middle = _middle_longitude(self)
        if middle is not None:  # longitudes run on across the 180th meridian
            sx = np.where(sx - middle > 180.0, sx - 360.0, np.where(sx - middle < -180.0, sx + 360.0, sx))
        return (np.asarray(sy) - self.raster.y0) / self.raster.dy, (np.asarray(sx) - self.raster.x0) / self.raster.dx

    def positions(self, ratio: int, y: I64, x: I64) -> tuple[F64, F64]:
        """Return fractional rows and columns of pixel centres, ``(y, x)`` each."""
        lattice = self.region.lattice
        half = lattice.cell / (2 * ratio)
        return self.locate(*np.meshgrid(lattice.x0 + (2 * x + 1) * half, lattice.y0 - (2 * y + 1) * half))

    def edges(self, ratio: int, window: Window) -> tuple[F64, F64]:
        """Return where the edges of a window's rows and columns fall (separable pairs only)."""
        lattice = self.region.lattice
        size = lattice.cell / ratio
        x = lattice.x0 + np.arange(window.x0, window.x1 + 1, dtype=np.float64) * size
        y = lattice.y0 - np.arange(window.y0, window.y1 + 1, dtype=np.float64) * size
        middle_x, middle_y = _middle(lattice)
        rows, _ = self.locate(np.full(y.shape, middle_x), y)
        _, cols = self.locate(x, np.full(x.shape, middle_y))
        if not (np.isfinite(rows).all() and np.isfinite(cols).all()):
            raise GridError(f"got a window beyond the map of {lattice.name} ({window}); ask for pixels on the globe")
        return rows, cols

    def nodes(self, ratio: int, window: Window) -> tuple[int, F64, F64]:
        """Return the nodes' spacing, and rows and columns of those around a window (one before it, two after)."""
        step = node_step(self, ratio)
        y = np.arange(window.y0 // step - 1, (window.y1 - 1) // step + 3) * step
        x = np.arange(window.x0 // step - 1, (window.x1 - 1) // step + 3) * step
        return step, *self.positions(ratio, y, x)

    def span(self, ratio: int, window: Window) -> Window | None:
        """Return the pixels that a window's centres fall into and one more around them; None off the map."""
        step = NODE_STEPS_PX[0]
        y = np.unique(np.append(np.arange(window.y0, window.y1, step), window.y1 - 1))
        x = np.unique(np.append(np.arange(window.x0, window.x1, step), window.x1 - 1))
        rows, cols = self.positions(ratio, y, x)
        known = np.isfinite(rows) & np.isfinite(cols)
        if not known.any():
            return None
        (y0, y1), (x0, x1) = ((math.floor(p[known].min()), math.floor(p[known].max()) + 1) for p in (rows, cols))
        return Window(y0, y1, x0, x1).expand(1)


def _middle(lattice: Lattice) -> tuple[float, float]:
    """Return the middle of the lattice: one place for all regions and windows."""
    return lattice.x0 + 0.5 * lattice.cols * lattice.cell, lattice.y0 - 0.5 * lattice.rows * lattice.cell


def _sample(region: NestedGrid) -> tuple[F64, F64]:
    """Return coordinates from edge to edge of the region."""
    lattice, cells = region.lattice, region.cells
    x = lattice.x0 + np.linspace(cells.x0, cells.x1, CHECKED, dtype=np.float64) * lattice.cell
    return x, lattice.y0 - np.linspace(cells.y0, cells.y1, CHECKED, dtype=np.float64) * lattice.cell


@lru_cache(maxsize=64)
def _middle_longitude(geometry: Geometry) -> float | None:
    """Return the longitude of the region's middle, on the raster's own turn, if its columns are degrees."""
    crs = CRS.from_user_input(geometry.raster.crs)
    if not crs.is_geographic or "degree" not in crs.axis_info[0].unit_name:
        return None
    x, y = _sample(geometry.region)
    lon, _ = transformer(geometry.region.crs, geometry.raster.crs).transform(x[CHECKED // 2], y[CHECKED // 2])
    centre = geometry.raster.x0 + 0.5 * geometry.raster.width * geometry.raster.dx
    return float(lon + 360.0 * round((centre - lon) / 360.0))


@lru_cache(maxsize=64)
def _spans(geometry: Geometry, ratio: int) -> tuple[float, float]:
    x, y = np.meshgrid(*_sample(geometry.region))
    step = geometry.region.lattice.cell / ratio
    west, south = np.where(x > x.mean(), -step, step), np.where(y > y.mean(), -step, step)  # inwards: stay on the map
    here, aside, along = (np.stack(geometry.locate(x + dx, y + dy)) for dx, dy in ((0, 0), (west, 0), (0, south)))
    spans = np.hypot(aside - here, along - here)
    finite = np.isfinite(spans).all(axis=0)
    if not finite.any():
        raise GridError(f"got a source in {geometry.raster.crs} that the extent cannot be projected to; check its crs")
    most_y, most_x = spans[:, finite].max(axis=1)
    return float(most_y), float(most_x)


@lru_cache(maxsize=64)
def node_step(geometry: Geometry, ratio: int) -> int:
    """Return the spacing of nodes: one for all windows of a ratio, exact enough over the whole region."""
    return next(s for s in NODE_STEPS_PX if s == 1 or node_error(geometry, ratio, s) < NODE_ERROR_PX / 2)


def node_error(geometry: Geometry, ratio: int, step: int) -> float:
    """Return the largest error of a spacing, in raster pixels, amid meshes all over the region: it is worst there."""
    w = geometry.region.at(ratio).window
    y = np.unique(np.linspace(w.y0, w.y1 - 1, CHECKED).astype(np.int64) // step * step)
    x = np.unique(np.linspace(w.x0, w.x1 - 1, CHECKED).astype(np.int64) // step * step)
    made = np.zeros((2, len(y), len(x)))
    for i, a in enumerate(_HALFWAY):
        for j, b in enumerate(_HALFWAY):
            made += a * b * np.stack(geometry.positions(ratio, y + (i - 1) * step, x + (j - 1) * step))
    exact = np.stack(geometry.positions(ratio, y + step // 2, x + step // 2))
    # Steps are even, so the middle of a mesh is a pixel; a step of 1 has nothing between its nodes.
    error = np.abs(made - exact)
    return float(error.max()) if np.isfinite(error).all() else math.inf
