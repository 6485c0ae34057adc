"""Ensemble weights from errors on held-out blocks."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating]


def ensemble_weights(
    kind: Literal["stacking", "mean", "inverse_error"],
    predictions: Array,
    target: Array,
    sample_weight: Array,
    shrinkage: float = 0.0,
) -> Array:
    """Return non-negative weights that sum to one.

    Parameters
    ----------
    kind : str
        ``stacking``: least squares; ``inverse_error``: one over the mean squared error; ``mean``: all alike.
    predictions : ndarray
        ``(network, n)``.
    target, sample_weight : ndarray
        ``(n,)``.
    shrinkage : float
        See `stack`.

    Returns
    -------
    ndarray
        One weight per network.
    """
    n = len(predictions)
    if kind == "mean" or not len(target):
        return np.full(n, 1 / n)
    if kind == "inverse_error":
        inverse = 1 / np.maximum(((predictions - target) ** 2 * sample_weight).sum(axis=1), 1e-12)
        return np.asarray(inverse / inverse.sum())
    return stack(predictions, target, sample_weight, shrinkage)


def stack(predictions: Array, target: Array, sample_weight: Array, shrinkage: float = 0.0) -> Array:
    """Return the weights on the simplex with the least weighted squared error, exactly.

    Minimises ``sum_i s_i (y_i - w . f_i)^2 + shrinkage * m * |w - 1/n|^2`` with *m* the networks' mean squared error,
    by solving the equality-constrained problem on every support: the best feasible one is the optimum, as the
    problem is convex. Some thousands of tiny systems at most, since networks are few.
    """
    n = len(predictions)
    share = sample_weight / sample_weight.sum()
    errors = predictions - target
    gram = (errors * share) @ errors.T
    ridge = shrinkage * np.trace(gram) / n
    quadratic = gram + (ridge + 1e-12 * max(np.trace(gram), 1e-30)) * np.eye(n)
    best, best_cost = np.full(n, 1 / n), np.inf
    for size in range(1, n + 1):
        for support in combinations(range(n), size):
            weights = _on_support(quadratic, support)
            cost = weights @ quadratic @ weights
            if weights.min() >= -1e-12 and cost < best_cost:
                best, best_cost = weights, cost
    best = np.maximum(best, 0)
    return np.asarray(best / best.sum())


def _on_support(quadratic: Array, support: tuple[int, ...]) -> Array:
    """Return the minimiser of ``w Q w`` with sum one and only `support` filled (``Q^-1 1``, normalised)."""
    chosen = list(support)
    inner = np.linalg.lstsq(quadratic[np.ix_(chosen, chosen)], np.ones(len(chosen)), rcond=None)[0]
    weights = np.zeros(len(quadratic))
    weights[chosen] = inner / inner.sum()
    return weights


def mixture(mean: Real, variance: Real, weights: Real) -> tuple[Real, Real]:
    """Return mean and variance of a mixture of Gaussians along the first axis.

    ``mu = sum_k w_k mu_k``, ``var = sum_k w_k (var_k + (mu_k - mu)^2)`` (Lakshminarayanan et al. 2017, with weights).

    Parameters
    ----------
    mean, variance : ndarray
        ``(network, ...)``.
    weights : ndarray
        ``(network, ...)`` or broadcastable; they sum to one along the first axis.
    """
    mu = (weights * mean).sum(axis=0)
    return mu, (weights * (variance + (mean - mu) ** 2)).sum(axis=0)
