"""Distance of every pixel's drivers to the nearest of some centres: what comes before and after a matrix product.

With a pixel's drivers *x* and a centre *c*, ``|x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2)``: the nearest centre is the one
with the largest score ``x.c - |c|^2 / 2``, and scores of many pixels are one product of matrices.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled
from smdown.kernels.standard import standard_row

F32 = npt.NDArray[np.float32]


@compiled
def coordinates(fine: F32, y0: int, x0: int, mean: F32, factor: F32, far: np.float32, out: F32, squares: F32) -> None:
    """Fill `out` with ``(fine - mean) * factor`` of some rows of a window, and `squares` with its squared length.

    Parameters
    ----------
    fine : ndarray
        float32 ``(feature, y, x)``, contiguous; what is missing counts as the mean.
    y0, x0 : int
        First row and column.
    mean, factor : ndarray
        float32 ``(feature,)``.
    far : float32
        A coordinate beyond it is taken as just so far.
    out : ndarray
        float32 ``(feature or more, y, x)``, contiguous; what lies beyond the features is left.
    squares : ndarray
        float32 ``(y, x)``.
    """
    height, width = squares.shape
    for i in range(height):
        square = squares[i]
        square[:] = 0
        for f in range(len(fine)):
            row = out[f, i]
            standard_row(fine[f, y0 + i, x0 : x0 + width], mean[f], factor[f], far, row)
            for j in range(width):
                square[j] += row[j] * row[j]


@compiled
def distances(scores: F32, squares: F32) -> None:
    """Turn squared lengths of pixels into their distances from the nearest centre.

    Parameters
    ----------
    scores : ndarray
        float32 ``(centre, pixel)``, contiguous.
    squares : ndarray
        float32 ``(pixel,)``, overwritten.
    """
    best = scores[0].copy()
    for c in range(1, len(scores)):
        score = scores[c]
        for j in range(best.size):
            best[j] = max(best[j], score[j])
    for j in range(best.size):
        squares[j] = np.sqrt(max(squares[j] - (best[j] + best[j]), np.float32(0)))
