"""What one would have without downscaling: the coarse cell's value at each pixel, or its cubic interpolation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels import axis_weights, resample

MARGIN = 3
"""Cells read around a window, so that the cubic kernel (radius 2) sees the same neighbours in every tile."""


def nearest(coarse: npt.NDArray[np.float32], ratio: int) -> npt.NDArray[np.float32]:
    """Return each cell's value at all of its pixels."""
    return np.repeat(np.repeat(coarse, ratio, axis=0), ratio, axis=1)


def cubic(coarse: npt.NDArray[np.float32], ratio: int) -> npt.NDArray[np.float32]:
    """Return the cubic interpolation of the coarse field at pixel centres.

    Parameters
    ----------
    coarse : ndarray
        Cells with `MARGIN` more on every side, NaN for missing.
    ratio : int
        Pixels along one side of a cell.

    Returns
    -------
    ndarray
        float32, the cells without the margin, ``ratio`` times finer; missing exactly where the cell is.
    """
    height, width = (n - 2 * MARGIN for n in coarse.shape)
    rows, cols = (axis_weights(np.arange(n * ratio + 1) / ratio + MARGIN, "cubic") for n in (height, width))
    return resample(coarse, 0, 0, rows, cols)
