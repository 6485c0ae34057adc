"""Moving-block bootstrap of days: blocks keep what a day shares with those around it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np
import numpy.typing as npt

from smdown.evaluation.metrics.pairs import Array

DRAWS = 1000
MINIMUM = 20
"""Fewest pairs that an interval is given for."""
METRICS = ("r", "bias", "rmse", "ubrmse", "slope")


def block_length(values: npt.ArrayLike) -> int:
    """Return the length of blocks, days, that suits the mean of a series.

    The rule of Politis and White (2004) with the correction of Patton, Politis and White (2009) for circular blocks:
    the autocovariance is followed to twice the lag after which it stays insignificant, under a flat-top window.

    Parameters
    ----------
    values : array-like
        ``(day,)`` on consecutive days, NaN for missing, which count as the mean.

    Returns
    -------
    int
        1 to a third of the days.
    """
    a = np.asarray(values, dtype=np.float64)
    there = np.isfinite(a)
    n, most = int(there.sum()), max(1, min(math.ceil(3 * math.sqrt(len(a))), len(a) // 3))
    if n < MINIMUM:
        return 1
    a = np.where(there, a - a[there].mean(), 0.0)
    steps = max(5, math.ceil(math.sqrt(math.log10(n))))
    farthest = min(math.ceil(math.sqrt(len(a))) + steps, len(a) - 1)
    covariance = np.array([a[k:] @ a[: len(a) - k] for k in range(farthest + 1)]) / n
    if covariance[0] <= 0:
        return 1
    small = np.abs(covariance[1:] / covariance[0]) < 2 * math.sqrt(math.log10(n) / n)
    runs = [m for m in range(len(small) - steps + 1) if small[m : m + steps].all()]
    lags = min(2 * max(runs[0] if runs else farthest, 1), farthest)
    k = np.arange(1, lags + 1)
    window = np.minimum(1.0, 2 * (1 - k / lags))
    slope = 2 * float((window * k) @ covariance[1 : lags + 1])
    level = covariance[0] + 2 * float(window @ covariance[1 : lags + 1])
    if level <= 0:
        return most
    best = (2 * slope**2 / (4 / 3 * level**2)) ** (1 / 3) * n ** (1 / 3)
    return int(np.clip(math.ceil(best), 1, most))


def block_intervals(
    x: npt.ArrayLike, y: npt.ArrayLike, length: int, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> dict[str, tuple[Array, Array]]:
    """Return percentile intervals from circular blocks of days (Politis and Romano 1992), drawn alike for all series.

    They are what is usual, and cover less than they say where few blocks fit into a series (`benchmarks.intervals`).

    Parameters
    ----------
    x, y : array-like
        Estimates and references, ``(series, day)``, on consecutive days, NaN for missing.
    length : int
        Of the blocks, days.
    level : float
        Nominal coverage.
    draws, seed : int
        How many, and which.

    Returns
    -------
    dict of tuple
        Ends by metric (`METRICS`), ``(series,)``; NaN with fewer than `MINIMUM` pairs.
    """
    a, b = np.broadcast_arrays(np.atleast_2d(np.asarray(x, np.float64)), np.atleast_2d(np.asarray(y, np.float64)))
    days = a.shape[1]
    starts = np.random.default_rng(seed).integers(0, days, (draws, max(1, math.ceil(days / length))))
    ends = (1 - level) / 2, (1 + level) / 2
    out = {name: (np.full(len(a), np.nan), np.full(len(a), np.nan)) for name in METRICS}
    for i, (one, other) in enumerate(zip(a, b, strict=True)):
        both = np.isfinite(one) & np.isfinite(other)
        if both.sum() < MINIMUM:
            continue
        offset = float(one[both].mean() - other[both].mean())
        for name, values in _figures(_drawn_sums(_sums(one, other, both, length), starts), offset).items():
            if (known := values[np.isfinite(values)]).size:
                out[name][0][i], out[name][1][i] = np.quantile(known, ends)
    return out


def _sums(x: Array, y: Array, both: npt.NDArray[np.bool_], length: int) -> Array:
    """Return, for every first day, the sums over its block: count, x, y, xx, yy, xy of anomalies."""
    mean_x, mean_y = x[both].mean(), y[both].mean()
    a, b = np.where(both, x - mean_x, 0.0), np.where(both, y - mean_y, 0.0)
    terms = np.stack([both.astype(np.float64), a, b, a * a, b * b, a * b])
    wrapped = np.concatenate(
        [np.zeros((6, 1)), np.cumsum(np.concatenate([terms, terms[:, :length]], axis=1), axis=1)], 1
    )
    return np.ascontiguousarray((wrapped[:, length : length + len(x)] - wrapped[:, : len(x)]).T)


def _add_up(sums: Array, starts: npt.NDArray[np.int64]) -> Array:
    out = np.zeros((starts.shape[0], sums.shape[1]))
    for draw in range(starts.shape[0]):
        for block in range(starts.shape[1]):
            for k in range(sums.shape[1]):
                out[draw, k] += sums[starts[draw, block], k]
    return out


_drawn_sums: Callable[..., Array] = numba.njit(nogil=True, cache=True)(_add_up)


def _figures(sums: Array, offset: float) -> dict[str, Array]:
    """Return the metrics of each draw, from its sums of anomalies and the difference of the means."""
    n = sums[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = sums[:, 1] / n, sums[:, 2] / n
        xx, yy, xy = sums[:, 3] / n - mean_x**2, sums[:, 4] / n - mean_y**2, sums[:, 5] / n - mean_x * mean_y
        bias = mean_x - mean_y + offset
        ubmsd = np.maximum(xx + yy - 2 * xy, 0.0)
        return {
            "r": np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0),
            "bias": bias,
            "rmse": np.sqrt(bias**2 + ubmsd),
            "ubrmse": np.sqrt(ubmsd),
            "slope": xy / yy,
        }
