"""Drivers of a window as networks take them: standardised, clipped, features last, in one pass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

F32 = npt.NDArray[np.float32]


@compiled
def standard_row(values: F32, mean: np.float32, factor: np.float32, far: np.float32, out: F32) -> None:
    """Fill `out` with ``(values - mean) * factor``, no further than `far` from 0; what is missing becomes 0."""
    for j in range(out.size):
        value = (values[j] - mean) * factor
        if value != value:  # noqa: PLR0124 - NaN
            value = np.float32(0)
        out[j] = min(max(value, -far), far)


@compiled
def standardise(fine: F32, y0: int, x0: int, mean: F32, factor: F32, far: np.float32, out: F32) -> None:
    """Fill `out` with the standardised drivers of a window.

    Parameters
    ----------
    fine : ndarray
        float32 ``(feature, y, x)``, contiguous.
    y0, x0 : int
        First row and column of the window.
    mean, factor : ndarray
        float32 ``(feature,)``: ``(fine - mean) * factor`` is standardised.
    far : float32
        Largest size; what lies beyond is taken as just so far.
    out : ndarray
        float32 ``(y, x, feature)``; what is missing becomes 0.
    """
    height, width, count = out.shape
    row = np.empty(width, np.float32)
    for i in range(height):
        for f in range(count):
            standard_row(fine[f, y0 + i, x0 : x0 + width], mean[f], factor[f], far, row)
            for j in range(width):
                out[i, j, f] = row[j]
