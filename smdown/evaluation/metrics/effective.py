"""How many independent days a series of days is worth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from smdown.evaluation.metrics.pairs import Array

_FEWEST = 10
"""Pairs of days that an autocorrelation needs."""
_FARTHEST = 10
"""Largest distance, days, that it is looked for at where neighbouring days are missing."""


def lag_one(values: npt.ArrayLike) -> Array:
    """Return the autocorrelation from day to day of series with gaps.

    Parameters
    ----------
    values : array-like
        ``(series, day)`` on consecutive days, NaN for missing.

    Returns
    -------
    ndarray
        ``(series,)`` within 0 to 1: products of the anomalies of the pairs of neighbouring days over their variance;
        where there are fewer than ten such pairs, that of the smallest distance k that has ten, to the power 1 / k;
        0 where there is none.
    """
    a = np.atleast_2d(np.asarray(values, dtype=np.float64))
    there = np.isfinite(a)
    n = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        a = np.where(there, a - (np.where(there, a, 0.0).sum(axis=1) / n)[:, None], 0.0)
        variance = (a**2).sum(axis=1) / n
        out, open_ = np.zeros(len(a)), n > 0
        for k in range(1, min(_FARTHEST, a.shape[1] - 1) + 1):
            pairs = (there[:, k:] & there[:, :-k]).sum(axis=1)
            found = open_ & (pairs >= _FEWEST)
            r = (a[:, k:] * a[:, :-k]).sum(axis=1) / pairs / variance
            out = np.where(found & np.isfinite(r), np.clip(r, 0.0, 1.0) ** (1 / k), out)
            open_ &= ~found
    return out


def effective_size(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Array, Array]:
    """Return the effective sample size of pairs of autocorrelated series (Bayley and Hammersley 1946).

    With q the product of the two lag-one autocorrelations, ``n / (1 + 2 sum_k m_k q^k / n)``, where m_k pairs of days
    lie k days apart. For many days without gaps that is the usual ``n (1 - q) / (1 + q)`` (Bretherton et al. 1999).

    Parameters
    ----------
    x, y : array-like
        ``(series, day)`` on consecutive days, NaN for missing.

    Returns
    -------
    size, q : ndarray
        ``(series,)``; the size is `n` where q is 0, and 0 where there is no pair.
    """
    a, b = np.broadcast_arrays(np.atleast_2d(np.asarray(x, np.float64)), np.atleast_2d(np.asarray(y, np.float64)))
    both = np.isfinite(a) & np.isfinite(b)
    q = lag_one(np.where(both, a, np.nan)) * lag_one(np.where(both, b, np.nan))
    return size_of(both, q), q


def effective_sizes(x: npt.ArrayLike, y: npt.ArrayLike) -> dict[str, Array]:
    """Return the effective size that suits each figure.

    Parameters
    ----------
    x, y : array-like
        ``(series, day)`` on consecutive days, NaN for missing.

    Returns
    -------
    dict of ndarray
        ``r`` and ``rho``: with the product of the two autocorrelations; ``bias``: with that of the differences;
        ``ubrmse``: with its square, as squares of a normal series remember (Bartlett 1946).
    """
    pair, _ = effective_size(x, y)
    d = np.atleast_2d(np.asarray(x, np.float64) - np.asarray(y, np.float64))
    q, there = lag_one(d), np.isfinite(d)
    return {"r": pair, "rho": pair, "bias": size_of(there, q), "ubrmse": size_of(there, q**2)}


def size_of(there: npt.NDArray[np.bool_], q: Array) -> Array:
    """Return the effective size of the mean of days whose autocorrelation at k days is ``q^k``.

    Parameters
    ----------
    there : ndarray of bool
        ``(series, day)``: which days have values.
    q : ndarray
        ``(series,)``, 0 to 1.
    """
    n, days = there.sum(axis=1), there.shape[1]
    length = fft.next_fast_len(2 * days, real=True)
    spectrum = fft.rfft(there.astype(np.float64), length, axis=1)
    apart = fft.irfft(np.abs(spectrum) ** 2, length, axis=1)[:, 1:days]
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.einsum("ij,ij->i", apart, q[:, None] ** np.arange(1, days))
        return np.asarray(np.where(n > 0, n / (1 + 2 * sums / n), 0.0))
