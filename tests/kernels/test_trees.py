"""Sums of trees equal a walk from the root, row by row, and scikit-learn's own prediction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smdown.errors import InputError
from smdown.kernels.trees import add_trees


def walk(x, feature, threshold, leaf):
    out = np.zeros(len(x), np.float32)
    for i, row in enumerate(x):
        for names, limits, ends in zip(feature, threshold, leaf, strict=True):
            node = 0
            while node < len(names):
                node = 2 * node + (2 if row[names[node]] > limits[node] else 1)
            out[i] += ends[node - len(names)]
    return out


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(0, 6), st.integers(0, 600), st.integers(1, 4))
def test_sum_of_trees_is_a_walk_from_the_root(seed, depth, trees, rows, features):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (rows, features)).astype(np.float32)  # many values are just at a threshold
    feature = rng.integers(0, features, (trees, 2**depth - 1)).astype(np.int32)
    threshold = rng.integers(-3, 4, feature.shape).astype(np.float32)
    threshold[rng.random(feature.shape) < 0.2] = np.inf
    leaf = rng.integers(-9, 9, (trees, 2**depth)).astype(np.float32)
    np.testing.assert_array_equal(add_trees(x, feature, threshold, leaf), walk(x, feature, threshold, leaf))


def test_trees_that_do_not_fit_are_refused():
    x, feature = np.zeros((3, 2), np.float32), np.zeros((1, 3), np.int32)
    threshold, leaf = np.zeros((1, 3), np.float32), np.zeros((1, 4), np.float32)
    with pytest.raises(InputError, match="features up to 2 for rows of 2"):
        add_trees(x, feature + 2, threshold, leaf)
    with pytest.raises(InputError, match="wanted"):
        add_trees(x, feature, threshold, leaf[:, :3])
