"""General warp: source positions from a globally anchored lattice, masked kernels of any width."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
LEAST_SHARE = 1e-3
"""Share of the weight, on valid pixels, below which the nearest one is taken."""


@numba.njit(nogil=True, cache=True)
def interpolate_lattice(lattice: F64, y0: int, x0: int, height: int, width: int, step: int) -> F64:
    """Return positions of pixels ``(y0.., x0..)`` from those of every `step`-th pixel, bilinearly.

    The lattice's first node is pixel ``(y0 // step * step, x0 // step * step)``.
    """
    out = np.empty((height, width))
    oy, ox = y0 // step * step, x0 // step * step
    for i in range(height):
        a, fy = divmod(y0 + i - oy, step)
        ty = fy / step
        for j in range(width):
            b, fx = divmod(x0 + j - ox, step)
            tx = fx / step
            top = lattice[a, b] * (1.0 - tx) + lattice[a, b + 1] * tx
            low = lattice[a + 1, b] * (1.0 - tx) + lattice[a + 1, b + 1] * tx
            out[i, j] = top * (1.0 - ty) + low * ty
    return out


@numba.njit(nogil=True, cache=True)
def _fill_weights(first: int, position: float, scale: float, cubic: bool, out: F64) -> None:
    """Fill in the kernel at source pixels `first` and following, widened by `scale`."""
    if cubic and scale == 1.0:
        t = position - 0.5 - (first + 1)
        out[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
        out[1] = (1.5 * t - 2.5) * t * t + 1.0
        out[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
        out[3] = (0.5 * t - 0.5) * t * t
        return
    for k in range(out.shape[0]):
        t = abs(first + k + 0.5 - position) / scale
        if not cubic:
            out[k] = max(0.0, 1.0 - t)
        elif t < 1.0:
            out[k] = (1.5 * t - 2.5) * t * t + 1.0
        else:
            out[k] = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0 if t < 2.0 else 0.0


@numba.njit(nogil=True, cache=True)
def _value(source: F32, top: int, left: int, wy: F64, wx: F64, least: float, nearest: float) -> float:
    """Return the weighted mean of the valid pixels, within the extremes of those that have weight."""
    total, share = 0.0, 0.0
    low, high = np.inf, -np.inf
    first, last = max(0, -left), min(wx.shape[0], source.shape[1] - left)
    for m in range(max(0, -top), min(wy.shape[0], source.shape[0] - top)):
        subtotal, subshare = 0.0, 0.0
        for k in range(first, last):
            v = source[top + m, left + k]
            if wy[m] != 0 and wx[k] != 0 and not np.isnan(v):
                subtotal += wx[k] * v
                subshare += wx[k]
                low, high = min(v, low), max(v, high)
        total += wy[m] * subtotal
        share += wy[m] * subshare
    return min(max(total / share, low), high) if share > least else nearest


@numba.njit(nogil=True, cache=True)
def _sixteen(source: F32, top: int, left: int, wy: F64, wx: F64) -> float:
    """Return the cubic at a place whose 16 pixels are all there; NaN if one is missing."""
    a, b, c, d = wx[0], wx[1], wx[2], wx[3]
    total = 0.0
    low, high = np.inf, -np.inf
    for m in range(4):
        p, q = source[top + m, left], source[top + m, left + 1]
        r, s = source[top + m, left + 2], source[top + m, left + 3]
        total += wy[m] * (a * p + b * q + c * r + d * s)
        low = min(low, p, q, r, s)
        high = max(high, p, q, r, s)
    return total if np.isnan(total) else min(max(total, low), high)


@numba.njit(nogil=True, cache=True)
def warp(source: F32, y0: int, x0: int, rows: F64, cols: F64, scale_y: float, scale_x: float, radius: int) -> F32:
    """Resample at fractional source positions (global, pixel ``i`` spans ``i`` to ``i + 1``).

    Parameters
    ----------
    source : ndarray of float32, (y, x)
        Begins at source pixel ``(y0, x0)``; whatever lies outside it is missing.
    y0, x0 : int
        Its first pixel.
    rows, cols : ndarray of float64, (y, x)
        Positions; results are missing where they are not finite.
    scale_y, scale_x : float
        Source pixels a target pixel, at least 1: the kernel is widened by them.
    radius : int
        2: cubic, 1: linear, 0: nearest.

    Returns
    -------
    ndarray of float32, (y, x)
        Within the extremes of the valid pixels used; valid where the nearest source pixel is.
    """
    height, width = rows.shape
    least = LEAST_SHARE * scale_y * scale_x  # the whole weight is about the kernel's area
    out = np.full((height, width), np.nan, np.float32)
    plain = radius == 2 and scale_y == 1.0 and scale_x == 1.0
    ry, rx = radius * scale_y, radius * scale_x
    wy, wx = np.empty(int(np.ceil(2 * ry))), np.empty(int(np.ceil(2 * rx)))
    for i in range(height):
        for j in range(width):
            py, px = rows[i, j], cols[i, j]
            if not (np.isfinite(py) and np.isfinite(px)):
                continue
            cy, cx = int(np.floor(py)) - y0, int(np.floor(px)) - x0
            if not (0 <= cy < source.shape[0] and 0 <= cx < source.shape[1]) or np.isnan(source[cy, cx]):
                continue
            if radius == 0:
                out[i, j] = source[cy, cx]
                continue
            sy, sx = int(np.floor(py - 0.5 - ry)) + 1, int(np.floor(px - 0.5 - rx)) + 1
            _fill_weights(sy, py, scale_y, radius == 2, wy)
            _fill_weights(sx, px, scale_x, radius == 2, wx)
            top, left = sy - y0, sx - x0
            used = plain and wy[0] != 0 and wx[0] != 0  # all sixteen have weight
            if used and 0 <= top <= source.shape[0] - 4 and 0 <= left <= source.shape[1] - 4:
                out[i, j] = _sixteen(source, top, left, wy, wx)
                if not np.isnan(out[i, j]):
                    continue
            out[i, j] = _value(source, top, left, wy, wx, least, source[cy, cx])
    return out
