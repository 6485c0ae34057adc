"""What lies between the products of matrices of a network: biases, rectifiers and sums, each in one pass, in place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

F32 = npt.NDArray[np.float32]


@compiled
def bias_relu(values: F32, bias: F32) -> None:
    """Turn values ``(pixel, unit)`` into ``max(value + bias, 0)``; biases are ``(unit,)``. Both contiguous."""
    for i in range(len(values)):
        row = values[i]
        for k in range(bias.size):
            row[k] = max(row[k] + bias[k], np.float32(0))


@compiled
def add_relu(values: F32, others: F32) -> None:
    """Turn values into ``max(value + other, 0)``; both ``(n,)`` and contiguous."""
    for i in range(values.size):
        values[i] = max(values[i] + others[i], np.float32(0))


@compiled
def relu_add(values: F32, around: F32) -> None:
    """Rectify a map and add the middle of the one that it was made from.

    Parameters
    ----------
    values : ndarray
        float32 ``(y, n)``, contiguous: pixels and their units in a row.
    around : ndarray
        float32 ``(y + 2 R, n + 2 m)``, contiguous.
    """
    height, count = values.shape
    top, left = (len(around) - height) // 2, (around.shape[1] - count) // 2
    for i in range(height):
        row, other = values[i], around[top + i, left : left + count]
        for k in range(count):
            row[k] = max(row[k], np.float32(0)) + other[k]
