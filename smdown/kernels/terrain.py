"""Measures of the shape of the ground, from elevation with its own ground distances in every row."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
STEP_M = 2.0**-20
"""Elevations are summed in multiples of this, m."""
FAR_M = 2.0**20
"""Elevations beyond this do not count; a rectangle of 4 million others fits the sum."""


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
            hole = b[j + 1] - b[j + 1]  # NaN where the pixel itself, which Horn leaves out, is missing
            east[i, j] = (right - left) * fx + hole
            north[i, j] = (up - down) * fy + hole
    return east, north


@numba.njit(nogil=True, cache=True)
def slope(east: F32, north: F32) -> F32:
    """Return the steepness of a gradient, metres a metre."""
    height, width = east.shape
    out = np.empty((height, width), np.float32)
    for i in range(height):
        for j in range(width):
            out[i, j] = np.sqrt(east[i, j] * east[i, j] + north[i, j] * north[i, j])
    return out


@numba.njit(nogil=True, cache=True)
def fall(towards: F32, other: F32) -> F32:
    """Return how much the ground faces the direction of the first gradient: cos(aspect - direction) * sin(slope).

    Aspect is where the ground falls to, so a rise towards the north gives a negative northness.
    """
    one = np.float32(1)
    height, width = towards.shape
    out = np.empty((height, width), np.float32)
    for i in range(height):
        for j in range(width):
            a, b = towards[i, j], other[i, j]
            out[i, j] = -a / np.sqrt(one + a * a + b * b)
    return out


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
def tpi(elevation: F32, radius_y: int, radius_x: int) -> F32:
    """Return elevation above the mean of the rectangle around it, m (topographic position index, Weiss 2001).

    Sums run along in whole multiples of `STEP_M`: exact, so that they do not depend on where a window begins.

    Parameters
    ----------
    elevation : ndarray of float32, (y + 2 * radius_y, x + 2 * radius_x)
        Metres. Missing pixels do not count.
    radius_y, radius_x : int
        Half sides of the rectangle, in pixels.
    """
    height, width = elevation.shape[0] - 2 * radius_y, elevation.shape[1] - 2 * radius_x
    total, count = np.zeros(elevation.shape[1], np.int64), np.zeros(elevation.shape[1], np.int64)
    out = np.empty((height, width), np.float32)
    for i in range(elevation.shape[0]):
        _count_row(elevation[i], 1, total, count)
        first = i - 2 * radius_y
        if first < 0:
            continue
        box, known = np.int64(0), np.int64(0)
        for j in range(elevation.shape[1]):
            box += total[j]
            known += count[j]
            left = j - 2 * radius_x
            if left < 0:
                continue
            here = elevation[first + radius_y, left + radius_x]
            out[first, left] = here - box / max(known, 1) * STEP_M
            box -= total[left]
            known -= count[left]
        _count_row(elevation[first], -1, total, count)
    return out


@numba.njit(nogil=True, cache=True)
def _count_row(row: F32, sign: int, total: I64, count: I64) -> None:
    """Add a row to the sums of the columns, or take it away."""
    for j in range(row.shape[0]):
        if abs(row[j]) < FAR_M:
            total[j] += sign * np.int64(np.rint(row[j] / STEP_M))
            count[j] += sign
