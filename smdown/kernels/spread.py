"""General warp with kernels of any width: widened ones, area averages, classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled
from smdown.kernels.lattice import row_positions
from smdown.kernels.majority import mode_of
from smdown.kernels.rows import LEAST_SHARE

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
_RADII = (0.5, 1.0, 2.0, 0.5, 0.5)


@compiled
def spread(
    source: F32, origin: tuple[int, int], nodes: tuple[F64, F64], first: tuple[int, int], step: int,
    widths: tuple[float, float], code: int, clamp: bool, out: F32,
) -> None:  # fmt: skip
    """Fill in every pixel from the taps around it; `code`: 0 nearest, 1 linear, 2 cubic, 3 average, 4 mode."""
    n = out.shape[1]
    py, px = np.empty(n), np.empty(n)
    reach_y, reach_x = _RADII[code] * widths[0], _RADII[code] * widths[1]
    wy, wx = np.empty(int(np.ceil(2 * reach_y)) + 1), np.empty(int(np.ceil(2 * reach_x)) + 1)
    classes, areas = np.empty(len(wy) * len(wx), np.float32), np.empty(len(wy) * len(wx))
    for i in range(out.shape[0]):
        row_positions(nodes[0], first[0] + i, first[1], step, py)
        row_positions(nodes[1], first[0] + i, first[1], step, px)
        for j in range(n):
            out[i, j] = np.nan
            if not (np.isfinite(py[j]) and np.isfinite(px[j])):
                continue
            y, x = int(np.floor(py[j])) - origin[0], int(np.floor(px[j])) - origin[1]
            if not (0 <= y < source.shape[0] and 0 <= x < source.shape[1]):
                continue
            out[i, j] = source[y, x]
            if code == 0 or np.isnan(source[y, x]):
                continue
            top, ny = _taps(py[j], reach_y, widths[0], code, wy)
            left, nx = _taps(px[j], reach_x, widths[1], code, wx)
            top, ny, skip_y = _inside(top - origin[0], ny, source.shape[0])
            left, nx, skip_x = _inside(left - origin[1], nx, source.shape[1])
            if code == 4:
                out[i, j] = mode_of(source, top, ny, wy[skip_y:], left, nx, wx[skip_x:], classes, areas)
            else:
                whole = np.sum(wy) * np.sum(wx)
                out[i, j] = _mean_of(
                    source, top, ny, wy[skip_y:], left, nx, wx[skip_x:], whole, clamp, source[y, x]
                )  # fmt: skip


@compiled
def _inside(first: int, count: int, size: int) -> tuple[int, int, int]:
    """Return the taps that the source has, and how many lie before it."""
    skip = max(0, -first)
    return first + skip, min(first + count, size) - (first + skip), skip


@compiled
def _taps(position: float, reach: float, width: float, code: int, out: F64) -> tuple[int, int]:
    """Fill in the weights of one axis, zero beyond them; return the first tap and their number."""
    out[:] = 0.0
    if code >= 3:
        first, stop = int(np.floor(position - reach)), int(np.ceil(position + reach))
        for k in range(stop - first):
            out[k] = max(0.0, min(first + k + 1.0, position + reach) - max(first + k, position - reach))
        return first, stop - first
    first, stop = int(np.floor(position - 0.5 - reach)) + 1, int(np.ceil(position - 0.5 + reach))
    for k in range(stop - first):
        t = abs(first + k + 0.5 - position) / width
        if code == 1:
            out[k] = max(0.0, 1.0 - t)
        elif t < 1.0:
            out[k] = (1.5 * t - 2.5) * t * t + 1.0
        elif t < 2.0:
            out[k] = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return first, stop - first


@compiled
def _mean_of(
    source: F32, top: int, ny: int, wy: F64, left: int, nx: int, wx: F64, whole: float, clamp: bool, near: np.float32
) -> np.float32:
    """Return the weighted mean of the valid taps; the nearest pixel where too little of the `whole` weight is valid."""
    total, share = 0.0, 0.0
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for m in range(ny):
        part, valid = 0.0, 0.0
        for k in range(nx):
            v = source[top + m, left + k]
            if not np.isnan(v):
                part += wx[k] * v
                valid += wx[k]
                low, high = min(low, v), max(high, v)
        total += wy[m] * part
        share += wy[m] * valid
    if share <= LEAST_SHARE * whole:
        return near
    out = np.float32(total / share)
    return min(max(out, low), high) if clamp else out
