"""Variance of the mean of a series that remembers: prewhitened, equally weighted cosine transforms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smdown.evaluation.metrics.pairs import Array

COSINES = 6
"""Cosine transforms that are averaged: few, so that they look at slow variations only; Student's t pays for it."""
_MOST = 0.97
"""Largest autocorrelation that a series is prewhitened with."""


@dataclass(frozen=True, eq=False)
class Spread:
    """How far the mean of each series may lie from its expectation.

    Parameters
    ----------
    variance : ndarray
        Of the mean.
    df : ndarray
        Degrees of freedom of that variance.
    size : ndarray
        Independent values that would give this variance.
    """

    variance: Array
    df: Array
    size: Array


def memory(values: Array, n: npt.NDArray[np.int64]) -> Array:
    """Return the autocorrelation of successive values of series with mean zero, corrected for its bias.

    The correction is that of an autoregressive process of first order, ``(1 + 3 phi) / n`` (Kendall 1954).

    Parameters
    ----------
    values : ndarray
        ``(series, pair)``, zero beyond `n`.
    n : ndarray
        Values in each series.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        phi = (values[:, 1:] * values[:, :-1]).sum(axis=1) / (values**2).sum(axis=1)
        return np.asarray(np.clip(phi + (1 + 3 * phi) / n, 0.0, _MOST + 0.01))


def spread(
    values: Array,
    n: npt.NDArray[np.int64],
    *,
    least: Array | float = 0.0,
    power: Array | float = 0.0,
    doubt: float = 2.0,
    fisher: bool = True,
) -> Spread:
    """Return the spread of the mean of series.

    Successive values are taken as evenly spaced, whatever the days between them: with gaps, the variance that is
    estimated is still that of their mean (Datta and Du 2012). A first-order filter takes out most of the memory,
    the remaining spectrum at frequency zero is the mean of `COSINES` squared cosine transforms (Mueller 2007; Lazarus,
    Lewis, Stock and Watson 2018), and the filter is undone. The degrees of freedom join those of the transforms with
    the uncertainty of the filter, `doubt` times ``(1 + phi) / ((1 - phi) n)`` (delta method), as Satterthwaite (1946).

    Parameters
    ----------
    values : ndarray
        ``(series, pair)`` with mean zero, zero beyond `n`.
    n : ndarray
        Values in each series.
    least : ndarray or float
        Autocorrelation that is known to be reached at least: short samples look more forgetful than they are.
    power : ndarray or float
        Variance of single values that is known to be reached at least: short samples lack their largest values.
    doubt : float
        Weight of the filter's uncertainty in the degrees of freedom: 2 as derived; 1 suffices for means.
    fisher : bool
        Whether the variance is that of an estimate with parameters beside it: ``1 / (n - 3)`` in place of ``1 / n``,
        as in Fisher's z.
    """
    filled = np.arange(values.shape[1]) < (n - 1)[:, None]
    phi = np.minimum(np.maximum(memory(values, n), least), _MOST)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        white = np.where(filled[:, :-1], values[:, 1:] - phi[:, None] * values[:, :-1], 0.0)
        count = np.maximum(n - 1, 1)
        white -= np.where(filled[:, :-1], (white.sum(axis=1) / count)[:, None], 0.0)
        single = (values**2).sum(axis=1) / n
        floor = np.maximum(power, single)
        variance = _at_zero(white, count) / (1 - phi) ** 2 / n * (floor / single)
        size = floor / variance
        if fisher:
            variance = variance * size / np.maximum(size - 3, 1.0)
        df = 1 / (1 / COSINES + doubt * (1 + phi) / ((1 - phi) * n))
    return Spread(variance, df, size)


def _at_zero(white: Array, count: npt.NDArray[np.int64]) -> Array:
    """Return the spectrum of series at frequency zero, as the variance of one value of white noise of the same."""
    place = np.pi * (np.arange(white.shape[1]) + 0.5) / count[:, None]
    total = np.zeros(len(white))
    for j in range(1, COSINES + 1):
        total += np.einsum("ij,ij->i", white, np.cos(j * place)) ** 2
    return total * 2 / count / COSINES
