"""Anomalies from a moving average, as `pytesmo.time_series.anomaly.calc_anomaly` gives them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.evaluation.metrics.pairs import Array

WINDOW = 35
"""Days of the moving average, as in QA4SM."""
FEWEST = 5
"""Fewest values in the window: with one alone the anomaly would be 0."""


def moving_anomalies(values: npt.ArrayLike, window: int = WINDOW, fewest: int = FEWEST) -> Array:
    """Return the differences from a centred moving average.

    Parameters
    ----------
    values : array-like
        ``(series, day)`` on consecutive days, NaN for missing.
    window : int
        Length of the average, days; odd.
    fewest : int
        Values that it needs.

    Returns
    -------
    ndarray
        ``(series, day)``, NaN where the value is missing or its window holds too few.
    """
    a = np.atleast_2d(np.asarray(values, dtype=np.float64))
    there = np.isfinite(a)
    n = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.where(n > 0, np.where(there, a, 0.0).sum(axis=1) / n, 0.0)[:, None]
        totals, counts = (_moving_sum(v, window // 2) for v in (np.where(there, a - centre, 0.0), there.astype(float)))
        average = totals / counts
        return np.where(there & (counts >= fewest - 0.5), a - centre - average, np.nan)


def _moving_sum(values: Array, half: int) -> Array:
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    days = np.arange(values.shape[1])
    first, last = np.maximum(days - half, 0), np.minimum(days + half + 1, values.shape[1])
    return np.asarray(sums[:, last] - sums[:, first])
