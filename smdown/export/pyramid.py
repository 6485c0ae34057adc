"""A multiscale Zarr pyramid: the mosaic, and the same ground at half, a quarter, ... of its resolution."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from pyproj import CRS

from smdown.cubes import Cube, CubeSpec, Variable, create_cube, join, open_cube, store
from smdown.cubes.lease import Lease
from smdown.cubes.origin import WAYS_OUT
from smdown.cubes.store import zarr_store
from smdown.errors import ConfigError, CubeError
from smdown.export.select import Tell, choose, day_of, silent
from smdown.export.target import bounds, transform
from smdown.grid import RasterGrid, Window
from smdown.identity import fingerprint

_SMALLEST = 512
"""Pixels along the longer side below which no further level is made."""
_CONVENTIONS = {
    "multiscales": ("d35379db-88df-4056-af3a-620245f8e347", "zarr-conventions/multiscales", "Multiscale layout"),
    "proj:": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "zarr-experimental/geo-proj", "Coordinate reference system"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "zarr-conventions/spatial", "Spatial coordinates"),
}


def export_pyramid(
    mosaic_url: str,
    url: str,
    *,
    layers: Sequence[str] = (),
    days: Sequence[str] = (),
    levels: int | None = None,
    tell: Tell = silent,
) -> str:
    """Write a group of cubes, ``0`` the mosaic itself, each further one with pixels twice as wide.

    A pixel of a level is the mean of the valid ones among the four below it (of standard deviations too, which is what
    they are if errors go together), its flags all that any of the four has. Each level opens by itself with xarray,
    ``xr.open_zarr(url, group="3")``, or all at once with ``xr.open_datatree``; the group's attributes follow the Zarr
    conventions ``multiscales``, ``proj:`` and ``spatial``. Shards are written one at a time: memory does not grow with
    the extent, and a second call takes up where the first one was stopped.

    Parameters
    ----------
    mosaic_url : str
        The mosaic.
    url : str
        Local folder or fsspec URL; not there, or begun by the same call. Later days of the mosaic may join.
    layers, days : sequence of str
        Variables and ISO days; all by default.
    levels : int, optional
        How many, the mosaic's own included; by default until the longer side has 512 pixels or fewer.
    tell : callable
        Hears what is being done, how many shards are finished, and of how many.

    Returns
    -------
    str
        The URL.

    Raises
    ------
    CubeError
        If the mosaic has no such variable or day, that day is not finished, or something else lies at `url`.
    ConfigError
        If `levels` is not positive.
    """
    if levels is not None and levels < 1:
        raise ConfigError(f"got {levels} levels; give at least 1")
    source = open_cube(mosaic_url)
    variables, places = choose(source, layers, days)
    specs = list(_specs(source, variables, places, levels))
    if set(store.names(url)) - {"lease.json", "zarr.json", *map(str, range(64))}:
        raise CubeError(f"got {url}, which is there and no pyramid; name a new place")
    with Lease(url):
        zarr.open_group(zarr_store(url), mode="a", zarr_format=3)
        cubes = [_level_cube(join(url, str(number)), spec) for number, spec in enumerate(specs)]
        _fill(source, places, cubes, tell)
        _describe(url, source, specs)
    return url


def _level_cube(url: str, spec: CubeSpec) -> Cube:
    """Create a level, or take up the one that is there; it may lack later days."""
    try:
        return create_cube(url, spec, resume=True)
    except CubeError as error:
        raise CubeError(str(error).replace(WAYS_OUT, "name a new place, or remove it")) from error


def _fill(source: Cube, places: Sequence[int], cubes: Sequence[Cube], tell: Tell) -> None:
    """Write what is missing of each level, the finest first."""
    total, count = sum(rows * cols for rows, cols in (cube.spec.tiles for cube in cubes)), 0
    for number, cube in enumerate(cubes):
        done = cube.done()
        for row, col in np.ndindex(cube.spec.tiles):
            tell(f"level {number}", count, total)
            if (row, col) not in done:
                _write_tile(cubes[number - 1] if number else source, cube, (row, col), None if number else places)
            count += 1
    tell("", total, total)


def _specs(
    source: Cube, variables: Sequence[Variable], places: Sequence[int], levels: int | None
) -> Iterator[CubeSpec]:
    """Yield what each level is."""
    days = tuple(day_of(source, place) for place in places)
    raster, number = source.raster, 0
    while True:
        names, known = [v.name for v in variables], source.spec.day_identity
        day = fingerprint(known, names, number) if known else ""
        map_ = known or source.spec.fingerprint
        identity = fingerprint(map_, names, days, number)
        yield CubeSpec(
            raster, tuple(_coarse(v) if number else v for v in variables), days, source.spec.shard, source.spec.chunk,
            identity, source.attrs, None if number else source.nested,
            made_from={"map": map_, "layers": names, "days": list(days)}, day_identity=day,
        )  # fmt: skip
        number += 1
        if number == levels or (levels is None and max(raster.shape) <= _SMALLEST) or max(raster.shape) == 1:
            return
        height, width = -(-raster.height // 2), -(-raster.width // 2)
        raster = RasterGrid(raster.crs, raster.x0, raster.y0, 2 * raster.dx, 2 * raster.dy, height, width)


def _coarse(variable: Variable) -> Variable:
    """Return a variable as it is above the first level."""
    if variable.is_float:
        return variable
    return replace(variable, attrs={**variable.attrs, "comment": "All flags that any pixel of the mosaic below has"})


def _write_tile(below: Cube, cube: Cube, tile: tuple[int, int], places: Sequence[int] | None) -> None:
    """Write one shard of every variable and day."""
    side = cube.spec.shard
    window = Window(tile[0] * side, (tile[0] + 1) * side, tile[1] * side, (tile[1] + 1) * side)
    inside = window.intersect(cube.raster.window)
    assert inside is not None
    batches = [batch for batch in range(len(cube.batches)) if not cube.has_receipt(tile, batch)]
    for variable in cube.variables.values():
        for day in (day for batch in batches for day in cube.days_of(batch)):
            if places is not None:
                values = below.read(variable.name, inside, places[day])
            else:
                values = _halved_window(below, variable, inside, day, cube.spec.chunk)
            cube.write(variable.name, values, inside, day)
    for batch in batches:
        cube.commit(*tile, batch)


def _halved_window(below: Cube, variable: Variable, window: Window, day: int, rows: int) -> npt.NDArray[Any]:
    """Return a window at half the resolution of a cube, read some rows at a time."""
    out = variable.empty(window.shape)
    for y0 in range(window.y0, window.y1, rows):
        y1 = min(y0 + rows, window.y1)
        part = Window(2 * y0, 2 * y1, 2 * window.x0, 2 * window.x1)
        out[y0 - window.y0 : y1 - window.y0] = halved(below.read(variable.name, part, day))
    return out


def halved(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return blocks of ``2 x 2``: the mean of those that are finite, NaN where none is; of flags their union.

    Parameters
    ----------
    values : ndarray
        ``(2 y, 2 x)`` float32, or flags.

    Returns
    -------
    ndarray
        ``(y, x)`` of the same type.
    """
    quarters = [values[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    if values.dtype.kind in "iu":
        a, b, c, d = quarters
        return np.asarray(a | b | c | d)
    total = np.zeros(quarters[0].shape)
    count = np.zeros(quarters[0].shape, dtype=np.uint8)
    for quarter in quarters:
        known = np.isfinite(quarter)
        np.add(total, quarter, out=total, where=known)
        count += known
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count, dtype=np.float32)


def _describe(url: str, source: Cube, specs: Sequence[CubeSpec]) -> None:
    """Say in the group what its levels are, and gather the metadata of all where readers look for it."""
    own = CRS.from_user_input(source.raster.crs)
    authority = own.to_authority(min_confidence=100)
    attrs = {
        **{key: value for key, value in source.attrs.items() if isinstance(value, str)},
        "Conventions": "CF-1.11",
        "zarr_conventions": [_convention(name) for name in _CONVENTIONS],
        "multiscales": {"layout": [_level(n, s.raster) for n, s in enumerate(specs)], "resampling_method": "average"},
        "proj:code" if authority else "proj:wkt2": ":".join(authority) if authority else own.to_wkt(),
        "spatial:dimensions": ["y", "x"],
        "spatial:bbox": list(bounds(source.raster)),
    }
    zarr.open_group(zarr_store(url), mode="r+", zarr_format=3).update_attributes(attrs)
    with warnings.catch_warnings():
        for known in ("Consolidated metadata is currently not part", "Object at lease.json"):
            warnings.filterwarnings("ignore", message=known)
        zarr.consolidate_metadata(zarr_store(url))


def _convention(name: str) -> dict[str, str]:
    uuid, repository, description = _CONVENTIONS[name]
    return {
        "name": name,
        "uuid": uuid,
        "schema_url": f"https://raw.githubusercontent.com/{repository}/refs/tags/v1/schema.json",
        "spec_url": f"https://github.com/{repository}/blob/v1/README.md",
        "description": description,
    }


def _level(number: int, raster: RasterGrid) -> dict[str, Any]:
    place = {"spatial:shape": list(raster.shape), "spatial:transform": list(transform(raster))[:6]}
    if number == 0:
        return {"asset": "0", "transform": {"scale": [1.0, 1.0], "translation": [0.0, 0.0]}, **place}
    below = {"asset": str(number), "derived_from": str(number - 1)}
    return {**below, "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]}, **place}
