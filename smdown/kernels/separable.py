"""Separable resampling: one pass along rows, one along columns, masked, normalised and clamped.

An output pixel is a sum over its own taps in a fixed order: a window's pixels equal those of the whole, bit for bit.
Both passes run row by row, so that what lies between them stays in the processor's cache.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from smdown.kernels.axis import AxisWeights

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
TAPS_REFINING = 4
"""Taps of a cubic kernel that is not widened."""
LEAST_SHARE = np.float32(1e-3)
"""Weight of the valid pixels below which the nearest one is taken: holes and negative lobes have used up the rest."""
SUM, LOST, LOW, HIGH = 0, 1, 2, 3
"""What a pass leaves of every pixel: weighted sum of valid pixels, weight of missing ones, extremes of valid ones."""


def resample(source: F32, y0: int, x0: int, rows: AxisWeights, cols: AxisWeights, *, clamp: bool = True) -> F32:
    """Resample an array whose first pixel is source pixel ``(y0, x0)``.

    Parameters
    ----------
    source : ndarray of float32, (y, x)
        NaN is missing. Must hold every pixel that the weights reach.
    y0, x0 : int
        Index of its first pixel on the source's axes.
    rows, cols : AxisWeights
        Weights of the two axes.
    clamp : bool
        Keep results within the extremes of the valid pixels that they draw on (those without weight do not count).

    Returns
    -------
    ndarray of float32, (y, x)
        NaN exactly where the nearest source pixel is missing.
    """
    _check_reach(source.shape[0], y0, rows)
    _check_reach(source.shape[1], x0, cols)
    if rows.weights.shape[1] == cols.weights.shape[1] == 1:
        return np.asarray(source[np.ix_(rows.nearest - y0, cols.nearest - x0)], dtype=np.float32)
    run = _columns_first if rows.weights.shape[1] > TAPS_REFINING else _rows_first
    source = np.ascontiguousarray(source, dtype=np.float32)
    return run(
        source, np.isnan(source).any(axis=1),
        rows.start - y0, rows.weights.astype(np.float32), rows.nearest - y0,
        cols.start - x0, np.ascontiguousarray(cols.weights.T, dtype=np.float32), cols.nearest - x0,
        clamp,
    )  # fmt: skip


def _check_reach(size: int, first: int, axis: AxisWeights) -> None:
    """Compiled loops do not look at bounds: a wrong window must stop here."""
    low, high = axis.reach
    assert first <= low, f"the weights begin at {low}, the source at {first}"
    assert high <= first + size, f"the weights end at {high}, the source at {first + size}"


@numba.njit(nogil=True, cache=True)
def _rows_first(
    source: F32, holes: npt.NDArray[np.bool_], ys: I64, yw: F32, yn: I64, xs: I64, xw: F32, xn: I64, clamp: bool
) -> F32:
    """Work along rows, then down the columns: for refining, where the first pass touches few rows."""
    n, taps = yw.shape
    width = xs.shape[0]
    out = np.empty((n, width), np.float32)
    ring = np.empty((taps, 4, width), np.float32)
    held = np.full(taps, -1, np.int64)
    whole = np.empty((4, width), np.float32)
    for i in range(n):
        holed = False
        for k in range(taps):
            y = ys[i] + k
            if held[y % taps] != y:
                _along(source[y], holes[y], xs, xw, ring[y % taps])
                held[y % taps] = y
            holed |= holes[y]
        if taps == 4 and not holed and np.all(yw[i] != 0):
            a, b, c, d = ring[ys[i] % 4], ring[(ys[i] + 1) % 4], ring[(ys[i] + 2) % 4], ring[(ys[i] + 3) % 4]
            _four(a, b, c, d, yw[i], clamp, out[i])
            continue
        _clear(whole)
        for k in range(taps):
            if yw[i, k] != 0:
                _add(ring[(ys[i] + k) % taps], yw[i, k], whole)
        _finish(whole, clamp, source[yn[i]], xn, out[i])
    return out


@numba.njit(nogil=True, cache=True)
def _columns_first(
    source: F32, holes: npt.NDArray[np.bool_], ys: I64, yw: F32, yn: I64, xs: I64, xw: F32, xn: I64, clamp: bool
) -> F32:
    """Work down the columns, then along rows: for coarsening, where the first pass leaves few rows."""
    n, taps = yw.shape
    out = np.empty((n, xs.shape[0]), np.float32)
    tall = np.empty((4, source.shape[1]), np.float32)
    whole = np.empty((4, xs.shape[0]), np.float32)
    for i in range(n):
        _clear(tall)
        for k in range(taps):
            if yw[i, k] != 0:
                _add_source(source[ys[i] + k], holes[ys[i] + k], yw[i, k], tall)
        _clear(whole)
        for k in range(xw.shape[0]):
            for j in range(xs.shape[0]):
                x = xs[j] + k
                w = xw[k, j]
                whole[SUM, j] += w * tall[SUM, x]
                whole[LOST, j] += w * tall[LOST, x]
                whole[LOW, j] = min(tall[LOW, x] if w != 0 else np.float32(np.inf), whole[LOW, j])
                whole[HIGH, j] = max(tall[HIGH, x] if w != 0 else np.float32(-np.inf), whole[HIGH, j])
        _finish(whole, clamp, source[yn[i]], xn, out[i])
    return out


@numba.njit(nogil=True, cache=True)
def _along(row: F32, holed: bool, start: I64, weights: F32, out: F32) -> None:
    """Resample one source row."""
    taps, n = weights.shape
    for j in range(n):
        total, lost = np.float32(0), np.float32(0)
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for k in range(taps):
            v, w = row[start[j] + k], weights[k, j]
            if holed and np.isnan(v):
                lost += w
            elif w != 0:
                total += w * v
                low, high = min(v, low), max(v, high)
        out[SUM, j], out[LOST, j], out[LOW, j], out[HIGH, j] = total, lost, low, high


@numba.njit(nogil=True, cache=True)
def _four(a: F32, b: F32, c: F32, d: F32, w: F32, clamp: bool, out: F32) -> None:
    """Join four rows without holes in one loop."""
    for j in range(out.shape[0]):
        v = w[0] * a[SUM, j] + w[1] * b[SUM, j] + w[2] * c[SUM, j] + w[3] * d[SUM, j]
        if clamp:
            low = min(a[LOW, j], b[LOW, j], c[LOW, j], d[LOW, j])
            high = max(a[HIGH, j], b[HIGH, j], c[HIGH, j], d[HIGH, j])
            v = min(max(v, low), high)
        out[j] = v


@numba.njit(nogil=True, cache=True)
def _clear(sums: F32) -> None:
    sums[SUM], sums[LOST], sums[LOW], sums[HIGH] = 0, 0, np.inf, -np.inf


@numba.njit(nogil=True, cache=True)
def _add(row: F32, w: np.float32, into: F32) -> None:
    """Add a row that has been resampled already to the sums of an output row."""
    for j in range(into.shape[1]):
        into[SUM, j] += w * row[SUM, j]
        into[LOST, j] += w * row[LOST, j]
        into[LOW, j] = min(into[LOW, j], row[LOW, j])
        into[HIGH, j] = max(into[HIGH, j], row[HIGH, j])


@numba.njit(nogil=True, cache=True)
def _add_source(row: F32, holed: bool, w: np.float32, into: F32) -> None:
    """Add a source row to the sums of an output row."""
    if not holed:
        for j in range(row.shape[0]):
            into[SUM, j] += w * row[j]
            into[LOW, j] = min(into[LOW, j], row[j])
            into[HIGH, j] = max(into[HIGH, j], row[j])
        return
    for j in range(row.shape[0]):
        if np.isnan(row[j]):
            into[LOST, j] += w
        else:
            into[SUM, j] += w * row[j]
            into[LOW, j] = min(into[LOW, j], row[j])
            into[HIGH, j] = max(into[HIGH, j], row[j])


@numba.njit(nogil=True, cache=True)
def _finish(whole: F32, clamp: bool, nearest: F32, xn: I64, out: F32) -> None:
    """Turn the sums of an output row into its values."""
    for j in range(out.shape[0]):
        here = nearest[xn[j]]
        share = np.float32(1) - whole[LOST, j]
        if np.isnan(here) or share < LEAST_SHARE:
            out[j] = here
            continue
        v = whole[SUM, j] / share  # by exactly 1 where nothing is missing
        out[j] = min(max(v, whole[LOW, j]), whole[HIGH, j]) if clamp else v
