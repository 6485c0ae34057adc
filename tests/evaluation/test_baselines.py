"""The baselines are what one has without downscaling, the same in every tile."""

import numpy as np
import pytest

from smdown.evaluation.baselines import MARGIN, cubic, nearest

RATIO = 12


def test_nearest_is_the_cells_value():
    assert (nearest(np.array([[1.0, 2.0]], np.float32), 3) == [[1, 1, 1, 2, 2, 2]] * 3).all()


def test_cubic_keeps_a_constant_and_a_ramp():
    coarse = np.full((3 + 2 * MARGIN, 4 + 2 * MARGIN), 0.25, np.float32)
    np.testing.assert_allclose(cubic(coarse, RATIO), 0.25, rtol=1e-6)
    ramp = np.arange(4 + 2 * MARGIN, dtype=np.float32)[None] * np.ones((3 + 2 * MARGIN, 1), np.float32)
    expected = (np.arange(4 * RATIO) + 0.5) / RATIO - 0.5 + MARGIN
    np.testing.assert_allclose(cubic(ramp, RATIO), np.tile(expected, (3 * RATIO, 1)), rtol=1e-5)


@pytest.mark.parametrize("hole", [False, True])
def test_cubic_of_a_tile_is_cut_from_that_of_the_whole(hole):
    coarse = np.random.default_rng(0).normal(0.3, 0.1, (6 + 2 * MARGIN, 8 + 2 * MARGIN)).astype(np.float32)
    if hole:
        coarse[5, 6] = np.nan
    whole = cubic(coarse, RATIO)
    tile = cubic(coarse[2 : 4 + 2 * MARGIN, 3 : 6 + 2 * MARGIN], RATIO)
    np.testing.assert_array_equal(tile, whole[2 * RATIO : 4 * RATIO, 3 * RATIO : 6 * RATIO])
    missing = np.isnan(coarse[MARGIN:-MARGIN, MARGIN:-MARGIN])
    np.testing.assert_array_equal(np.isnan(whole), nearest(missing, RATIO))
