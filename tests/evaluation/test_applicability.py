"""Errors by dissimilarity equal those of masks, and merge."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smdown.evaluation.applicability import EDGES, INSIDE, Area, Profile, area_of, profile
from smdown.evaluation.stats import Z_90

THRESHOLD = 0.8


def test_figures_equal_those_of_masks():
    rng = np.random.default_rng(0)
    index = rng.gamma(2.0, 0.4, 5000).astype(np.float32)
    reference = rng.uniform(0.1, 0.4, 5000).astype(np.float32)
    estimate = (reference + 0.02 * (1 + index) * rng.standard_normal(5000)).astype(np.float32)
    std = np.full(5000, 0.03, np.float32)
    index[::50], estimate[::71], std[::31] = np.nan, np.nan, np.nan
    found = profile(estimate, reference, std, index, THRESHOLD).metrics(THRESHOLD)
    error = estimate.astype(float) - reference
    for name, chosen in (("inside", index <= np.float32(THRESHOLD)), ("outside", index > np.float32(THRESHOLD))):
        known = chosen & np.isfinite(error)
        assert found[name]["n"] == known.sum()
        assert found[name]["rmse"] == pytest.approx(np.sqrt((error[known] ** 2).mean()))
        assert found[name]["bias"] == pytest.approx(error[known].mean())
        stated = known & np.isfinite(std)
        assert found[name]["coverage_90"] == pytest.approx((np.abs(error[stated]) <= Z_90 * std[stated]).mean())
    assert sum(b["n"] for b in found["bins"]) == found["inside"]["n"] + found["outside"]["n"]
    assert found["outside"]["rmse"] > found["inside"]["rmse"]
    assert math.isinf(found["bins"][-1]["high"])


def test_the_threshold_is_inside_and_no_bin_straddles_it():
    assert EDGES[INSIDE] == 1.0
    found = profile([0.1] * 3, [0.1] * 3, None, [0.8, 0.8001, 0.0], THRESHOLD).metrics(THRESHOLD)
    assert (found["inside"]["n"], found["outside"]["n"]) == (2, 1)
    assert math.isnan(found["inside"]["coverage_90"])
    assert Profile().metrics(THRESHOLD) == {}


def test_the_share_outside_counts_mapped_pixels_only():
    index = np.array([[0.1, 0.9, np.nan], [2.0, 0.8, 5.0]], np.float32)
    field = np.array([[0.1, 0.1, 0.1], [np.nan, 0.1, 0.1]], np.float32)
    assert area_of(index, field, THRESHOLD) == Area(4, 2)
    assert (area_of(index, field, THRESHOLD) + Area(4, 0)).share == 0.25
    assert math.isnan(Area().share)


VALUES = st.floats(0.0, 5.0, width=32) | st.just(math.nan)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.just(4)), elements=VALUES), st.data())
def test_profiles_merge_over_any_chunking(rows, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    parts = np.split(rows, cuts)
    total = Profile()
    for i in data.draw(st.permutations(range(len(parts)))):
        x, y, std, index = parts[i].T
        total = total + Profile.from_list(profile(x, y, std, index, THRESHOLD).as_list())
    x, y, std, index = rows.T
    whole = profile(x, y, std, index, THRESHOLD)
    for name in ("counts", "errors", "squares", "intervals", "hits"):
        np.testing.assert_allclose(getattr(total, name), getattr(whole, name), rtol=1e-9, atol=1e-9)
