"""One day of one variable as a Cloud-Optimised GeoTIFF, written by tiles."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.vrt import WarpedVRT

import smdown
from smdown.cubes import Cube, Variable, open_cube
from smdown.errors import ConfigError, ResourceError
from smdown.export.select import choose, day_of, shards, windows
from smdown.export.style import palette, write_style
from smdown.export.tally import Stats, Tally
from smdown.export.target import GDAL_ERRORS, kernel, target_grid, transform
from smdown.grid import RasterGrid, Window
from smdown.identity import fingerprint

_FORMAT = 2
"""Changes whenever the same mosaic makes other files."""
MADE_FROM = "SMDOWN_MADE_FROM"
_NO_FLAGS = 255  # outside a reprojected map; no combination of flags
_BLOCK = 1024
_CACHE = 64 * 2**20
_PLAIN: dict[str, Any] = {
    "driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "BIGTIFF": "IF_SAFER", "count": 1,
    "compress": "zstd", "zstd_level": 1, "sparse_ok": True,
}  # fmt: skip
_COG: dict[str, Any] = {
    "driver": "COG", "COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BLOCKSIZE": 512, "BIGTIFF": "IF_SAFER",
}  # fmt: skip
_CANNOT_WRITE: tuple[type[Exception], ...] = (*GDAL_ERRORS, OSError)
_Block = tuple[Window, npt.NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """One map of a mosaic, and the grid that it is exported on."""

    cube: Cube
    variable: Variable
    place: int
    target: RasterGrid

    @property
    def day(self) -> str:
        """Its day, ISO."""
        return day_of(self.cube, self.place)

    @property
    def made_from(self) -> str:
        """Identity of whatever the file's content depends on, the day and the variable apart."""
        return made_from(self.cube, self.target)

    @property
    def nodata(self) -> float | int:
        """Value on disk that stands for nothing."""
        return self.variable.fill if self.variable.is_float else _NO_FLAGS


def made_from(cube: Cube, target: RasterGrid) -> str:
    """Return the identity of a mosaic, whichever days it has, and the grid of its export."""
    grid = [target.crs, *target.geotransform, *target.shape]
    return fingerprint(cube.spec.day_identity or cube.spec.fingerprint, grid, _FORMAT)


def export_cog(
    mosaic_url: str,
    variable: str,
    day: str,
    path: str | Path,
    crs: str | None = None,
    resolution: float | None = None,
) -> Path:
    """Write a Cloud-Optimised GeoTIFF: the values as packed in the mosaic, with scale, nodata and overviews.

    A QGIS style of the same name lies beside it, and flags have a colour table and their names. Memory does not grow
    with the map; on the disk of `path`, uncompressed or lightly compressed copies of it stand meanwhile. Threads that
    compress are counted by GDAL's own ``GDAL_NUM_THREADS``.

    Parameters
    ----------
    mosaic_url : str
        The mosaic.
    variable : str
        One of its variables.
    day : str
        ISO day.
    path : path-like
        Local file to write; it appears when it is whole. One that is there and was made from the same is kept.
    crs : str, optional
        Another coordinate reference system, such as ``EPSG:5070``; the mosaic's own by default, which leaves every
        value as it is. Reprojection is bilinear, of flags nearest.
    resolution : float, optional
        Side of a pixel in units of `crs`. Larger pixels hold the mean of what they cover, of flags the most common.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CubeError
        If the mosaic has no such variable or day, or that day is not finished.
    ConfigError
        If the grid is impossible, or the file is not local, or one that is there is not a map of ours.
    ResourceError
        If the file cannot be written.
    """
    target = local(path)
    cube = open_cube(mosaic_url)
    (described,), (place,) = choose(cube, (variable,), (day,))
    source = Source(cube, described, place, target_grid(cube.raster, crs, resolution))
    there = standing(target)
    if there is None and target.exists():
        raise ConfigError(f"got {path}, which is there and is no map of ours; name another file, or remove it")
    if there != (source.made_from, described.name, source.day):
        write_cog(source, target)
    return target


def local(path: str | Path) -> Path:
    """Return a local path.

    Raises
    ------
    ConfigError
        If it is a URL.
    """
    if "://" in str(path):
        raise ConfigError(f"got {path} to write to; GDAL writes local files: name one, and copy it where it should go")
    return Path(path)


def standing(path: Path) -> tuple[str, str, str] | None:
    """Return what a finished file of ours was made from, its variable and its day; None where there is none."""
    if not path.is_file():
        return None
    try:
        with rasterio.open(path) as file:
            tags = file.tags()
    except GDAL_ERRORS:
        return None
    if MADE_FROM not in tags:
        return None
    return tags[MADE_FROM], tags.get("variable", ""), tags.get("TIFFTAG_DATETIME", "")[:10].replace(":", "-")


