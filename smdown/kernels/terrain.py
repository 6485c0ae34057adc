"""Measures of the shape of the ground, from elevation with its own ground distances in every row."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@numba.njit(nogil=True, cache=True)
def gradient(elevation: F32, dx: F64, dy: F64) -> tuple[F32, F32]:
    """Return the rise eastwards and northwards, in metres a metre (Horn 1981, doi:10.1109/PROC.1981.11918).

    Parameters
    ----------
    elevation : ndarray of float32, (y + 2, x + 2)
        Metres, rows from north to south, one pixel more on every side than the result.
    dx, dy : ndarray of float64, (y,)
        Ground distance, m, between pixel centres, for each row of the result.
    """
    height, width = elevation.shape[0] - 2, elevation.shape[1] - 2
    east, north = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    for i in range(height):
        a, b, c = elevation[i], elevation[i + 1], elevation[i + 2]
        fx, fy = np.float32(1.0 / (8.0 * dx[i])), np.float32(1.0 / (8.0 * dy[i]))
        for j in range(width):
            right = a[j + 2] + np.float32(2) * b[j + 2] + c[j + 2]
            left = a[j] + np.float32(2) * b[j] + c[j]
            up = a[j] + np.float32(2) * a[j + 1] + a[j + 2]
            down = c[j] + np.float32(2) * c[j + 1] + c[j + 2]
            east[i, j] = (right - left) * fx
            north[i, j] = (up - down) * fy
    return east, north


@numba.njit(nogil=True, cache=True)
def laplacian(elevation: F32, dx: F64, dy: F64) -> F32:
    """Return the curvature ``d2z/dx2 + d2z/dy2``, 1/m; positive in hollows."""
    height, width = elevation.shape[0] - 2, elevation.shape[1] - 2
    out = np.empty((height, width), np.float32)
    for i in range(height):
        a, b, c = elevation[i], elevation[i + 1], elevation[i + 2]
        fx, fy = np.float32(1.0 / dx[i] ** 2), np.float32(1.0 / dy[i] ** 2)
        for j in range(width):
            middle = np.float32(2) * b[j + 1]
            out[i, j] = (b[j] + b[j + 2] - middle) * fx + (a[j + 1] + c[j + 1] - middle) * fy
    return out


@numba.njit(nogil=True, cache=True)
def box_sum_x(field: F32, radius: int) -> F64:
    """Return sums over ``2 * radius + 1`` columns, each taken anew so that a window's are those of the whole."""
    height, width = field.shape[0], field.shape[1] - 2 * radius
    out = np.zeros((height, width))
    for i in range(height):
        for k in range(2 * radius + 1):
            for j in range(width):
                out[i, j] += field[i, j + k]
    return out


@numba.njit(nogil=True, cache=True)
def box_sum_y(field: F64, radius: int) -> F64:
    """Return sums over ``2 * radius + 1`` rows."""
    height, width = field.shape[0] - 2 * radius, field.shape[1]
    out = np.zeros((height, width))
    for i in range(height):
        for k in range(2 * radius + 1):
            for j in range(width):
                out[i, j] += field[i + k, j]
    return out


def tpi(elevation: F32, radius_y: int, radius_x: int) -> F32:
    """Return elevation above the mean of the rectangle around it, m (topographic position index, Weiss 2001).

    `elevation` holds that many more pixels on every side than the result. Missing pixels do not count.
    """
    known = np.isfinite(elevation)
    total = box_sum_y(box_sum_x(np.where(known, elevation, np.float32(0)), radius_x), radius_y)
    count = box_sum_y(box_sum_x(known.astype(np.float32), radius_x), radius_y)
    core = elevation[radius_y : elevation.shape[0] - radius_y, radius_x : elevation.shape[1] - radius_x]
    return (core - (total / np.maximum(count, 1.0))).astype(np.float32)
