"""Weights and mixtures."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.training.stacking import ensemble_weights, mixture, stack

SEEDS = st.integers(0, 2**31)


def problem(seed: int, n_networks: int, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.standard_normal(n)
    scale = rng.uniform(0.1, 2, (n_networks, 1))
    common = rng.standard_normal(n) * rng.uniform(0, 1)
    predictions = target + common + scale * rng.standard_normal((n_networks, n)) + rng.normal(0, 0.3, (n_networks, 1))
    return predictions, target, rng.uniform(0.2, 2, n)


def cost(weights: np.ndarray, predictions: np.ndarray, target: np.ndarray, sample_weight: np.ndarray) -> float:
    return float((sample_weight * (weights @ predictions - target) ** 2).sum() / sample_weight.sum())


@given(SEEDS, st.integers(1, 5), st.floats(0, 2))
def test_weights_are_not_negative_and_sum_to_one(seed, n, shrinkage):
    for kind in ("stacking", "mean", "inverse_error"):
        weights = ensemble_weights(kind, *problem(seed, n), shrinkage)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1, abs=1e-12)


@given(SEEDS)
def test_no_point_of_a_fine_lattice_on_the_simplex_is_better(seed):
    predictions, target, sample_weight = problem(seed, 3)
    best = cost(stack(predictions, target, sample_weight), predictions, target, sample_weight)
    for i, j in product(range(41), repeat=2):
        if i + j <= 40:
            trial = np.array([i, j, 40 - i - j]) / 40
            assert best <= cost(trial, predictions, target, sample_weight) + 1e-9


def test_shrinkage_leads_from_least_squares_to_equal_weights():
    predictions, target, sample_weight = problem(5, 3)
    distance = [
        np.abs(stack(predictions, target, sample_weight, shrinkage) - 1 / 3).max() for shrinkage in (0, 0.1, 1, 10, 1e6)
    ]
    assert distance == sorted(distance, reverse=True)
    assert distance[-1] < 1e-3


def test_inverse_error_weights_are_what_the_name_says():
    predictions = np.array([[1.0, -1.0], [2.0, -2.0]])
    weights = ensemble_weights("inverse_error", predictions, np.zeros(2), np.ones(2))
    np.testing.assert_allclose(weights, [0.8, 0.2])


@given(SEEDS, st.integers(1, 4))
def test_mixture_moments_are_those_of_many_draws(seed, n):
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(0, 1, (n, 1)), rng.uniform(0.1, 1, (n, 1))
    weights = rng.dirichlet(np.ones(n))[:, None]
    mu, variance = mixture(mean, std**2, weights)
    second = (weights * (std**2 + mean**2)).sum(axis=0)
    np.testing.assert_allclose(mu, (weights * mean).sum(axis=0))
    np.testing.assert_allclose(variance, second - mu**2, atol=1e-12)
    assert variance.min() >= (weights * std**2).sum(axis=0).min() - 1e-12


def test_equal_members_neither_gain_nor_lose_variance():
    mu, variance = mixture(np.full((3, 2), 0.2), np.full((3, 2), 0.04), np.full((3, 1), 1 / 3))
    np.testing.assert_allclose(mu, 0.2)
    np.testing.assert_allclose(variance, 0.04)
