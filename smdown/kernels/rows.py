"""Loops along rows that compilers turn into vector instructions: sums, extremes and their last step.

Extremes come as lows: the highest value is kept as the lowest of the negatives, so that one loop finds both.
Comparisons with NaN are false, so a missing value never becomes an extreme. Products are not fused with sums: the same
bits on every processor, and for every place in a loop.
"""
# ruff: noqa: FURB136, PLR0124 - comparisons are spelled out: they pass over NaN, and vectorise

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
LEAST_SHARE = np.float32(1e-3)
"""Weight of the valid pixels below which the nearest one is taken: holes and negative lobes have used up the rest."""
INF = np.float32(np.inf)
ZERO = np.float32(0)
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)


@compiled
def add_holed(
    a: F32, b: F32, c: F32, d: F32, p: np.float32, q: np.float32, r: np.float32, s: np.float32,
    total: F32, lost: F32, low: F32, high: F32,
) -> None:  # fmt: skip
    """Add four weighted source rows: sums of valid pixels, weights of missing ones, extremes."""
    for j in range(total.shape[0]):
        e, f, g, h = a[j], b[j], c[j], d[j]
        t, u, v, w = total[j], lost[j], low[j], high[j]
        t += p * (e if e == e else ZERO)
        u += ZERO if e == e else p
        t += q * (f if f == f else ZERO)
        u += ZERO if f == f else q
        t += r * (g if g == g else ZERO)
        u += ZERO if g == g else r
        t += s * (h if h == h else ZERO)
        u += ZERO if h == h else s
        v = e if e < v else v
        v = f if f < v else v
        v = g if g < v else v
        v = h if h < v else v
        w = -e if -e < w else w
        w = -f if -f < w else w
        w = -g if -g < w else w
        w = -h if -h < w else w
        total[j], lost[j], low[j], high[j] = t, u, v, w


@compiled
def sum_four(
    a: F32, b: F32, c: F32, d: F32, p: np.float32, q: np.float32, r: np.float32, s: np.float32, out: F32
) -> None:
    """Sum four weighted rows."""
    for j in range(out.shape[0]):
        out[j] = ((p * a[j] + q * b[j]) + r * c[j]) + s * d[j]


@compiled
def add(a: F32, p: np.float32, out: F32) -> None:
    """Add one weighted row."""
    for j in range(out.shape[0]):
        out[j] += p * a[j]


@compiled
def lowest_four(a: F32, b: F32, c: F32, d: F32, out: F32) -> None:
    """Return the lowest of four rows."""
    for j in range(out.shape[0]):
        e, f, g, h = a[j], b[j], c[j], d[j]
        v = f if f < e else e
        w = h if h < g else g
        out[j] = w if w < v else v


@compiled
def lower(a: F32, out: F32) -> None:
    """Take a row's values where they are lower."""
    for j in range(out.shape[0]):
        v, w = a[j], out[j]
        out[j] = v if v < w else w


@compiled
def lower_of_two(a: F32, b: F32, out: F32) -> None:
    """Return the lower of two rows."""
    for j in range(out.shape[0]):
        v, w = a[j], b[j]
        out[j] = w if w < v else v


@compiled
def lowest_of_runs(values: F32, spare: F32, reach: int) -> F32:
    """Return, for every entry, the lowest of it and the following ``reach - 1``, `reach` being a power of two.

    Entries whose run would leave the row hold nothing of use. Both arrays are overwritten.
    """
    step = 1
    while step < reach:
        n = values.shape[0] - step
        lower_of_two(values[:n], values[step:], spare[:n])
        values, spare = spare, values
        step *= 2
    return values


@compiled
def pick_lowest(runs: F32, start: I64, count: I64, reach: int, out: F32) -> None:
    """Return the lowest of each pixel's taps from the runs that cover them, which overlap."""
    for j in range(start.shape[0]):
        at, end = np.uint64(start[j]), np.uint64(start[j] + count[j] - reach)
        low = runs[end]
        while at < end:
            low = runs[at] if runs[at] < low else low
            at += np.uint64(reach)
        out[j] = low


@compiled
def sum_taps(row: F32, start: I64, count: I64, weights: F32, out: F32) -> None:
    """Return weighted sums of each pixel's taps in a row, first to last; NaN where one of them is missing."""
    for j in range(start.shape[0]):
        at, n, w = np.uint64(start[j]), count[j], weights[j]
        t = w[0] * row[at]
        k = 1
        while k + 4 <= n:
            here = at + np.uint64(k)
            t = t + w[k] * row[here] + w[k + 1] * row[here + _ONE] + w[k + 2] * row[here + _TWO]
            t += w[k + 3] * row[here + _THREE]
            k += 4
        while k < n:
            t += w[k] * row[at + np.uint64(k)]
            k += 1
        out[j] = t


