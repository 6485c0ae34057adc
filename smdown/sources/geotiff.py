"""One raster file through GDAL: its north-up grid, its place in a mosaic, windows of it as float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window as GdalWindow

from smdown.errors import InputError
from smdown.grid import RasterGrid, Window
from smdown.sources import turns
from smdown.sources.aside import SetAside, blame
from smdown.sources.checksums import check_blocks
from smdown.sources.config import Range
from smdown.sources.context import crs_of, parse_crs, raster_bounds, wkt_name
from smdown.sources.places import Place
from smdown.sources.values import FillWatch, Float32, RangeWatch, clean

ALIGNED_PX = 0.01
"""Largest offset between tiles of one grid, in pixels."""
_FARTHEST, _LEAST = 1e9, 1e-8
"""Coordinates beyond, and pixels below, are damage: in metres, feet or degrees."""


@dataclass(frozen=True)
class TileFile:
    """One band of a raster file, seen north-up.

    Parameters
    ----------
    path : Place
        The file.
    band : int
        Counted from 1.
    raster : RasterGrid
        Its pixels, first row northernmost.
    flipped : bool
        Whether the file stores the southernmost row first.
    place : Window
        Its pixels in the mosaic's indices.
    units, description : str
        As the file states them.
    column : int
        First column of the file that is seen.
    """

    path: Place
    band: int
    raster: RasterGrid
    flipped: bool
    place: Window
    units: str = ""
    description: str = ""
    column: int = 0

    def read(
        self,
        window: Window,
        limits: Range | None = None,
        nodata: float | None = None,
        watch: FillWatch | RangeWatch | None = None,
    ) -> Float32:
        """Return physical values of a window (indices of this file), NaN where masked or outside `limits`.

        Where there are no limits, `watch` sees what is stored, else what that means.
        """
        values, scale, offset = self.read_counts(window, nodata)
        if watch is not None and limits is None:
            watch.look(values)
        if scale != 1.0 or offset != 0.0:
            values = values * scale + offset
        if watch is not None and limits is not None:
            watch.look(values)
        return np.asarray(clean(values, valid_range=limits), dtype=np.float32)

    def read_counts(self, window: Window, nodata: float | None = None) -> tuple[Any, float, float]:
        """Return the stored numbers as floats, NaN where masked, with the scale and offset that the file declares."""
        raw, scale, offset = self._raw(window)
        values = clean(raw.data, fills=() if nodata is None else (nodata,))
        values[np.ma.getmaskarray(raw)] = np.nan
        return values, scale, offset

    def read_bits(self, window: Window) -> tuple[Any, Any]:
        """Return the integers of a window and where they are declared missing."""
        raw, _, _ = self._raw(window)
        if raw.dtype.kind not in "iu":
            raise InputError(f"got the mask {self.path} of type {raw.dtype}; a mask of bits holds whole numbers")
        return raw.data, np.ma.getmaskarray(raw)

    def probe(self) -> None:
        """Read the first and the last pixel, so that a truncated file shows."""
        height, width = self.raster.shape
        for y, x in ((0, 0), (height - 1, width - 1)):
            self._raw(Window(y, y + 1, x, x + 1))

    def _raw(self, window: Window) -> tuple[Any, float, float]:
        y0 = self.raster.height - window.y1 if self.flipped else window.y0
        part = GdalWindow(window.x0 + self.column, y0, window.width, window.height)
        with blame(self.path), self.path.open() as file:
            raw = file.read(self.band, window=part, masked=True)
            if not self.path.remote:
                stored = Window(y0, y0 + window.height, part.col_off, part.col_off + window.width)
                check_blocks(file, Path(self.path.url), self.band, stored)
            scale, offset = file.scales[self.band - 1], file.offsets[self.band - 1]
            if not (np.isfinite([scale, offset]).all() and scale):
                raise InputError(f"got {self.path}, with scale {scale:g} and offset {offset:g}; it is damaged")
        return (raw[::-1] if self.flipped else raw), scale, offset


def open_tile(path: Place, band: int, crs: str | None) -> TileFile:
    """Check one file and return its tile.

    Parameters
    ----------
    path : Place
        Anything that GDAL reads.
    band : int
        Counted from 1.
    crs : str, optional
        Overrides the file's own coordinate reference system.

    Raises
    ------
    InputError
        If it cannot be read, has no such band, no coordinate reference system, or is rotated.
    """
    with path.open() as file:
        if not 1 <= band <= file.count:
            raise InputError(f"got band {band} of {path}, which has {file.count}; correct variables")
        raster, flipped = _north_up(path, file, crs)
        if np.dtype(file.dtypes[band - 1]).kind not in "iuf":
            raise InputError(f"got band {band} of {path}, of type {file.dtypes[band - 1]}; it must hold plain numbers")
        units, description = file.units[band - 1] or "", file.descriptions[band - 1] or ""
    return TileFile(path, band, raster, flipped, raster.window, units, description)


def views(tile: TileFile) -> tuple[TileFile, ...]:
    """Return what is seen of a file between -180 and 180 degrees of longitude: mostly all of it, in one piece.

    Raises
    ------
    InputError
        If it goes round the antimeridian with pixels that do not divide the circle.
    """
    found = turns.views(tile.raster)
    if sum(raster.width for raster, _ in found) < tile.raster.width:
        raise InputError(
            f"got {tile.path}, beyond 180 degrees of longitude with pixels of {tile.raster.dx:.8g} degrees, of which "
            "360 are no whole number; cut it at the antimeridian with gdalwarp first"
        )
    return tuple(replace(tile, raster=raster, place=raster.window, column=first) for raster, first in found)


def _north_up(path: Place, file: Any, crs: str | None) -> tuple[RasterGrid, bool]:
    t = file.transform
    if crs is None and file.crs is None:
        raise InputError(f"got {path}, which states no coordinate reference system; set crs, for instance EPSG:4326")
    if t.b != 0 or t.d != 0 or t.a <= 0:
        raise InputError(f"got {path}, whose grid is rotated or mirrored; make it north-up with gdalwarp first")
    if t.is_identity:
        raise InputError(
            f"got {path}, which has no georeference (ground control points do not count); gdalwarp it first"
        )
    corners = t.c, t.f, t.c + file.width * t.a, t.f + file.height * t.e
    if not (all(abs(v) <= _FARTHEST for v in corners) and min(t.a, abs(t.e)) >= _LEAST):
        raise InputError(f"got {path}, whose georeference lies beyond the world ({t.a:.3g} a pixel); it is damaged")
    name = parse_crs(crs) if crs is not None else wkt_name(file.crs.to_wkt())
    if crs_of(name).is_geographic and max(map(abs, corners)) > 2 * 360.0:
        raise InputError(f"got {path}, whose corners lie beyond the world ({t.c:g} to {corners[2]:g} degrees); set crs")
    west = t.c - 360.0 if t.c >= 180.0 and crs_of(name).is_geographic else t.c
    flipped = t.e > 0
    top = t.f + file.height * t.e if flipped else t.f
    return RasterGrid(name, west, top, t.a, -abs(t.e), file.height, file.width), flipped


def merge_grids(groups: Sequence[Sequence[TileFile]]) -> tuple[RasterGrid, list[tuple[TileFile, ...]]]:
    """Return the one grid that holds all tiles, which lie on one grid, and the tiles with their places in it."""
    tiles = [tile for group in groups for tile in group]
    first = tiles[0]
    boxes = [raster_bounds(tile.raster) for tile in tiles]
    west, north = min(b[0] for b in boxes), max(b[3] for b in boxes)
    dx, dy = first.raster.dx, first.raster.dy

    def placed(tile: TileFile) -> TileFile:
        y, x = round((tile.raster.y0 - north) / dy), round((tile.raster.x0 - west) / dx)
        return replace(tile, place=tile.raster.window.shift(y, x))

    out = [tuple(placed(tile) for tile in group) for group in groups]
    height = max(t.place.y1 for group in out for t in group)
    width = max(t.place.x1 for group in out for t in group)
    return replace(first.raster, x0=west, y0=north, height=height, width=width), out


def of_one_grid(tiles: Sequence[TileFile], aside: SetAside) -> set[Place]:
    """Return the files on the grid that most have; the few others are set aside.

    Raises
    ------
    InputError
        If no grid is that of most files; two files are named.
    """
    kinds: list[list[TileFile]] = []
    for tile in tiles:
        same = next((kind for kind in kinds if _misfit(kind[0].raster, tile.raster) is None), None)
        if same is None:
            kinds.append(same := [])
        same.append(tile)
    kinds.sort(key=len, reverse=True)
    for other in (tile for kind in kinds[1:] for tile in kind):
        error = _misfits(*sorted((kinds[0][0], other), key=lambda tile: tile.path))
        if 2 * len(kinds[0]) <= len(tiles):
            raise error
        aside.put(other.path, error)
    return {tile.path for kind in kinds[:1] for tile in kind}


def _misfits(first: TileFile, second: TileFile) -> InputError:
    why = _misfit(first.raster, second.raster)
    return InputError(
        f"got {first.path.name} and {second.path.name} in {second.path.folder}, {why}; "
        "make them separate sources, or warp them to one grid"
    )


def _misfit(a: RasterGrid, b: RasterGrid) -> str | None:
    if a.crs != b.crs:
        return f"in different coordinate reference systems ({crs_of(a.crs).name} and {crs_of(b.crs).name})"
    if abs(b.dx / a.dx - 1) * b.width > ALIGNED_PX or abs(b.dy / a.dy - 1) * b.height > ALIGNED_PX:
        return f"with pixels of {a.dx:.8g} x {-a.dy:.8g} and {b.dx:.8g} x {-b.dy:.8g}"
    off = max(abs(s - round(s)) for s in ((b.x0 - a.x0) / a.dx, (b.y0 - a.y0) / a.dy))
    return f"whose pixels do not line up (off by {off:.2g} pixel)" if off > ALIGNED_PX else None
