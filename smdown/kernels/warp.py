"""General warp: source positions from a globally anchored lattice, 16-tap masked cubic."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


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
def _kernel(t: float, cubic: bool) -> float:
    t = abs(t)
    if not cubic:
        return max(0.0, 1.0 - t)
    if t < 1.0:
        return (1.5 * t - 2.5) * t * t + 1.0
    if t < 2.0:
        return ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return 0.0


@numba.njit(nogil=True, cache=True)
def warp(source: F32, y0: int, x0: int, rows: F64, cols: F64, scale_y: float, scale_x: float, cubic: bool) -> F32:
    """Resample at fractional source positions (global, pixel ``i`` spans ``i`` to ``i + 1``).

    `source` begins at source pixel ``(y0, x0)``; whatever lies outside it is missing. The kernel is widened by the
    scales (source pixels a target pixel, at least 1). Results are clamped to the extremes of the valid pixels used and
    valid where the nearest source pixel is.
    """
    height, width = rows.shape
    out = np.full((height, width), np.nan, np.float32)
    base = 2.0 if cubic else 1.0
    ry, rx = base * scale_y, base * scale_x
    ny, nx = int(np.ceil(2 * ry)), int(np.ceil(2 * rx))
    wx = np.empty(nx)
    for i in range(height):
        for j in range(width):
            py, px = rows[i, j], cols[i, j]
            if not (np.isfinite(py) and np.isfinite(px)):
                continue
            cy, cx = int(np.floor(py)) - y0, int(np.floor(px)) - x0
            if not (0 <= cy < source.shape[0] and 0 <= cx < source.shape[1]) or np.isnan(source[cy, cx]):
                continue
            sy, sx = int(np.floor(py - 0.5 - ry)) + 1, int(np.floor(px - 0.5 - rx)) + 1
            for k in range(nx):
                wx[k] = _kernel((sx + k + 0.5 - px) / scale_x, cubic)
            total, share = 0.0, 0.0
            low, high = np.inf, -np.inf
            for m in range(ny):
                a = sy + m - y0
                if a < 0 or a >= source.shape[0]:
                    continue
                wy = _kernel((sy + m + 0.5 - py) / scale_y, cubic)
                for k in range(nx):
                    b = sx + k - x0
                    if b < 0 or b >= source.shape[1]:
                        continue
                    v = source[a, b]
                    if np.isnan(v):
                        continue
                    w = wy * wx[k]
                    total += w * v
                    share += w
                    low, high = min(low, v), max(high, v)
            out[i, j] = min(max(total / share, low), high)
    return out
