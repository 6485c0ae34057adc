"""Means and standard deviations that merge over any chunking."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Counts, means and centred sums of squares per feature; `+` merges two (Chan, Golub and LeVeque 1983).

    Parameters
    ----------
    count, mean, m2 : ndarray
        float64, one value per feature.
    """

    count: Vector
    mean: Vector
    m2: Vector

    @classmethod
    def of(cls, values: npt.NDArray[np.floating]) -> Moments:
        """Return the moments of ``(feature, anything...)``; NaN does not count."""
        flat = values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float64)
        finite = np.isfinite(flat)
        count = finite.sum(axis=1).astype(np.float64)
        filled = np.where(finite, flat, 0.0)
        mean = filled.sum(axis=1) / np.maximum(count, 1)
        m2 = (np.where(finite, flat - mean[:, None], 0.0) ** 2).sum(axis=1)
        return cls(count, mean, m2)

    @classmethod
    def zero(cls, n: int) -> Moments:
        """Return the moments of nothing for `n` features."""
        return cls(np.zeros(n), np.zeros(n), np.zeros(n))

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        share = other.count / np.maximum(count, 1e-300)
        delta = other.mean - self.mean
        return Moments(count, self.mean + delta * share, self.m2 + other.m2 + delta**2 * self.count * share)

    def scaled(self) -> Moments:
        """Return the same mean and spread as if of one value, so that chunks of any size weigh the same."""
        some = self.count > 0
        return Moments(some.astype(np.float64), self.mean, np.where(some, self.m2 / np.maximum(self.count, 1), 0.0))

    @property
    def std(self) -> Vector:
        """Standard deviation per feature; 1 where a feature never varies, so that it can be divided by."""
        std = np.sqrt(self.m2 / np.maximum(self.count, 1e-300))
        return np.where(std > 1e-6 * np.abs(self.mean) + 1e-12, std, 1.0)
