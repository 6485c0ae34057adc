"""The one grid that scenes of several tiles, zones and pixel sizes are brought to.

Its coordinate system is that of the scenes that cover most of the extent, its pixels those of the coarsest band of most
scenes in it, unless the configuration says a size. Scenes on it are read pixel on pixel; others are resampled once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from pyproj import Transformer

from smdown.errors import InputError
from smdown.grid import RasterGrid, Window
from smdown.sources.context import Bounds, IngestContext, raster_bounds, transform_bounds
from smdown.sources.regrid import offset_px
from smdown.sources.scenes import Scene

_PLACES = 65
"""Places along each side of the extent where coverage is looked at."""


def common_grid(scenes: Sequence[Scene], resolution: float | None, context: IngestContext) -> RasterGrid:
    """Return the grid of all scenes that are near the extent.

    Parameters
    ----------
    scenes : sequence of Scene
        At least one.
    resolution : float, optional
        Side of its pixels, in its own units.
    context : IngestContext
        The extent and its margin.

    Returns
    -------
    RasterGrid
        Large enough for all of them.
    """
    near = [scene for scene in scenes if _is_near(scene.coarsest, context)] or list(scenes[:1])
    crs = _most_covering({scene.coarsest for scene in near}, context)
    lattice = _most_common([scene.coarsest for scene in near if scene.coarsest.crs == crs])
    if resolution is not None:
        lattice = replace(lattice, x0=0.0, y0=0.0, dx=resolution, dy=-resolution)
    windows = [footprint(raster, lattice) for raster in {scene.coarsest for scene in near}]
    y0, x0 = min(w.y0 for w in windows), min(w.x0 for w in windows)
    y1, x1 = max(w.y1 for w in windows), max(w.x1 for w in windows)
    return RasterGrid(
        crs, lattice.x0 + x0 * lattice.dx, lattice.y0 + y0 * lattice.dy, lattice.dx, lattice.dy, y1 - y0, x1 - x0
    )


def footprint(raster: RasterGrid, target: RasterGrid) -> Window:
    """Return the pixels of the target that a raster meets, which may lie beyond the target."""
    x0, y0, x1, y1 = transform_bounds(raster.crs, target.crs, raster_bounds(raster))
    slack = 1e-3 if raster.crs == target.crs else -1.0
    return Window(
        math.floor((y1 - target.y0) / target.dy + slack),
        math.ceil((y0 - target.y0) / target.dy - slack),
        math.floor((x0 - target.x0) / target.dx + slack),
        math.ceil((x1 - target.x0) / target.dx - slack),
    )


def laid(scene: Scene, whole: RasterGrid) -> Scene:
    """Return the scene with its place on the common grid; a scene beyond it has its place there too."""
    direct = all(offset_px(raster, whole) is not None for raster in scene.groups)
    try:
        place = footprint(scene.coarsest, whole)
    except InputError:
        place = Window(-2, -1, -2, -1)  # off the map of the grid
    return replace(scene, place=place, direct=direct)


@lru_cache(maxsize=4096)
def _lonlat(raster: RasterGrid) -> Bounds:
    return transform_bounds(raster.crs, "EPSG:4326", raster_bounds(raster))


def _is_near(raster: RasterGrid, context: IngestContext) -> bool:
    """Whether a raster meets the extent with its margin."""
    west, south, east, north = context.lonlat
    margin = context.margin
    try:
        x0, y0, x1, y1 = _lonlat(raster)
    except InputError:
        return False
    apart = (x0 > east + margin or x1 < west - margin) if x0 <= x1 else (x0 > east + margin and x1 < west - margin)
    return not (apart or y0 > north + margin or y1 < south - margin)


def _most_covering(rasters: Iterable[RasterGrid], context: IngestContext) -> str:
    """Return the coordinate system whose rasters together cover most of the extent; the first by name of equal ones."""
    by_crs: dict[str, list[RasterGrid]] = {}
    for raster in rasters:
        by_crs.setdefault(raster.crs, []).append(raster)
    if len(by_crs) == 1:
        return next(iter(by_crs))
    west, south, east, north = context.lonlat
    lon, lat = np.meshgrid(np.linspace(west, east, _PLACES), np.linspace(south, north, _PLACES))

    def covered(crs: str) -> int:
        x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
        inside = np.zeros(lon.shape, dtype=bool)
        for x0, y0, x1, y1 in map(raster_bounds, by_crs[crs]):
            inside |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        return int(inside.sum())

    return max(sorted(by_crs), key=covered)


def _most_common(rasters: Sequence[RasterGrid]) -> RasterGrid:
    """Return a raster on the grid that most share; the one of smallest pixels of equally many."""
    kinds: list[list[RasterGrid]] = []
    for raster in sorted(rasters, key=lambda r: (r.dx, -r.dy, r.x0, -r.y0, r.width, r.height)):
        kind = next((kind for kind in kinds if offset_px(raster, kind[0]) is not None), None)
        if kind is None:
            kinds.append([raster])
        else:
            kind.append(raster)
    return max(kinds, key=len)[0]
