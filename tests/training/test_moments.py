"""Statistics over chunks, and what standardising does with them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from smdown.training.moments import Moments
from smdown.training.standardise import CLIP, Scaler


@given(st.integers(0, 2**31), st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_merged_statistics_are_those_of_the_whole(seed, sizes):
    rng = np.random.default_rng(seed)
    whole = rng.normal(1e3, 2, (3, sum(sizes) + 2))
    whole[rng.random(whole.shape) < 0.2] = np.nan
    whole[:, :2] = rng.normal(size=(3, 2))
    merged = Moments.zero(3)
    for chunk in np.split(whole, np.cumsum(sizes), axis=1):
        merged = merged + Moments.of(chunk)
    np.testing.assert_allclose(merged.mean, np.nanmean(whole, axis=1), rtol=1e-10)
    np.testing.assert_allclose(merged.std, np.nanstd(whole, axis=1), rtol=1e-7)
    np.testing.assert_array_equal(merged.count, np.isfinite(whole).sum(axis=1))


def test_scaled_chunks_weigh_the_same():
    small, large = np.array([[0.0, 2.0]]), np.full((1, 1000), 5.0)
    merged = Moments.of(small).scaled() + Moments.of(large).scaled()
    np.testing.assert_allclose(merged.mean, [3.0])
    np.testing.assert_allclose(merged.std**2, [0.5 + 4.0])


def test_a_driver_that_never_varies_can_be_divided_by():
    assert Moments.of(np.full((1, 9), 7.3)).std[0] == 1
    assert Moments.of(np.full((1, 9), np.nan)).std[0] == 1


def test_missing_is_the_mean_and_far_is_clipped():
    values = torch.tensor([[[10.0, float("nan"), 12.0, 1e9, float("-inf")]]])
    found = Scaler.of([10.0], [2.0]).forward(values, 1)
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0.0, 1.0, CLIP, -CLIP]]]))
    assert values[0, 0, 3] == 1e9