@compiled
def sum_taps_of_both(row: F32, other: F32, start: I64, count: I64, weights: F32, out: F32, other_out: F32) -> None:
    """Do as `sum_taps` for two rows at once, whose weights are the same."""
    for j in range(start.shape[0]):
        at, n, w = np.uint64(start[j]), count[j], weights[j]
        t, u = w[0] * row[at], w[0] * other[at]
        k = 1
        while k + 4 <= n:
            here = at + np.uint64(k)
            p, q, r, s = w[k], w[k + 1], w[k + 2], w[k + 3]
            t = t + p * row[here] + q * row[here + _ONE] + r * row[here + _TWO]
            t += s * row[here + _THREE]
            u = u + p * other[here] + q * other[here + _ONE] + r * other[here + _TWO]
            u += s * other[here + _THREE]
            k += 4
        while k < n:
            t += w[k] * row[at + np.uint64(k)]
            u += w[k] * other[at + np.uint64(k)]
            k += 1
        out[j], other_out[j] = t, u


@compiled
def sum_row(row: F32, start: I64, count: I64, weights: F32, total: F32, low: F32, high: F32) -> None:
    """Return each pixel's sum and extremes of at least four taps in a source row; NaN where a tap is missing."""
    for j in range(start.shape[0]):
        at = np.uint64(start[j])
        a, b, c, d = row[at], row[at + _ONE], row[at + _TWO], row[at + _THREE]
        t = ((weights[j, 0] * a + weights[j, 1] * b) + weights[j, 2] * c) + weights[j, 3] * d
        v, w = INF, -INF
        v = a if a < v else v
        w = a if a > w else w
        v = b if b < v else v
        w = b if b > w else w
        v = c if c < v else v
        w = c if c > w else w
        v = d if d < v else v
        w = d if d > w else w
        for k in range(4, count[j]):
            a = row[at + np.uint64(k)]
            t += weights[j, k] * a
            v = a if a < v else v
            w = a if a > w else w
        total[j], low[j], high[j] = t, v, -w


@compiled
def sum_short_row(row: F32, start: I64, count: I64, weights: F32, total: F32, low: F32, high: F32) -> None:
    """Do as `sum_row` for any number of taps."""
    for j in range(start.shape[0]):
        t, v, w = ZERO, INF, -INF
        for k in range(count[j]):
            a = row[np.uint64(start[j] + k)]
            t += weights[j, k] * a
            v = a if a < v else v
            w = a if a > w else w
        total[j], low[j], high[j] = t, v, -w


@compiled
def mend_row(row: F32, start: I64, count: I64, weights: F32, total: F32, lost: F32) -> bool:
    """Sum the valid taps where one is missing, and the weights of those missing; return whether there are any."""
    holed = False
    for j in range(start.shape[0]):
        if total[j] == total[j]:
            lost[j] = ZERO
            continue
        t, u = ZERO, ZERO
        for k in range(count[j]):
            v = row[np.uint64(start[j] + k)]
            t += weights[j, k] * (v if v == v else ZERO)
            u += ZERO if v == v else weights[j, k]
        total[j], lost[j], holed = t, u, True
    return holed


@compiled
def pick(row: F32, at: I64, out: F32) -> None:
    """Copy entries by their index."""
    for j in range(out.shape[0]):
        out[j] = row[np.uint64(at[j])]


@compiled
def finish(total: F32, low: F32, high: F32, clamp: bool, out: F32) -> None:
    """Turn sums without holes into values."""
    if not clamp:
        out[:] = total
        return
    for j in range(out.shape[0]):
        v, least, most = total[j], low[j], -high[j]
        v = least if v < least else v
        out[j] = most if v > most else v


@compiled
def finish_holed(total: F32, lost: F32, low: F32, high: F32, near: F32, clamp: bool, out: F32) -> None:
    """Turn sums of the valid pixels into values: NaN where the nearest pixel is."""
    if not clamp:
        low[:], high[:] = -INF, -INF
    for j in range(out.shape[0]):
        share, least, most, here = np.float32(1) - lost[j], low[j], -high[j], near[j]
        v = total[j] / share
        v = least if v < least else v
        v = most if v > most else v
        v = v if share > LEAST_SHARE else here
        out[j] = v if here == here else here
