"""Intervals of the block bootstrap hold what they should, and know what estimates share."""

import numpy as np

from smdown.kernels.bootstrap import rmse_intervals


def test_an_estimate_over_itself_is_one_and_a_multiple_is_its_factor():
    rng = np.random.default_rng(0)
    squares = rng.gamma(2, 1, (1, 30)) * np.array([[1.0], [4.0]])
    _, ratio = rmse_intervals(np.ones(30), squares, 0)
    np.testing.assert_allclose(ratio, [[1, 1], [2, 2]])


def test_interval_of_the_mean_square_of_independent_blocks_covers_the_true_one():
    rng = np.random.default_rng(1)
    inside = 0
    for n in range(200):
        squares = rng.standard_normal((1, 60)) ** 2
        (low, high), *_ = rmse_intervals(np.ones(60), squares, 0, draws=200, seed=n)[0]
        inside += low <= 1 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_blocks_count_by_their_values():
    counts, squares = np.array([1.0, 3.0]), np.array([[4.0, 0.0]])
    (low, high), *_ = rmse_intervals(counts, squares, 0)[0]
    assert (low, high) == (0.0, 2.0)  # both draws of one block are possible


def test_same_seed_same_interval():
    squares = np.random.default_rng(2).gamma(1, 1, (3, 20))
    first, second = (rmse_intervals(np.ones(20), squares, 1, seed=5) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
