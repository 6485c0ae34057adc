"""What every reader is told: region, period, where results go; and which part of a source that region needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from smdown.errors import InputError
from smdown.grid import Lattice, NestedGrid, RasterGrid, Window

PAD_PX = 8
"""Source pixels read beyond the extent and its margin, for kernels."""
LATTICE_PAD_CELLS = 2
"""Cells kept around the project's own where the source lies on the lattice."""

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class IngestContext:
    """Region, period and place of the results.

    Parameters
    ----------
    nested : NestedGrid
        The project's cells (any ratio).
    start, end : str
        First and last day, ISO.
    out : str
        Folder or URL that receives ``<name>.zarr``.
    margin : float
        Degrees of longitude and latitude read around the extent, for neighbourhoods and halos.
    lead_days : int
        Days before the first that drivers (NetCDF, reflectance) are read for too, for sums and sequences.
    strict : bool
        Stop at the first file that cannot be used, instead of setting it aside.
    """

    nested: NestedGrid
    start: str
    end: str
    out: str
    margin: float = 0.1
    lead_days: int = 0
    strict: bool = False

    @property
    def first(self) -> str:
        """First day that drivers are read for."""
        return str(np.datetime64(self.start, "D") - self.lead_days)

    @property
    def lonlat(self) -> Bounds:
        """West, south, east, north of the extent, without margin."""
        raster = self.nested.at(1).raster
        box = (raster.x0, raster.y0 + raster.height * raster.dy, raster.x0 + raster.width * raster.dx, raster.y0)
        return transform_bounds(raster.crs, "EPSG:4326", box)

    def lattice_cells(self, lattice: Lattice) -> Window:
        """Return the cells of a lattice that cover the extent, without margin."""
        raster = self.nested.at(1).raster
        scale = self.nested.lattice.cell / lattice.cell
        x0, y0 = (raster.x0 - lattice.x0) / lattice.cell, (lattice.y0 - raster.y0) / lattice.cell
        ends = y0 + raster.height * scale, x0 + raster.width * scale
        return Window(_floor(y0), _ceil(ends[0]), _floor(x0), _ceil(ends[1]))


def _floor(value: float) -> int:
    return math.floor(value + 1e-6)


def _ceil(value: float) -> int:
    return math.ceil(value - 1e-6)


@lru_cache(maxsize=256)
def crs_of(text: str) -> CRS:
    """Return a coordinate reference system by its name or WKT; thousands of files state the same few."""
    return CRS.from_user_input(text)


@lru_cache(maxsize=256)
def wkt_name(wkt: str) -> str:
    """Return the name of the coordinate reference system that a WKT states."""
    return crs_name(crs_of(wkt))


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def crs_name(crs: CRS) -> str:
    """Return the authority code of a coordinate reference system, or its WKT where it has none."""
    authority = crs.to_authority()
    if authority and CRS.from_authority(*authority).equals(crs, ignore_axis_order=True):
        return ":".join(authority)
    return crs.to_wkt()


@lru_cache(maxsize=64)
def parse_crs(text: str) -> str:
    """Return the name of a configured coordinate reference system.

    Raises
    ------
    InputError
        If there is no such system.
    """
    try:
        return crs_name(CRS.from_user_input(text))
    except CRSError as error:
        raise InputError(f"got the crs {text!r}, which names no coordinate reference system; try EPSG:4326") from error


def transform_bounds(source: str, target: str, bounds: Bounds) -> Bounds:
    """Return the box around a box whose edges are densified and transformed.

    Raises
    ------
    InputError
        If the box lies outside what the target system covers.
    """
    try:
        west, south, east, north = _transformer(source, target).transform_bounds(*bounds, densify_pts=64)
    except (ProjError, CRSError) as error:
        raise InputError(
            f"got {bounds} in {_short(source)}, which {_short(target)} does not reach; check crs"
        ) from error
    if not all(math.isfinite(v) for v in (west, south, east, north)):
        raise InputError(f"got {bounds} in {_short(source)}, which {_short(target)} does not reach; check crs")
    return west, south, east, north


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else CRS.from_user_input(crs).name


def raster_bounds(raster: RasterGrid) -> Bounds:
    """Return x min, y min, x max, y max of a north-up raster."""
    return raster.x0, raster.y0 + raster.height * raster.dy, raster.x0 + raster.width * raster.dx, raster.y0


def subset(raster: RasterGrid, window: Window) -> RasterGrid:
    """Return the part of a raster that a window names."""
    return replace(
        raster,
        x0=raster.x0 + window.x0 * raster.dx,
        y0=raster.y0 + window.y0 * raster.dy,
        height=window.height,
        width=window.width,
    )


def needed_window(raster: RasterGrid, context: IngestContext, what: str) -> tuple[Window, float]:
    """Return the pixels of a north-up raster that the extent needs, and the share of the extent that it covers.

    Parameters
    ----------
    raster : RasterGrid
        The whole source.
    context : IngestContext
        The extent; its margin and 8 pixels more are kept around it.
    what : str
        Name of the source, for the message.

    Raises
    ------
    InputError
        If the source does not meet the extent.
    """
    west, south, east, north = context.lonlat
    shown = f"lon {west:.3f} to {east:.3f}, lat {south:.3f} to {north:.3f}"
    bare = _window_of(raster, transform_bounds("EPSG:4326", raster.crs, context.lonlat), 0)
    inside = bare.intersect(raster.window)
    if inside is None:
        raise InputError(
            f"empty extent: got {what} covering {_covered(raster)}, which does not meet the project's extent ({shown})"
            "; move the extent, name other files, or set crs if the file's own is wrong"
        )
    grown = (
        max(west - context.margin, -180.0),
        max(south - context.margin, -90.0),
        min(east + context.margin, 180.0),
        min(north + context.margin, 90.0),
    )
    needed = _window_of(raster, transform_bounds("EPSG:4326", raster.crs, grown), PAD_PX).intersect(raster.window)
    return needed or inside, inside.size / bare.size


def _window_of(raster: RasterGrid, bounds: Bounds, pad: int) -> Window:
    x0, y0, x1, y1 = bounds
    cols = _floor((x0 - raster.x0) / raster.dx), _ceil((x1 - raster.x0) / raster.dx)
    rows = _floor((y1 - raster.y0) / raster.dy), _ceil((y0 - raster.y0) / raster.dy)
    return Window(rows[0], max(rows[1], rows[0] + 1), cols[0], max(cols[1], cols[0] + 1)).expand(pad)


def _covered(raster: RasterGrid) -> str:
    x0, y0, x1, y1 = raster_bounds(raster)
    plain = f"x {x0:.6g} to {x1:.6g}, y {y0:.6g} to {y1:.6g} in {_short(raster.crs)}"
    try:
        west, south, east, north = transform_bounds(raster.crs, "EPSG:4326", (x0, y0, x1, y1))
    except InputError:
        return plain
    return f"lon {west:.3f} to {east:.3f}, lat {south:.3f} to {north:.3f} (in {_short(raster.crs)})"
