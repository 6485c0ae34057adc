"""Source pixels: what is kept, what is outside, and what must never reach a kernel."""

import numpy as np
import pytest

from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.errors import CubeError
from smdown.features.pixels import Kept, Pixels
from smdown.grid import RasterGrid, Window

GRID = RasterGrid("EPSG:32614", 0.0, 0.0, 30.0, -30.0, 40, 50)


def cube_of(path, values, **kwargs):
    cube = create_cube(str(path / "it.zarr"), CubeSpec(GRID, (Variable("v", **kwargs),), (), 64, 64))
    cube.array("v")[...] = values
    cube.finish()
    return cube


@pytest.mark.parametrize("fill", [-9999.0, 65535.0, 1e20, np.inf, -np.inf])
def test_a_fill_that_nobody_declared_is_missing(tmp_path, fill):
    """It would be blended into some hundred thousand fine pixels."""
    values = np.full(GRID.shape, 0.3, np.float32)
    values[7, 9] = fill
    pixels = Pixels(cube_of(tmp_path, values, valid_range=(0.0, 1.0)), Kept())
    found = pixels.read("v", GRID.window, None)
    assert np.isnan(found[7, 9])
    assert np.isnan(found).sum() == 1


def test_what_is_infinite_is_missing_without_a_range(tmp_path):
    values = np.full(GRID.shape, 0.3, np.float32)
    values[7, 9] = np.inf
    assert np.isnan(Pixels(cube_of(tmp_path, values), Kept()).read("v", GRID.window, None)).sum() == 1


def test_beyond_the_source_all_is_missing(tmp_path):
    values = np.arange(2000, dtype=np.float32).reshape(GRID.shape)
    pixels = Pixels(cube_of(tmp_path, values), Kept())
    found = pixels.read("v", Window(-2, 3, 48, 52), None)
    np.testing.assert_array_equal(found[2:, :2], values[:3, 48:])
    assert np.isnan(found).sum() == 20 - 6
    assert np.isnan(pixels.read("v", Window(500, 502, 0, 3), None)).all()


def test_what_is_kept_stays_within_its_limit():
    kept = Kept(limit=1000)
    for n in range(20):
        kept.get(n, lambda: np.zeros(50, np.float32))
        assert kept.size <= 1000
    made = []
    kept.get(19, lambda: made.append(1))
    assert not made
    assert kept.get("large", lambda: np.zeros(200, np.float32)).shape == (200,)
    assert kept.size <= 1000


def test_a_variable_without_times_is_not_asked_for_one(tmp_path):
    pixels = Pixels(cube_of(tmp_path, np.zeros(GRID.shape)), Kept())
    with pytest.raises(CubeError, match="has no time axis"):
        pixels.read("v", GRID.window, 3)
    with pytest.raises(CubeError, match="has no variable 'w'"):
        pixels.read("w", GRID.window, None)
