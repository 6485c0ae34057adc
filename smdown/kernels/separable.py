"""Separable resampling: one pass along each axis, masked, normalised and clamped.

An output pixel is a sum over its own taps in a fixed order, so a window's pixels equal those of the whole, bit for bit.
The axis that leaves fewer numbers comes first. Work goes row by row through buffers that stay in the processor's cache.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.axis import AxisWeights
from smdown.kernels.compile import compiled
from smdown.kernels.majority import majority
from smdown.kernels.rows import (
    INF,
    ZERO,
    add,
    add_holed,
    finish,
    finish_holed,
    lower,
    lowest_four,
    lowest_of_runs,
    mend_row,
    pick,
    pick_lowest,
    sum_four,
    sum_row,
    sum_short_row,
    sum_taps,
    sum_taps_of_both,
)

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
Axis = tuple[I64, I64, F32, I64]
SUM, LOST, LOW, HIGH = 0, 1, 2, 3
"""What a pass leaves of every pixel: sum of valid pixels, weight of missing ones, lowest value, lowest negative one."""
_ROWS, _STRIP = 8, 1024
"""Target rows summed together, and source columns at a time: what they share stays in the first cache."""


def resample(
    source: F32, y0: int, x0: int, rows: AxisWeights, cols: AxisWeights, *, coarsen: bool = False, clamp: bool = True
) -> F32:
    """Resample an array whose first pixel is source pixel ``(y0, x0)``.

    Parameters
    ----------
    source : ndarray of float32, (y, x)
        NaN is missing, all else finite. Must hold every pixel that the weights reach.
    y0, x0 : int
        Index of its first pixel on the source's axes.
    rows, cols : AxisWeights
        Weights of the two axes.
    coarsen : bool
        Sum down the columns first, which is the faster order where the target is the coarser. The order settles the
        last bit: take the same one for every window of a pair of grids.
    clamp : bool
        Keep results within the extremes of the valid pixels among their taps.

    Returns
    -------
    ndarray of float32, (y, x)
        NaN exactly where the nearest source pixel is missing.
    """
    _check_reach(source.shape[0], y0, rows)
    _check_reach(source.shape[1], x0, cols)
    if rows.method == cols.method == "nearest":
        return np.asarray(source[np.ix_(rows.nearest - y0, cols.nearest - x0)], dtype=np.float32)
    source = np.ascontiguousarray(source, dtype=np.float32)
    along_y = (rows.start - y0, rows.count, np.ascontiguousarray(rows.weights), rows.nearest - y0)
    along_x = (cols.start - x0, cols.count, np.ascontiguousarray(cols.weights), cols.nearest - x0)
    out = np.empty((len(rows.start), len(cols.start)), np.float32)
    if rows.method == "mode":
        majority(source, along_y, along_x, out)
    elif coarsen:
        reach = 1 << (int(cols.count.min()).bit_length() - 1)
        _columns_first(source, along_y, along_x, reach, clamp, out)
    else:
        _rows_first(source, along_y, along_x, bool(cols.count.min() >= 4), clamp, out)
    return out


def _check_reach(size: int, first: int, axis: AxisWeights) -> None:
    """Compiled loops do not look at bounds: a wrong window must stop here."""
    low, high = axis.reach
    assert first <= low, f"the weights begin at {low}, the source at {first}"
    assert high <= first + size, f"the weights end at {high}, the source at {first + size}"


@compiled
def _rows_first(source: F32, along_y: Axis, along_x: Axis, many: bool, clamp: bool, out: F32) -> None:
    """Sum along every source row once, kept in a ring, then down the columns: for refining."""
    ys, yc, yw, yn = along_y
    xs, xc, xw, xn = along_x
    m, depth = xs.shape[0], yw.shape[1]
    sums, extremes = np.empty((depth, 2 * m), np.float32), np.empty((depth, 2 * m), np.float32)
    held, holes = np.full(depth, -1, np.int64), np.zeros(depth, np.bool_)
    total, bounds, near = np.empty(2 * m, np.float32), np.empty(2 * m, np.float32), np.empty(m, np.float32)
    near_row = -1
    bounded = (-1, -1)
    for i in range(out.shape[0]):
        first, last = ys[i], ys[i] + yc[i]
        holed = False
        for y in range(first, last):
            g = y % depth
            if held[g] != y:
                if many:
                    sum_row(source[y], xs, xc, xw, sums[g, :m], extremes[g, :m], extremes[g, m:])
                else:
                    sum_short_row(source[y], xs, xc, xw, sums[g, :m], extremes[g, :m], extremes[g, m:])
                holes[g] = mend_row(source[y], xs, xc, xw, sums[g, :m], sums[g, m:])
                held[g] = y
            holed |= holes[g]
        used = 2 * m if holed else m
        _sum_ring(sums, first, last, yw[i], total[:used])
        if clamp and (first, last) != bounded:
            _bound_ring(extremes, first, last, bounds)
            bounded = (first, last)
        if not holed:
            finish(total[:m], bounds[:m], bounds[m:], clamp, out[i])
            continue
        if yn[i] != near_row:
            near_row = yn[i]
            pick(source[near_row], xn, near)
        finish_holed(total[:m], total[m:], bounds[:m], bounds[m:], near, clamp, out[i])


@compiled
def _sum_ring(ring: F32, first: int, last: int, weights: F32, out: F32) -> None:
    n, used = ring.shape[0], out.shape[0]
    if last - first == 4:
        a, b = ring[first % n, :used], ring[(first + 1) % n, :used]
        c, d = ring[(first + 2) % n, :used], ring[(first + 3) % n, :used]
        sum_four(a, b, c, d, weights[0], weights[1], weights[2], weights[3], out)
        return
    out[:] = 0
    for y in range(first, last):
        add(ring[y % n, :used], weights[y - first], out)


@compiled
def _bound_ring(ring: F32, first: int, last: int, out: F32) -> None:
    n = ring.shape[0]
    if last - first == 4:
        lowest_four(ring[first % n], ring[(first + 1) % n], ring[(first + 2) % n], ring[(first + 3) % n], out)
        return
    out[:] = INF
    for y in range(first, last):
        lower(ring[y % n], out)


@compiled
def _columns_first(source: F32, along_y: Axis, along_x: Axis, reach: int, clamp: bool, out: F32) -> None:
    """Sum down the columns, a few target rows at a time, then along what is left: for coarsening."""
    xs, xc, xw, xn = along_x
    height, width, m = out.shape[0], source.shape[1], xs.shape[0]
    tall = np.empty((4, _ROWS, width), np.float32)
    short, near, spare = np.empty((4, m), np.float32), np.empty(m, np.float32), np.empty(width, np.float32)
    for top in range(0, height, _ROWS):
        count = min(height - top, _ROWS)
        _sum_down(source, along_y, top, count, tall)
        for g in range(count):
            if clamp:
                for side in (LOW, HIGH):
                    runs = lowest_of_runs(tall[side, g], spare, reach)
                    pick_lowest(runs, xs, xc, reach, short[side])
            if not np.any(tall[LOST, g] != 0):
                sum_taps(tall[SUM, g], xs, xc, xw, short[SUM])
                finish(short[SUM], short[LOW], short[HIGH], clamp, out[top + g])
                continue
            sum_taps_of_both(tall[SUM, g], tall[LOST, g], xs, xc, xw, short[SUM], short[LOST])
            pick(source[along_y[3][top + g]], xn, near)
            finish_holed(short[SUM], short[LOST], short[LOW], short[HIGH], near, clamp, out[top + g])


@compiled
def _sum_down(source: F32, along_y: Axis, top: int, count: int, tall: F32) -> None:
    """Sum the columns of the source into `count` target rows, strip by strip and four source rows at a time."""
    ys, yc, yw, _ = along_y
    for left in range(0, source.shape[1], _STRIP):
        right = min(source.shape[1], left + _STRIP)
        for g in range(count):
            first, end, w = ys[top + g], yc[top + g] - 1, yw[top + g]
            total, lost = tall[SUM, g, left:right], tall[LOST, g, left:right]
            low, high = tall[LOW, g, left:right], tall[HIGH, g, left:right]
            total[:], lost[:], low[:], high[:] = 0, 0, INF, INF
            for k in range(0, end + 1, 4):
                k1, k2, k3 = min(k + 1, end), min(k + 2, end), min(k + 3, end)  # past the last: it again, weightless
                a, b = source[first + k, left:right], source[first + k1, left:right]
                c, d = source[first + k2, left:right], source[first + k3, left:right]
                q, r, s = w[k1] if k1 > k else ZERO, w[k2] if k2 > k1 else ZERO, w[k3] if k3 > k2 else ZERO
                add_holed(a, b, c, d, w[k], q, r, s, total, lost, low, high)
