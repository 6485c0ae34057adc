"""Intervals over many stations: whole groups of them are drawn, as stations of one cell are not independent.

Percentiles of a bootstrap are too near each other with few groups; they are taken further out, by what Student's t is
wider than a normal distribution ("expanded percentiles", Hesterberg 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from smdown.evaluation.metrics.pairs import Array

DRAWS = 1000
MINIMUM = 5
"""Fewest groups that an interval is given for."""
_CHUNK = 100


def drawn_counts(groups: npt.ArrayLike, draws: int = DRAWS, seed: int = 0) -> tuple[npt.NDArray[np.int64], Array]:
    """Draw groups with replacement.

    Parameters
    ----------
    groups : array-like
        ``(item,)``: the group of each item, anything that compares.
    draws, seed : int
        How many, and which.

    Returns
    -------
    codes : ndarray
        ``(item,)``: number of each item's group.
    counts : ndarray
        ``(draw, group)``: how often each group was drawn.
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    many = len(names)
    counts = np.random.default_rng(seed).multinomial(many, np.full(many, 1 / many), draws)
    return codes, counts.astype(np.float64)


def median_intervals(
    values: npt.ArrayLike, groups: npt.ArrayLike, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Array:
    """Return intervals of medians over items, drawing whole groups of them.

    Parameters
    ----------
    values : array-like
        ``(item, metric)``, NaN for missing. All metrics are drawn together.
    groups : array-like
        ``(item,)``.
    level : float
        Nominal coverage.
    draws, seed : int
        How many, and which.

    Returns
    -------
    ndarray
        ``(metric, 2)``, NaN where fewer than `MINIMUM` groups have values.
    """
    a = np.asarray(values, dtype=np.float64)
    out = np.full((a.shape[1], 2), np.nan)
    if not len(a):
        return out
    codes, counts = drawn_counts(groups, draws, seed)
    for k, column in enumerate(a.T):
        known = np.isfinite(column)
        if (many := len(np.unique(codes[known]))) >= MINIMUM:
            out[k] = np.nanquantile(_medians(column[known], codes[known], counts), shares(many, level))
    return out


def _medians(values: Array, codes: npt.NDArray[np.int64], counts: Array) -> Array:
    """Return the median of each draw: the mean of the two middle values, as of the drawn list written out."""
    order = np.argsort(values, kind="stable")
    ordered, own = values[order], codes[order]
    out = np.full(len(counts), np.nan)
    for first in range(0, len(counts), _CHUNK):
        sums = np.cumsum(counts[first : first + _CHUNK, own], axis=1)
        total = sums[:, -1]
        low = (sums <= np.ceil(total / 2)[:, None] - 1).sum(axis=1)
        high = (sums <= np.floor(total / 2)[:, None]).sum(axis=1)
        some = total > 0
        out[first : first + _CHUNK][some] = (ordered[low[some]] + ordered[high[some]]) / 2
    return out


def statistic_interval(
    sums: Array, counts: Array, statistic: Callable[[Array], Array], level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of a function of sums over drawn groups.

    Parameters
    ----------
    sums : ndarray
        ``(group, sum)``.
    counts : ndarray
        ``(draw, group)``, as :func:`drawn_counts` gives it.
    statistic : callable
        Takes ``(draw, sum)``, returns ``(draw,)``.
    level : float
        Nominal coverage.

    Returns
    -------
    tuple of float
        Lower and upper end, NaN with fewer than `MINIMUM` groups.
    """
    found = statistic(counts @ sums)
    if len(sums) < MINIMUM or not np.isfinite(found).any():
        return np.nan, np.nan
    low, high = np.nanquantile(found, shares(len(sums), level))
    return float(low), float(high)


def shares(groups: int, level: float) -> tuple[float, float]:
    """Return the shares of draws below the lower and the upper end of an interval, for so many groups."""
    wide = math.sqrt(groups / (groups - 1)) * float(stats.t.ppf((1 + level) / 2, groups - 1))
    return float(stats.norm.cdf(-wide)), float(stats.norm.cdf(wide))
