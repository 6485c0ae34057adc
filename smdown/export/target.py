"""The grid that an export has: the mosaic's own, or one in another coordinate system or of another resolution."""

from __future__ import annotations

import math

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.warp import aligned_target, calculate_default_transform, transform_bounds

from smdown.cubes import Variable
from smdown.errors import ConfigError
from smdown.grid import RasterGrid

GDAL_ERRORS: tuple[type[Exception], ...] = (RasterioError, CPLE_BaseError)
"""What rasterio raises; some errors of GDAL itself are no errors of rasterio."""
_NO_GRID: tuple[type[Exception], ...] = (*GDAL_ERRORS, ValueError, OverflowError)
_FINEST = 8.0
"""How many times finer than the mosaic, along a side, an export may be."""
_COARSER = 1.5
"""From pixels this many times wider on, the mean of all pixels below is taken."""


def target_grid(raster: RasterGrid, crs: str | None = None, resolution: float | None = None) -> RasterGrid:
    """Return the grid of an export.

    Parameters
    ----------
    raster : RasterGrid
        The mosaic's.
    crs : str, optional
        Another coordinate reference system, such as ``EPSG:5070``; the mosaic's own by default.
    resolution : float, optional
        Side of a pixel in units of `crs`; pixel edges lie on its multiples then, so that exports of neighbouring
        regions join. By default about the mosaic's.

    Returns
    -------
    RasterGrid
        The mosaic's own where neither is given.

    Raises
    ------
    ConfigError
        If the coordinate system is unknown or cannot show the region, or the resolution makes no sensible map.
    """
    if crs is None and resolution is None:
        return raster
    if resolution is not None and not (math.isfinite(resolution) and resolution > 0):
        raise ConfigError(f"got a resolution of {resolution}; give the side of a pixel in units of the map's system")
    wanted = _crs(crs or raster.crs)
    try:
        transform, width, height = calculate_default_transform(
            raster.crs, wanted, raster.width, raster.height, *bounds(raster), resolution=resolution
        )
        extent = _shown(raster, wanted)
    except _NO_GRID as error:
        raise ConfigError(
            f"got {crs or raster.crs}, which cannot show this region ({error}); use another one"
        ) from error
    _check_size(raster, wanted, resolution, width, height)
    if resolution is not None and resolution > max(extent):
        raise ConfigError(
            f"got a resolution of {resolution}, wider than the map, which has {extent[0]:.6g} x {extent[1]:.6g}; "
            f"give it in units of {wanted.to_string()} ({_unit(wanted)})"
        )
    if resolution is not None:
        transform, width, height = aligned_target(transform, width, height, resolution)
    name = wanted.to_string()
    return RasterGrid(name, transform.c, transform.f, transform.a, transform.e, height, width)


def _crs(text: str) -> CRS:
    try:
        with rasterio.Env():
            crs = CRS.from_user_input(text)
    except _NO_GRID as error:
        raise ConfigError(f"got the coordinate reference system {text!r} ({error}); write it as EPSG:5070") from error
    if not (crs.is_projected or crs.is_geographic):
        raise ConfigError(
            f"got the coordinate reference system {text!r}, which is for no flat map; give one as EPSG:5070"
        )
    return crs


def _shown(raster: RasterGrid, crs: CRS) -> tuple[float, float]:
    """Return the map's width and height in another system; raise ValueError where its bounds are not finite there."""
    there = transform_bounds(raster.crs, crs, *bounds(raster))
    if not all(map(math.isfinite, there)) or there[0] >= there[2] or there[1] >= there[3]:
        raise ValueError("its bounds are not finite there")
    return there[2] - there[0], there[3] - there[1]


def _unit(crs: CRS) -> str:
    return str(crs.linear_units) if crs.is_projected else "degree"


def _check_size(raster: RasterGrid, crs: CRS, resolution: float | None, width: int, height: int) -> None:
    if width * height > _FINEST**2 * max(raster.height * raster.width, 2**16):
        raise ConfigError(
            f"got a resolution of {resolution}, which makes {height} x {width} px of a map of {raster.height} x "
            f"{raster.width}; give it in units of {crs.to_string()} ({_unit(crs)})"
        )


def bounds(raster: RasterGrid) -> tuple[float, float, float, float]:
    """Return the left, bottom, right and top edge."""
    x1, y1 = raster.x0 + raster.width * raster.dx, raster.y0 + raster.height * raster.dy
    return min(raster.x0, x1), min(raster.y0, y1), max(raster.x0, x1), max(raster.y0, y1)


def transform(raster: RasterGrid) -> rasterio.Affine:
    """Return the affine transform of a raster, from its pixel indices to its coordinates."""
    return rasterio.Affine.from_gdal(*raster.geotransform)


def coarser(raster: RasterGrid, target: RasterGrid) -> bool:
    """Whether a pixel of the target covers clearly more ground than one of the raster, at the region's centre."""
    return _area(target, raster) > _COARSER**2 * abs(raster.dx * raster.dy)


def _area(target: RasterGrid, raster: RasterGrid) -> float:
    """Return the ground under the target's middle pixel, in units of the raster's system."""
    x, y = target.x0 + target.width / 2 * target.dx, target.y0 + target.height / 2 * target.dy
    half_x, half_y = abs(target.dx) / 2, abs(target.dy) / 2
    west, south, east, north = transform_bounds(
        target.crs, raster.crs, x - half_x, y - half_y, x + half_x, y + half_y, densify_pts=2
    )
    return (east - west) * (north - south)


def kernel(variable: Variable, raster: RasterGrid, target: RasterGrid) -> Resampling:
    """Return how a variable is resampled: values are averaged or interpolated, flags never blended."""
    if coarser(raster, target):
        return Resampling.average if variable.is_float else Resampling.mode
    return Resampling.bilinear if variable.is_float else Resampling.nearest
