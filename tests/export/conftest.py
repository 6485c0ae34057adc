from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.grid import RasterGrid
from smdown.inference.mosaic import mosaic_spec
from tests.inference.fakes import DAYS, job, noise

RATIO = 60


@pytest.fixture(scope="session")
def mosaic(tmp_path_factory):
    """A mosaic of 300 x 180 pixels with a hole and a gradient on its second day, written tile by tile."""
    the_job = job(tmp_path_factory.mktemp("mosaic"), ratio=RATIO, days=DAYS[:2])
    cube = create_cube(the_job.mosaic_url, mosaic_spec(the_job, "f", {"bundle": "abc"}))
    window = the_job.grid.window
    x = np.linspace(0.1, 0.4, window.width, dtype=np.float32)[None, :]
    field = x + 0.05 * noise(window, 1)
    field[30:50, 40:90] = np.nan
    for tile in the_job.grid.tiles(the_job.cells_per_tile):
        part = tile.core.relative_to(window)
        cube.write("sm_surface", field[part.slices], part, 1)
        cube.write("sm_surface_std", 0.1 * field[part.slices], part, 1)
        cube.write("flags", np.isnan(field[part.slices]).astype(np.uint8) * 2, part, 1)
    cube.finish()
    return cube, field


@pytest.fixture
def growing(tmp_path):
    """A maker of a mosaic with its first days; called again with more of them, it lengthens the same mosaic."""

    def grow(days):
        the_job = job(tmp_path / "growing", ratio=RATIO, days=tuple(days))
        spec = replace(mosaic_spec(the_job, f"of {len(days)} days", {"bundle": "abc"}), day_identity="d")
        cube = create_cube(the_job.mosaic_url, spec, resume=True)
        window = the_job.grid.window
        for day in cube.days_of(len(cube.batches) - 1):
            for tile in the_job.grid.tiles(the_job.cells_per_tile):
                cube.write("sm_surface", 0.2 + 0.1 * noise(tile.core, day), tile.core.relative_to(window), day)
        cube.finish()
        return cube.url

    return grow


@pytest.fixture(scope="session")
def make_square(tmp_path_factory):
    """A maker of cubes with round 30 m pixels in UTM, of one layer and its flags on one day."""

    def make(values, flags=None, *, finish=True, shard=64, chunk=32):
        height, width = values.shape
        raster = RasterGrid("EPSG:32614", 600_000.0, 3_900_000.0, 30.0, -30.0, height, width)
        beside = {"ancillary_variables": "flags"}
        layer = Variable(
            "sm", ("time", "y", "x"), "int16", 1e-4, "m3 m-3", "Moisture", valid_range=(0, 1), attrs=beside
        )
        named = {"flag_masks": [1, 2, 4], "flag_meanings": "no_coarse no_driver not_met"}
        spec = CubeSpec(
            raster, (layer, Variable("flags", ("time", "y", "x"), "uint8", attrs=named)), DAYS[:1], shard, chunk
        )
        cube = create_cube(str(tmp_path_factory.mktemp("square") / "map.zarr"), spec)
        flags = np.zeros(values.shape, np.uint8) if flags is None else flags
        cube.write("sm", values, raster.window, 0)
        cube.write("flags", flags, raster.window, 0)
        if finish:
            cube.finish()
        return cube

    return make
