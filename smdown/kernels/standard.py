"""Drivers of a window as networks take them: standardised, clipped, features last, in one pass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

F32 = npt.NDArray[np.float32]


@compiled
def standardise(fine: F32, mean: F32, factor: F32, clip: np.float32, out: F32) -> None:
    """Fill `out` with ``(fine - mean) * factor``, no further than `clip` from 0; what is missing becomes 0.

    Parameters
    ----------
    fine : ndarray
        float32 ``(feature, y, x)``, any strides.
    mean, factor : ndarray
        float32 ``(feature,)``.
    clip : float32
        Largest size.
    out : ndarray
        float32 ``(y, x, feature)``.
    """
    count, height, width = fine.shape
    for i in range(height):
        for f in range(count):
            for j in range(width):
                value = (fine[f, i, j] - mean[f]) * factor[f]
                if value != value:  # noqa: PLR0124 - NaN
                    value = np.float32(0)
                out[i, j, f] = min(max(value, -clip), clip)
