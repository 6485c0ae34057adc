"""Many maps as a folder of Cloud-Optimised GeoTIFFs, a subfolder a day, with a STAC catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import rasterio

from smdown.cubes import Variable, open_cube
from smdown.cubes.lease import Lease
from smdown.errors import ConfigError
from smdown.export.cog import MADE_FROM, Source, local, made_from, standing, write_cog
from smdown.export.select import Tell, choose, day_of, silent
from smdown.export.style import THUMBNAIL, write_thumbnail
from smdown.export.tally import Stats
from smdown.export.target import target_grid


def export_maps(
    mosaic_url: str,
    folder: str | Path,
    *,
    layers: Sequence[str] = (),
    days: Sequence[str] = (),
    crs: str | None = None,
    resolution: float | None = None,
    stac: bool = True,
    name: str = "smdown",
    tell: Tell = silent,
) -> Path:
    """Write maps as ``DAY/VARIABLE_DAY.tif``, each with its QGIS style, a thumbnail a day and a STAC collection.

    Called again it keeps what is finished and writes what is missing; further layers and days may join, maps of
    another mosaic or on another grid may not.

    Parameters
    ----------
    mosaic_url : str
        The mosaic.
    folder : path-like
        Local folder; made where there is none.
    layers, days : sequence of str
        Variables and ISO days; all by default.
    crs, resolution
        See :func:`smdown.export.export_cog`.
    stac : bool
        Write a catalogue of all maps in the folder; needs the extra ``stac`` (pystac).
    name : str
        Identity of the collection.
    tell : callable
        Hears how far the work has come.

    Returns
    -------
    Path
        The collection, or the folder where there is none.

    Raises
    ------
    CubeError
        If the mosaic has no such variable or day, or a day is not finished.
    ConfigError
        If the grid is impossible, the folder holds other maps or is not local, or pystac is missing.
    ResourceError
        If a file cannot be written.
    """
    if stac and find_spec("pystac") is None:
        raise ConfigError(
            "got no pystac, which writes the catalogue; install smdown[stac], or leave it out (--no-stac)"
        )
    home, cube = local(folder), open_cube(mosaic_url)
    if home.exists() and not home.is_dir():
        raise ConfigError(f"got {folder}, which is a file; name a folder, or a file that ends in .tif")
    variables, places = choose(cube, layers, days)
    target = target_grid(cube.raster, crs, resolution)
    _check_same(home, made_from(cube, target))
    with Lease(str(home)):
        for number, source in enumerate(sources := [Source(cube, v, p, target) for p in places for v in variables]):
            tell(_path(home, source).name, number, len(sources))
            if standing(_path(home, source)) != (source.made_from, source.variable.name, source.day):
                write_cog(source, _path(home, source))
        for place in places:
            _thumbnail(home / day_of(cube, place), variables)
        tell("", len(sources), len(sources))
        if not stac:
            return home
        from smdown.export.stac import write_catalogue

        return write_catalogue(home, finished_maps(home), cube, target, name)


def finished_maps(home: Path) -> list[Path]:
    """Return the finished maps of a folder, by day and name."""
    return [path for path in sorted(home.glob("*/*.tif")) if standing(path) is not None]


def _path(home: Path, source: Source) -> Path:
    return home / source.day / f"{source.variable.name}_{source.day}.tif"


def _check_same(home: Path, identity: str) -> None:
    for path in finished_maps(home):
        found = standing(path)
        if found is not None and found[0] != identity:
            raise ConfigError(
                f"got {home} with {path.relative_to(home)}, of another mosaic or on another grid "
                f"({MADE_FROM} {found[0]}, now {identity}); name another folder, or remove it"
            )


def _thumbnail(folder: Path, variables: Sequence[Variable]) -> None:
    """Draw the first of the layers that is no flag, unless a picture is there."""
    path = folder / THUMBNAIL
    first = next((v for v in variables if v.is_float), None)
    if first is None or path.exists():
        return
    cog = folder / f"{first.name}_{folder.name}.tif"
    with rasterio.open(cog) as file:
        stats = Stats.from_tags(file.tags(1)).scaled(first.scale)
    write_thumbnail(cog, first, stats, path)
