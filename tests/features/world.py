"""A small region, its drivers, and how sources are made up on every kind of grid."""

import numpy as np
from pyproj import Transformer

from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window

BASE = NestedGrid(EASE2_M09, Window(345, 347, 878, 880), 300)
DAYS = tuple(str(np.datetime64("2020-04-01") + n) for n in range(20) if n != 12)  # one day is missing
COMPOSITES = ("2020-04-05", "2020-04-15")
DRIVERS = (
    {"name": "soil", "kind": "source", "source": "soil", "variable": "sand"},
    {"name": "ndvi", "kind": "normalized_difference", "source": "optical", "a": "nir", "b": "red"},
    {"name": "elevation", "kind": "source", "source": "dem", "variable": "elevation"},
    {"name": "slope", "kind": "terrain", "measure": "slope", "source": "dem"},
    {"name": "northness", "kind": "terrain", "measure": "northness", "source": "dem"},
    {"name": "own_slope", "kind": "terrain", "measure": "slope", "source": "dem", "at": "own"},
    {"name": "tpi", "kind": "terrain", "measure": "tpi", "source": "dem", "radius_m": 300},
    {"name": "rain_week", "kind": "antecedent", "source": "rain", "variable": "p", "days": 7},
    {"name": "rain_today", "kind": "daily", "source": "rain", "variable": "p", "max_age_days": 2},
    {"name": "cover", "kind": "source", "source": "cover", "variable": "class", "resampling": "nearest"},
)
SEQUENCE = {"days": 6, "resolution": 1000, "drivers": ({"name": "rain", "source": "rain", "variable": "p"},)}


def bounds(crs, base=BASE):
    r = base.raster
    change = Transformer.from_crs(base.crs, crs, always_xy=True)
    return change.transform_bounds(r.x0, r.y0 + r.height * r.dy, r.x0 + r.width * r.dx, r.y0)


def raster(crs, step, margin):
    """Return a raster around the region, `margin` pixels wider."""
    west, south, east, north = bounds(crs)
    x0, y0 = (np.floor(west / step) - margin) * step, (np.ceil(north / step) + margin) * step
    size = (int(np.ceil((y0 - south) / step)) + margin, int(np.ceil((east - x0) / step)) + margin)
    return RasterGrid(crs, float(x0), float(y0), step, -step, *size)


def make_source(folder, name, grid, fields, times=(), nested=None):
    """Write a finished source cube; fields are ``(y, x)`` or ``(time, y, x)``."""
    spec = CubeSpec(
        grid, tuple(Variable(n, ("time", "y", "x")[-f.ndim :], str(f.dtype)) for n, f in fields.items()),
        times, 512, 128, "", {}, nested,
    )  # fmt: skip
    cube = create_cube(f"{folder}/{name}.zarr", spec, overwrite=True)
    for variable, field in fields.items():
        cube.array(variable)[...] = field
    cube.finish()
    return cube


def noise(seed, shape, *, missing=0.01, low=0.0):
    """Return a smooth field with some noise and some holes."""
    random = np.random.default_rng(seed)
    y, x = (np.linspace(0, 7, n) for n in shape[-2:])
    field = 2 + np.sin(y[:, None] + seed) + np.cos(1.3 * x) + random.normal(scale=0.05, size=shape)
    field[random.random(shape) < missing] = np.nan
    return np.maximum(field, low).astype(np.float32)
