"""Turning stored numbers into float32 with NaN for whatever is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.sources.config import Range
from smdown.sources.prepared import Float32

HUGE = 1e30
"""Magnitudes beyond this are fills, declared or not."""


def clean(
    values: npt.NDArray[Any], *, fills: tuple[float, ...] = (), valid_range: Range | None = None
) -> npt.NDArray[Any]:
    """Return the values as floats, NaN where they are a fill, infinite, absurdly large or outside `valid_range`.

    Parameters
    ----------
    values : ndarray
        Any numbers.
    fills : tuple of float
        Values that stand for missing, as stored.
    valid_range : tuple of float, optional
        Physical limits, both allowed. They are widened by what rounding to float32 may cost.

    Returns
    -------
    ndarray
        float32, or float64 where the input was.
    """
    wide = values.dtype.itemsize > 4
    out: npt.NDArray[np.floating[Any]] = np.array(values, dtype=np.float64 if wide else np.float32)
    bad = ~(np.abs(out) < HUGE)
    for fill in fills:
        bad |= values == np.asarray(fill).astype(values.dtype)
    if valid_range is not None:
        low, high = (float(limit) for limit in valid_range)
        slack = 1e-6 * max(abs(low), abs(high))
        bad |= (out < low - slack) | (out > high + slack)
    out[bad] = np.nan
    return out


class Mean:
    """Running sum and count of arrays of one shape, NaN left out."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros(shape, dtype=np.float64)
        self._count = np.zeros(shape, dtype=np.int32)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take in one array."""
        valid = np.isfinite(values)
        self._sum[valid] += values[valid]
        self._count += valid

    def add_at(self, index: tuple[npt.NDArray[np.int64], ...], values: npt.NDArray[Any]) -> None:
        """Take in single values at their places; places may repeat."""
        valid = np.isfinite(values)
        place = tuple(i[valid] for i in index)
        np.add.at(self._sum, place, values[valid])
        np.add.at(self._count, place, 1)

    def mean(self) -> Float32:
        """Return the mean, NaN where nothing came."""
        return self._divide(self._sum)

    def total(self) -> Float32:
        """Return the sum, NaN where nothing came."""
        return np.where(self._count > 0, self._sum, np.nan).astype(np.float32)

    def _divide(self, total: npt.NDArray[np.float64]) -> Float32:
        out = np.full(total.shape, np.nan)
        np.divide(total, self._count, out=out, where=self._count > 0)
        return out.astype(np.float32)
