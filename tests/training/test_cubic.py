"""The smooth label."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smdown.training.cubic import cubic_cell, keys_matrix


@given(st.integers(1, 90))
def test_weights_sum_to_one(ratio):
    np.testing.assert_allclose(keys_matrix(ratio).sum(axis=1), 1)


def test_a_ramp_is_reproduced():
    y, x = np.mgrid[-2.0:3, -2.0:3].astype(np.float32)
    centre = (np.arange(9) + 0.5) / 9 - 0.5
    found = cubic_cell(0.1 * y - 0.3 * x, 9)
    np.testing.assert_allclose(found, 0.1 * centre[:, None] - 0.3 * centre[None], atol=1e-6)


@given(st.integers(0, 2**31))
def test_missing_neighbours_leave_no_hole_and_the_range_is_kept(seed):
    rng = np.random.default_rng(seed)
    around = rng.random((5, 5)).astype(np.float32)
    around[rng.random((5, 5)) < 0.5] = np.nan
    around[2, 2] = 0.5
    found = cubic_cell(around, 6)
    assert np.isfinite(found).all()
    assert np.nanmin(around) <= found.min() <= found.max() <= np.nanmax(around)
    alone = np.full((5, 5), np.nan, np.float32)
    alone[2, 2] = 0.5
    np.testing.assert_allclose(cubic_cell(alone, 6), 0.5)
