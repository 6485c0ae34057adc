"""The smooth label: the coarse product interpolated to the pixels by Keys' cubic convolution (a = -0.5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.training.context import Field

MARGIN = 2
"""Cells that the interpolation needs on every side."""
_ALL = slice(None)


def keys_matrix(ratio: int) -> npt.NDArray[np.float64]:
    """Return ``(ratio, 5)`` weights of a cell and its two neighbours on either side, at each pixel centre."""
    centre = (np.arange(ratio) + 0.5) / ratio - 0.5
    distance = np.abs(centre[:, None] - np.arange(-MARGIN, MARGIN + 1))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def cubic_cell(around: Field, ratio: int, rows: slice = _ALL, cols: slice = _ALL) -> Field:
    """Return the pixels of the middle cell, or some rows and columns of them.

    Parameters
    ----------
    around : ndarray
        float32, ``(..., 5, 5)``: a cell and two cells on every side; NaN where missing, but not in the middle.
    ratio : int
        Pixels along the cell.
    rows, cols : slice
        Which of its pixels; all by default.

    Returns
    -------
    ndarray
        float32, ``(..., row, column)``, inside the range of the cells around.
    """
    weights = keys_matrix(ratio)
    down, across = weights[rows], weights[cols]
    known = np.isfinite(around)
    filled = np.where(known, around, 0.0)
    total = down @ filled @ across.T
    norm = down @ known.astype(np.float64) @ across.T
    low = np.nanmin(around, axis=(-2, -1), keepdims=True)
    high = np.nanmax(around, axis=(-2, -1), keepdims=True)
    return np.clip(total / np.maximum(norm, 1e-6), low, high).astype(np.float32)
