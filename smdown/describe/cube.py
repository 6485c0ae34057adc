"""Describe a cube."""

from __future__ import annotations

import numpy as np
from pyproj import CRS, Transformer
from rich.table import Table

from smdown import cubes
from smdown.cubes.store import sizes
from smdown.describe.texts import days_text, facts, grid, interval, size_text
from smdown.grid import RasterGrid, Window

_SAMPLES = 16
_LONGEST = 300


def cube_tables(cube: cubes.Cube) -> list[Table]:
    """Return the tables that describe a cube."""
    spec, raster = cube.spec, cube.raster
    objects = sizes(cube.url)
    about = {
        "kind": _kind(cube),
        "title": cube.attrs.get("title"),
        "grid": _grid_text(cube),
        "coordinates": _crs(raster.crs),
        "extent": _extent(raster),
        "shape": f"{raster.height} x {raster.width} px, shards of {spec.shard} px, chunks of {spec.chunk} px",
        "tiles": f"{len(cube.done())} of {spec.tiles[0] * spec.tiles[1]} done",
        "times": days_text(cube.times),
        "size": f"{size_text(sum(objects.values()))} in {len(objects)} objects",
        "fingerprint": spec.fingerprint,
    }
    about |= {
        k: str(v)[:_LONGEST] for k, v in cube.attrs.items() if k not in about and isinstance(v, str | int | float)
    }
    variables = (
        (v.name, ", ".join(v.dims), _dtype(v), v.units, interval(v.valid_range), _sampled(cube, v.name), v.long_name)
        for v in cube.variables.values()
    )
    columns = "name|dimensions|type|units|valid range|values (sampled)|what"
    return [facts(cube.url, about), grid("Variables", columns, variables)]


def _kind(cube: cubes.Cube) -> str:
    if "constraint" in cube.attrs:
        return "mosaic" if "flags" in cube.variables else "maps of single networks"
    if cube.nested is None or "kind" in cube.attrs:
        return f"source cube, {cube.attrs.get('kind', 'of unknown kind')}"
    return "cube on a nested grid" if cube.spec.times else "feature cube"


def _grid_text(cube: cubes.Cube) -> str:
    if cube.nested is None:
        return f"pixels of {abs(cube.raster.dx):.10g} x {abs(cube.raster.dy):.10g}"
    nested, cells = cube.nested, cube.nested.cells
    size = nested.lattice.cell / nested.ratio
    place = f"rows {cells.y0} to {cells.y1 - 1}, columns {cells.x0} to {cells.x1 - 1}"
    return f"{nested.lattice.name}, cells of {place}, {nested.ratio} x {nested.ratio} px a cell, {size:.2f} m a pixel"


def _crs(text: str) -> str:
    crs = CRS.from_user_input(text)
    code = crs.to_epsg()
    return f"{crs.name} (EPSG:{code})" if code else crs.name


def _extent(raster: RasterGrid) -> str:
    """Return the bounds in degrees, with a dense border, since edges are curved there."""
    x1, y1 = raster.x0 + raster.width * raster.dx, raster.y0 + raster.height * raster.dy
    to_degrees = Transformer.from_crs(raster.crs, "EPSG:4326", always_xy=True)
    box = min(raster.x0, x1), min(raster.y0, y1), max(raster.x0, x1), max(raster.y0, y1)
    west, south, east, north = to_degrees.transform_bounds(*box, densify_pts=21)
    return f"lon {west:.4f} to {east:.4f}, lat {south:.4f} to {north:.4f}"


def _dtype(variable: cubes.Variable) -> str:
    return variable.dtype if variable.scale is None else f"{variable.dtype} x {variable.scale:g}"


def _sampled(cube: cubes.Cube, name: str) -> str:
    """Return least and greatest value and the share of valid ones, in one chunk each of a few tiles and days."""
    done, days = sorted(cube.done()), max(len(cube.times), 1) if cube.variables[name].timed else 1
    side, shard, values = cube.spec.chunk, cube.spec.shard, []
    for number in np.unique(np.linspace(0, len(done) * days - 1, _SAMPLES).astype(int)) if done else ():
        (row, col), day = done[number // days], int(number % days)
        place = Window(row * shard, row * shard + side, col * shard, col * shard + side).intersect(cube.raster.window)
        assert place is not None
        values.append(cube.read(name, place, day).ravel())
    every = np.concatenate(values).astype(np.float64) if values else np.zeros(0)
    good = every[np.isfinite(every)]
    if not good.size:
        return "none valid" if every.size else "none written"
    return f"{good.min():.4g} to {good.max():.4g}, {good.size / every.size:.0%} valid"
