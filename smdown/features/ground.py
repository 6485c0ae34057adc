"""Distances on the ground: pixels of an equal-area or geographic grid are not square there."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Geod, Transformer

from smdown.grid import NestedGrid

F64 = npt.NDArray[np.float64]


def row_distances(grid: NestedGrid, y0: int, y1: int) -> tuple[F64, F64]:
    """Return the ground width and height, m, of the pixels of rows `y0` to `y1` (global indices).

    Geodesics of the grid's own ellipsoid between pixel edges, on the lattice's central meridian; on cylindrical grids
    they are the same in every column.
    """
    geod, change = _tools(grid.crs)
    size = grid.lattice.cell / grid.ratio
    x = grid.lattice.x0 + 0.5 * grid.lattice.cols * grid.lattice.cell
    centre = grid.y_centres(y0, y1)
    west, lat = change.transform(np.full(centre.shape, x - size / 2), centre)
    east, _ = change.transform(np.full(centre.shape, x + size / 2), centre)
    _, top = change.transform(np.full(centre.shape, x), centre + size / 2)
    middle, low = change.transform(np.full(centre.shape, x), centre - size / 2)
    dx = geod.inv(west, lat, east, lat)[2]
    dy = geod.inv(middle, top, middle, low)[2]
    return np.asarray(dx, dtype=np.float64), np.asarray(dy, dtype=np.float64)


@lru_cache(maxsize=8)
def _tools(crs: str) -> tuple[Geod, Transformer]:
    system = CRS.from_user_input(crs)
    geod = system.get_geod()
    return geod or Geod(ellps="WGS84"), Transformer.from_crs(system, system.geodetic_crs, always_xy=True)
