"""Separable resampling: one pass along rows, one along columns, masked, normalised and clamped.

An output pixel is a sum over its own taps in a fixed order: a window's pixels equal those of the whole, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import numpy.typing as npt

from smdown.kernels.axis import AxisWeights

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
Pass = Callable[[F32, I64, F32], F32]
TAPS_REFINING = 4
"""Taps of a cubic kernel that is not widened."""


def resample(source: F32, y0: int, x0: int, rows: AxisWeights, cols: AxisWeights, *, clamp: bool = True) -> F32:
    """Resample an array whose first pixel is source pixel ``(y0, x0)``.

    Parameters
    ----------
    source : ndarray of float32, (y, x)
        NaN is missing. Must hold every pixel that the weights reach, unless it lies outside the source altogether.
    y0, x0 : int
        Index of its first pixel on the source's axes.
    rows, cols : AxisWeights
        Weights of the two axes.
    clamp : bool
        Keep results within the extremes of the valid pixels that they draw on.

    Returns
    -------
    ndarray of float32, (y, x)
        NaN exactly where the nearest source pixel is missing.
    """
    return _resample(
        np.ascontiguousarray(source, dtype=np.float32),
        rows.start - y0, rows.weights.astype(np.float32), rows.nearest - y0,
        cols.start - x0, cols.weights.astype(np.float32), cols.nearest - x0,
        clamp,
    )  # fmt: skip


def _resample(source: F32, ys: I64, yw: F32, yn: I64, xs: I64, xw: F32, xn: I64, clamp: bool) -> F32:
    holes = np.isnan(source)
    if not holes.any():
        out = _both(_sum_x, _sum_y, source, ys, yw, xs, xw)
    else:
        full = np.where(holes, np.float32(0), source)
        out = _both(_sum_x, _sum_y, full, ys, yw, xs, xw)
        share = _both(_sum_x, _sum_y, (~holes).astype(np.float32), ys, yw, xs, xw)
        touched = _both(_max_x, _max_y, holes.astype(np.float32), ys, yw, xs, xw) > 0
        with np.errstate(invalid="ignore", divide="ignore"):  # pixels that draw on nothing are masked below
            np.divide(out, share, out=out, where=touched)
    if clamp:
        high = _both(_max_x, _max_y, np.where(holes, np.float32(-np.inf), source), ys, yw, xs, xw)
        low = _both(_max_x, _max_y, np.where(holes, np.float32(-np.inf), -source), ys, yw, xs, xw)
        out = np.minimum(np.maximum(out, -low), high)
    return _mask(out, source, yn, xn)


def _both(along_x: Pass, along_y: Pass, field: F32, ys: I64, yw: F32, xs: I64, xw: F32) -> F32:
    """Do the pass first that makes less of the array: columns where it coarsens, rows where it refines."""
    if yw.shape[1] > TAPS_REFINING:
        return along_x(along_y(field, ys, yw), xs, xw)
    return along_y(along_x(field, xs, xw), ys, yw)


@numba.njit(nogil=True, cache=True)
def _sum_y(field: F32, start: I64, weights: F32) -> F32:
    n, taps = weights.shape
    width = field.shape[1]
    out = np.zeros((n, width), np.float32)
    for i in range(n):
        for k in range(taps):
            w = weights[i, k]
            row = field[start[i] + k]
            for j in range(width):
                out[i, j] += w * row[j]
    return out


@numba.njit(nogil=True, cache=True)
def _sum_x(field: F32, start: I64, weights: F32) -> F32:
    n, taps = weights.shape
    out = np.empty((field.shape[0], n), np.float32)
    for i in range(field.shape[0]):
        for j in range(n):
            total = np.float32(0.0)
            for k in range(taps):
                total += weights[j, k] * field[i, start[j] + k]
            out[i, j] = total
    return out


@numba.njit(nogil=True, cache=True)
def _max_y(field: F32, start: I64, weights: F32) -> F32:
    n, taps = weights.shape
    width = field.shape[1]
    out = np.full((n, width), -np.inf, np.float32)
    for i in range(n):
        for k in range(taps):
            row = field[start[i] + k]
            for j in range(width):
                out[i, j] = max(out[i, j], row[j])
    return out


@numba.njit(nogil=True, cache=True)
def _max_x(field: F32, start: I64, weights: F32) -> F32:
    n, taps = weights.shape
    out = np.empty((field.shape[0], n), np.float32)
    for i in range(field.shape[0]):
        for j in range(n):
            best = np.float32(-np.inf)
            for k in range(taps):
                best = max(best, field[i, start[j] + k])
            out[i, j] = best
    return out


@numba.njit(nogil=True, cache=True)
def _mask(out: F32, source: F32, yn: I64, xn: I64) -> F32:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            if np.isnan(source[yn[i], xn[j]]):
                out[i, j] = np.nan
    return out
