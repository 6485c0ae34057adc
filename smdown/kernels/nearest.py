"""Distance of every pixel's drivers to the nearest of some centres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled
from smdown.kernels.standard import standard_row

F32 = npt.NDArray[np.float32]
_AT_ONCE = 4


@compiled
def _add(square: F32, a: F32, b: F32, c: F32, d: F32, centre: F32) -> None:
    """Add squared distances of four features: whole rows become wide instructions."""
    p, q, r, s = centre[0], centre[1], centre[2], centre[3]
    for j in range(square.size):
        e, f, g, h = a[j] - p, b[j] - q, c[j] - r, d[j] - s
        square[j] += (e * e + f * f) + (g * g + h * h)


@compiled
def nearest_distance(
    fine: F32, y0: int, x0: int, mean: F32, factor: F32, far: np.float32, centres: F32, out: F32
) -> None:
    """Fill `out` with Euclidean distances in the space of ``(fine - mean) * factor``.

    Parameters
    ----------
    fine : ndarray
        float32 ``(feature, y, x)``, contiguous; what is missing counts as the mean.
    y0, x0 : int
        First row and column of the window.
    mean, factor : ndarray
        float32 ``(feature,)``.
    far : float32
        A coordinate beyond it is taken as just so far.
    centres : ndarray
        float32 ``(centre, feature)``.
    out : ndarray
        float32 ``(y, x)``.
    """
    count, (height, width) = len(fine), out.shape
    steps = -(-count // _AT_ONCE) * _AT_ONCE
    row = np.zeros((steps, width), np.float32)
    padded = np.zeros((len(centres), steps), np.float32)
    padded[:, :count] = centres
    square, best = np.empty(width, np.float32), np.empty(width, np.float32)
    for i in range(height):
        for f in range(count):
            standard_row(fine[f, y0 + i, x0 : x0 + width], mean[f], factor[f], far, row[f])
        best[:] = np.inf
        for c in range(len(centres)):
            square[:] = 0
            for f in range(0, steps, _AT_ONCE):
                _add(square, row[f], row[f + 1], row[f + 2], row[f + 3], padded[c, f : f + _AT_ONCE])
            for j in range(width):
                best[j] = min(best[j], square[j])
        for j in range(width):
            out[i, j] = np.sqrt(best[j])
