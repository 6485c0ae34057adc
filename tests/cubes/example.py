"""One small cube that the tests of damage, death and other stores share, and what it must hold."""

import hashlib

import numpy as np

from smdown.cubes import CubeSpec, Variable, store
from smdown.grid import EASE2_M09, NestedGrid, Window

GRID = NestedGrid(EASE2_M09, Window(400, 403, 1000, 1005), 10)  # 30 x 50 px: shards of 20 leave small ones at the edge
DAYS = ("2020-01-01", "2020-01-02")
SPEC = CubeSpec(
    GRID.raster,
    (
        Variable("sm", ("time", "y", "x"), "int16", 1e-4, "m3 m-3", valid_range=(0.0, 0.9)),
        Variable("flags", ("time", "y", "x"), "uint8"),
        Variable("elevation", units="m"),
    ),
    DAYS, 20, 10, "abc", {"title": "an example"}, GRID,
)  # fmt: skip


def truth(name, day=0):
    """Values of a variable on a day: flags are all 0 and some soil moisture is missing, as over the sea."""
    rng = np.random.default_rng([len(name), day])
    if name == "flags":
        return np.zeros(SPEC.raster.shape, np.uint8)
    values = np.round(rng.uniform(0.0, 0.6, SPEC.raster.shape), 4).astype(np.float32)
    if name == "sm":
        values[:20, :20] = np.nan  # one tile without a single value
    return values


def tiles(spec=SPEC):
    """Yield place and window of each tile."""
    for row, col in np.ndindex(spec.tiles):
        y, x = row * spec.shard, col * spec.shard
        yield (row, col), Window(y, min(y + spec.shard, spec.raster.height), x, min(x + spec.shard, spec.raster.width))


def write_tile(cube, place, window, batch=None):
    """Write a tile (of one batch of days, or of all), its receipt last."""
    for name, variable in cube.variables.items():
        for day in range(len(cube.times)) if variable.timed else (0,):
            if batch is None or cube.batch_of(variable, day) == batch:
                cube.write(name, truth(name, day)[window.slices], window, day if variable.timed else None)
    cube.commit(*place, batch)


def fill(cube, batch=None, only=None):
    """Write every tile that has no receipt."""
    done = cube.done(batch)
    for place, window in tiles(cube.spec):
        if place not in done and (only is None or place in only):
            write_tile(cube, place, window, batch)
    return cube


def check_values(cube, place, window, batches):
    """Assert that a finished tile holds exactly what was written."""
    for name, variable in cube.variables.items():
        for day in range(len(cube.times)) if variable.timed else (0,):
            if cube.batch_of(variable, day) in batches:
                found = cube.read(name, window, day if variable.timed else None)
                np.testing.assert_allclose(found, truth(name, day)[window.slices], atol=1e-6, err_msg=f"{place} {name}")


def contents(url):
    """SHA-256 of every object."""
    return {key: hashlib.sha256(store.get(store.join(url, key))).hexdigest() for key in store.sizes(url)}
