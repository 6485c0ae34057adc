"""Figures of pairs of series: definitions as in pytesmo and QA4SM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

METRICS = ("r", "rho", "bias", "rmse", "ubrmse", "slope")
"""Correlation of Pearson and of Spearman, mean difference, its root mean square with and without the mean, slope."""
_FLAT = 1e-24
"""Share of the squared mean below which a variance is rounding."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of series moved to the front of their rows, the rest zero.

    Parameters
    ----------
    x, y : ndarray
        Estimate and reference less their means, ``(series, pair)``.
    there : ndarray of bool
        Which of them are pairs.
    n : ndarray
        Pairs in each series.
    mean_x, mean_y : ndarray
        Means, NaN where there is no pair.
    """

    x: Array
    y: Array
    there: npt.NDArray[np.bool_]
    n: npt.NDArray[np.int64]
    mean_x: Array
    mean_y: Array

    @classmethod
    def of(cls, x: npt.ArrayLike, y: npt.ArrayLike) -> Pairs:
        """Return the pairs of two arrays ``(series, day)`` in which both are finite, in order."""
        a, b = np.atleast_2d(np.asarray(x, dtype=np.float64)), np.atleast_2d(np.asarray(y, dtype=np.float64))
        a, b = np.broadcast_arrays(a, b)
        both = np.isfinite(a) & np.isfinite(b)
        n = both.sum(axis=1)
        order = np.argsort(~both, axis=1, kind="stable")[:, : int(n.max(initial=0))]
        there = np.take_along_axis(both, order, axis=1)
        a, b = (np.where(there, np.take_along_axis(v, order, axis=1), 0.0) for v in (a, b))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_x, mean_y = a.sum(axis=1) / n, b.sum(axis=1) / n
        a, b = (np.where(there, v - m[:, None], 0.0) for v, m in ((a, mean_x), (b, mean_y)))
        return cls(a, b, there, n, mean_x, mean_y)

    @property
    def bias(self) -> Array:
        """Mean of the estimate less that of the reference."""
        return self.mean_x - self.mean_y

    def mean(self, values: Array) -> Array:
        """Return the mean of each series' values, zero outside of pairs."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(values.sum(axis=1) / self.n)

    def ranks(self) -> Pairs:
        """Return the pairs of ranks (ties share the mean of theirs), divided by the number of pairs."""
        u, v = (_ranks(values, self.there) / np.maximum(self.n, 1)[:, None] for values in (self.x, self.y))
        return Pairs.of(np.where(self.there, u, np.nan), np.where(self.there, v, np.nan))

    def correlation(self) -> Array:
        """Return Pearson's correlation, NaN where one of the two does not vary beyond rounding."""
        xx, yy, xy = self.mean(self.x**2), self.mean(self.y**2), self.mean(self.x * self.y)
        scale = np.maximum(np.abs(self.mean_x), np.abs(self.mean_y)) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0)
            return np.asarray(np.where(np.minimum(xx, yy) > _FLAT * scale, r, np.nan))


def _ranks(values: Array, there: npt.NDArray[np.bool_]) -> Array:
    ranks = stats.rankdata(np.where(there, values, np.inf), axis=1)
    return np.where(there, ranks, 0.0)


def pair_metrics(x: npt.ArrayLike, y: npt.ArrayLike) -> dict[str, Array]:
    """Return ``n`` and `METRICS` of every pair of series.

    Parameters
    ----------
    x, y : array-like
        Estimate and reference, ``(series, day)``, NaN for missing.

    Returns
    -------
    dict of ndarray
        ``(series,)`` each, NaN where undefined. With d = x - y: ``bias = mean(d)``, ``rmse = sqrt(mean(d^2))``,
        ``ubrmse = sqrt(mean((d - bias)^2))`` (divisor n; Entekhabi et al. 2010), so that
        ``rmse^2 = bias^2 + ubrmse^2``, and none of a single pair; ``slope`` is that of the estimate's regression on
        the reference, ``cov(x, y) / var(y)``. Bias, RMSE and ubRMSE are in the units of the data.
    """
    return metrics_of(Pairs.of(x, y))


def metrics_of(pairs: Pairs) -> dict[str, Array]:
    """Return the same of pairs that are at hand."""
    ubmsd = pairs.mean((pairs.x - pairs.y) ** 2)
    yy = pairs.mean(pairs.y**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(yy > _FLAT * pairs.mean_y**2, pairs.mean(pairs.x * pairs.y) / yy, np.nan)
    return {
        "n": pairs.n.astype(np.float64),
        "r": pairs.correlation(),
        "rho": pairs.ranks().correlation(),
        "bias": pairs.bias,
        "rmse": np.sqrt(pairs.bias**2 + ubmsd),
        "ubrmse": np.where(pairs.n > 1, np.sqrt(ubmsd), np.nan),
        "slope": slope,
    }
