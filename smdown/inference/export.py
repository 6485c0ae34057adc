"""One date of one variable as a Cloud-Optimised GeoTIFF, written by tiles."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT

from smdown.cubes import Cube, Variable, open_cube
from smdown.errors import ConfigError, CubeError
from smdown.grid import Window

_TILED = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "BIGTIFF": "IF_SAFER"}
_NO_FLAGS = 255  # outside a reprojected map; no combination of flags
_COG: dict[str, Any] = {
    "driver": "COG",
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "2",
    "BLOCKSIZE": 512,
    "BIGTIFF": "IF_SAFER",
}


def export_cog(mosaic_url: str, variable: str, day: str, path: str | Path, crs: str | None = None) -> Path:
    """Write a Cloud-Optimised GeoTIFF: the values as packed in the mosaic, with scale, nodata and overviews.

    Parameters
    ----------
    mosaic_url : str
        The mosaic.
    variable : str
        One of its variables.
    day : str
        ISO day.
    path : path-like
        Local file to write; it appears when it is whole.
    crs : str, optional
        Another coordinate reference system, such as ``EPSG:5070``; the mosaic's own by default, which leaves every
        value as it is. Reprojection is bilinear, of flags nearest.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CubeError
        If the mosaic has no such variable or day.
    ConfigError
        If the coordinate reference system is unknown, or the file is not local.
    """
    if "://" in str(path):
        raise ConfigError(f"got {path} to write to; GDAL writes local files: name one, and copy it where it should go")
    cube = open_cube(mosaic_url)
    described, index = find(cube, variable, day)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        plain, finished = Path(folder) / "plain.tif", Path(folder) / "cog.tif"
        _write_plain(cube, described, index, plain)
        with _in_crs(plain, crs, described) as source:
            overviews = "AVERAGE" if described.is_float else "NEAREST"
            rasterio.shutil.copy(source, finished, **_COG, OVERVIEW_RESAMPLING=overviews, NUM_THREADS=1)
        finished.replace(target)
    return target


def find(cube: Cube, variable: str, day: str) -> tuple[Variable, int]:
    """Return a variable and the position of a day.

    Raises
    ------
    CubeError
        If there is no such variable or day.
    """
    if variable not in cube.variables:
        raise CubeError(f"got the variable {variable!r}; {cube.url} has {', '.join(cube.variables)}")
    try:
        places = np.flatnonzero(cube.times == np.datetime64(day, "ns"))
    except ValueError as error:
        raise CubeError(f"got the day {day!r}, which is no date; write it as 2020-01-31") from error
    if not len(places):
        known = [str(t)[:10] for t in cube.times]
        listed = ", ".join(known) if len(known) < 6 else f"{len(known)} days from {known[0]} to {known[-1]}"
        raise CubeError(f"got the day {day}, which {cube.url} does not hold; it has {listed}")
    return cube.variables[variable], int(places[0])


def shards(cube: Cube) -> Iterator[Window]:
    """Yield the windows of a cube's shards, in its own indices."""
    (height, width), side = cube.raster.shape, cube.spec.shard
    for y0 in range(0, height, side):
        for x0 in range(0, width, side):
            yield Window(y0, min(y0 + side, height), x0, min(x0 + side, width))


def _write_plain(cube: Cube, variable: Variable, index: int, path: Path) -> None:
    """Write the packed values to a tiled GeoTIFF, one shard at a time."""
    raster = cube.raster
    profile = _TILED | {
        "height": raster.height, "width": raster.width, "count": 1, "dtype": variable.dtype, "crs": raster.crs,
        "transform": rasterio.Affine.from_gdal(*raster.geotransform), "compress": "zstd", "zstd_level": 1,
        "nodata": variable.fill if variable.is_float else _NO_FLAGS, "sparse_ok": True,
    }  # fmt: skip
    array = cube.array(variable.name)
    with rasterio.open(path, "w", **profile) as file:
        for window in shards(cube):
            packed: npt.NDArray[Any] = np.asarray(array[(index, *window.slices)])
            if not variable.is_float or (packed != variable.fill).any():
                file.write(packed, 1, window=rasterio.windows.Window.from_slices(*window.slices))
        _describe(file, cube, variable, index)


def _describe(file: Any, cube: Cube, variable: Variable, index: int) -> None:
    file.set_band_description(1, variable.long_name or variable.name)
    if variable.scale is not None:
        file.scales, file.offsets = (variable.scale,), (0.0,)
    if variable.units:
        file.set_band_unit(1, variable.units)
    file.update_tags(
        variable=variable.name,
        TIFFTAG_DATETIME=str(cube.times[index])[:10].replace("-", ":") + " 00:00:00",
        **{key: value for key, value in cube.attrs.items() if isinstance(value, str)},
    )


@contextmanager
def _in_crs(path: Path, crs: str | None, variable: Variable) -> Iterator[Any]:
    resampling = Resampling.bilinear if variable.is_float else Resampling.nearest
    with rasterio.open(path) as file:
        if crs is None:
            yield file
            return
        try:
            warped = WarpedVRT(file, crs=crs, resampling=resampling)
        except (CRSError, RasterioError) as error:
            raise ConfigError(
                f"got the coordinate reference system {crs!r} ({error}); write it as EPSG:5070"
            ) from error
        with warped:
            yield warped