def write_cog(source: Source, path: Path) -> None:
    """Write a map, its style beside it first, so that a finished file has all that belongs to it."""
    folder = path.parent / f".export-{path.stem}"  # the same for every try, so that nothing stays of a killed one
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        with rasterio.Env(GDAL_CACHEMAX=_CACHE, GDAL_PAM_ENABLED="NO"):
            finished, stats = _make(source, folder)
        write_style(path, source.variable, stats)
        finished.replace(path)
    except _CANNOT_WRITE as error:
        raise ResourceError(
            f"could not write {path} ({' '.join(str(error).split())}); nothing is left of it"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(source: Source, folder: Path) -> tuple[Path, Stats]:
    """Write a map plainly, then on its new grid, then as it is given away; read that once more, and return it."""
    cube, target = source.cube, source.target
    plain, warped, finished = (folder / name for name in ("plain.tif", "warped.tif", "cog.tif"))
    tally = _write(plain, cube.raster, source, _packed(source))
    if target != cube.raster:
        tally = _write(warped, target, source, _warped(plain, source))
        plain.unlink()
    overviews = "AVERAGE" if source.variable.is_float else "MODE"
    rasterio.shutil.copy(plain if target == cube.raster else warped, finished, **_COG, OVERVIEW_RESAMPLING=overviews)
    if not _read_back(finished, source).same(tally):
        raise OSError("not all of it came back; the disk may be full")
    return finished, tally.stats.scaled(source.variable.scale)


def _packed(source: Source) -> Iterator[_Block]:
    """Yield the shards of the mosaic as they stand there."""
    for window in shards(source.cube):
        yield window, source.variable.pack(source.cube.read(source.variable.name, window, source.place))


def _warped(path: Path, source: Source) -> Iterator[_Block]:
    target = source.target
    grid = {"crs": target.crs, "transform": transform(target), "width": target.width, "height": target.height}
    resampling = kernel(source.variable, source.cube.raster, target)
    with rasterio.open(path) as file, WarpedVRT(file, **grid, resampling=resampling, warp_mem_limit=64) as vrt:
        for window in windows(target.shape, _BLOCK):
            yield window, vrt.read(1, window=_gdal(window))


def _write(path: Path, grid: RasterGrid, source: Source, blocks: Iterable[_Block]) -> Tally:
    """Write a tiled GeoTIFF block by block; blocks without any value are left out."""
    profile = _PLAIN | {
        "height": grid.height, "width": grid.width, "dtype": source.variable.dtype, "crs": grid.crs,
        "transform": transform(grid), "nodata": source.nodata,
    }  # fmt: skip
    tally = Tally()
    with rasterio.open(path, "w", **profile) as file:
        for window, packed in blocks:
            valid = _valid(packed, source)
            tally.add(packed[valid], packed.size)
            if valid.any():
                file.write(packed, 1, window=_gdal(window))
        _describe(file, source)
        if source.variable.is_float:
            file.update_tags(1, **tally.stats.tags())
    return tally


def _read_back(path: Path, source: Source) -> Tally:
    tally = Tally()
    with rasterio.open(path) as file:
        for window in windows(file.shape, _BLOCK):
            packed = file.read(1, window=_gdal(window))
            tally.add(packed[_valid(packed, source)], packed.size)
    return tally


def _gdal(window: Window) -> Any:
    return rasterio.windows.Window.from_slices(*window.slices)


def _valid(packed: npt.NDArray[Any], source: Source) -> npt.NDArray[np.bool_]:
    return ~np.isnan(packed) if math.isnan(source.nodata) else packed != source.nodata


def _describe(file: Any, source: Source) -> None:
    """Say what the values mean, and what they were made from."""
    variable = source.variable
    file.set_band_description(1, variable.long_name or variable.name)
    if variable.scale is not None:
        file.scales, file.offsets = (variable.scale,), (0.0,)
    if variable.units:
        file.set_band_unit(1, variable.units)
    if colours := palette(variable):
        file.write_colormap(1, colours)
    file.update_tags(
        variable=variable.name,
        TIFFTAG_DATETIME=source.day.replace("-", ":") + " 00:00:00",
        TIFFTAG_SOFTWARE=f"smdown {smdown.__version__}",
        **{MADE_FROM: source.made_from},
        **{key: value for key, value in source.cube.attrs.items() if isinstance(value, str)},
    )
