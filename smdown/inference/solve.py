"""One number per coarse cell, such that the mean over the cell's pixels equals the coarse value.

Each kind moves all pixels of a cell by one parameter, up or down together, and stops every pixel at its bounds. So the
cell's mean grows with that parameter and crosses the coarse value once: Newton's step is taken where it stays inside
the bracket, and the bracket is halved where it does not. Sums run over lanes in a fixed order, so the same pixels give
the same bytes whatever is computed beside them.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

NONE, LOGIT, ADDITIVE, MULTIPLICATIVE = 0, 1, 2, 3

UNMET = 4e-5
"""A cell whose mean misses the coarse value by more is flagged; half a count of packing on top stays below 1e-4.
Where the range is narrower than soil moisture's it is `_SHARE` of that; never less than float32 can tell apart."""

EDGE = 1e-4
"""A prediction at a bound starts this share of the range inside it, or no shift could move it."""

_Array = npt.NDArray[np.float64]
_Field = npt.NDArray[np.float32]

_LANES = 16
_SHARE = 4e-4
_EPSILON = 2.0**-23
_TOLERANCE = 1e-9
_MOST_STEPS = 80
_FARTHEST = 60.0  # logit shifts and logarithms of factors beyond it change nothing

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _sums_logit(start: _Array, span: _Array, theta: float) -> tuple[float, float]:
    """Return the sum of ``span * s`` and its derivative, where ``s = sigmoid(logit(start) + theta)``.

    Written with the odds, no pixel needs an exponential: ``s = p / (p + (1 - p) exp(-theta))``.
    """
    k = math.exp(-theta)
    total, slope = np.zeros(_LANES), np.zeros(_LANES)
    for i in range(0, start.size, _LANES):
        for j in range(_LANES):
            p = start[i + j]
            s = p / (p + (1.0 - p) * k)
            above = span[i + j] * s
            total[j] += above
            slope[j] += above * (1.0 - s)
    return total.sum(), slope.sum()


@_jit
def _sums_additive(start: _Array, low: _Array, span: _Array, theta: float) -> tuple[float, float]:
    """Return the sum of ``clip(start + theta)`` above the lower bounds, and how many pixels are between the bounds."""
    total, slope = np.zeros(_LANES), np.zeros(_LANES)
    for i in range(0, start.size, _LANES):
        for j in range(_LANES):
            above = start[i + j] + theta - low[i + j]
            slope[j] += 1.0 if 0.0 < above < span[i + j] else 0.0
            total[j] += min(max(above, 0.0), span[i + j])
    return total.sum(), slope.sum()


@_jit
def _sums_multiplicative(start: _Array, low: _Array, span: _Array, theta: float) -> tuple[float, float]:
    """Return the sum of ``clip(start * exp(theta))`` above the lower bounds, and its derivative."""
    k = math.exp(theta)
    total, slope = np.zeros(_LANES), np.zeros(_LANES)
    for i in range(0, start.size, _LANES):
        for j in range(_LANES):
            grown = start[i + j] * k
            above = grown - low[i + j]
            slope[j] += grown if 0.0 < above < span[i + j] else 0.0
            total[j] += min(max(above, 0.0), span[i + j])
    return total.sum(), slope.sum()


@_jit
def _sums(kind: int, start: _Array, low: _Array, span: _Array, theta: float) -> tuple[float, float]:
    if kind == LOGIT:
        return _sums_logit(start, span, theta)
    if kind == ADDITIVE:
        return _sums_additive(start, low, span, theta)
    return _sums_multiplicative(start, low, span, theta)


@_jit
def _step(kind: int, total: float, slope: float, wanted: float, room: float) -> float:
    """Return Newton's step; for logit, on the logit of the mean, which is nearly straight in the shift."""
    if slope <= 0.0:
        return math.nan
    if kind != LOGIT:
        return (wanted - total) / slope
    mean, goal = total / room, min(max(wanted / room, 1e-15), 1.0 - 1e-15)
    if mean <= 0.0 or mean >= 1.0:
        return math.nan
    gap = math.log(goal / (1.0 - goal)) - math.log(mean / (1.0 - mean))
    return gap * room * mean * (1.0 - mean) / slope


@_jit
def solve(kind: int, start: _Array, low: _Array, span: _Array, wanted: float, reach: float) -> float:
    """Return the parameter at which the sum above the lower bounds is `wanted`, or its best approach.

    Parameters
    ----------
    kind : int
        LOGIT, ADDITIVE or MULTIPLICATIVE.
    start, low, span : ndarray
        Pixels, padded with ``span = 0`` to a whole number of lanes: where each begins (a share of its range for
        LOGIT, a value otherwise), its lower bound, and the width of its range.
    wanted : float
        Sum over pixels of the value above the lower bound.
    reach : float
        The root lies between ``-reach`` and ``reach``, if there is one.
    """
    room = span.sum()
    below, above, theta = -reach, reach, 0.0
    for _ in range(_MOST_STEPS):
        total, slope = _sums(kind, start, low, span, theta)
        if abs(total - wanted) <= _TOLERANCE * min(float(start.size), 100.0 * room):
            break
        if total < wanted:
            below = theta
        else:
            above = theta
        following = theta + _step(kind, total, slope, wanted, room)
        theta = following if below < following < above else 0.5 * (below + above)
    return theta


@_jit
def _usable(value: float, low: float, high: float) -> bool:
    return math.isfinite(value) and math.isfinite(low) and math.isfinite(high)


@_jit
def _gather(kind: int, field: _Field, lows: _Array, highs: _Array, start: _Array, low: _Array, span: _Array) -> int:
    """Collect the usable pixels of a cell, padded to whole lanes; return how many there are."""
    n = 0
    for y in range(field.shape[0]):
        for x in range(field.shape[1]):
            if _usable(field[y, x], lows[y, x], highs[y, x]):
                start[n], low[n], span[n] = field[y, x], lows[y, x], highs[y, x] - lows[y, x]
                n += 1
    padded = -(-n // _LANES) * _LANES
    start[n:padded], low[n:padded], span[n:padded] = 0.0, 0.0, 0.0
    if kind == LOGIT:
        for i in range(padded):
            share = (start[i] - low[i]) / span[i] if span[i] > 0.0 else 0.5
            start[i] = min(max(share, EDGE), 1.0 - EDGE)
    elif kind == MULTIPLICATIVE:
        start[:padded] = np.maximum(start[:padded], 0.0)
    return n


@_jit
def _reach(kind: int, start: _Array, low: _Array, span: _Array) -> float:
    """Return how far from zero the parameter can lie."""
    if kind != ADDITIVE:
        return _FARTHEST
    return np.abs(start - low).max() + span.max()


@_jit
def _move(kind: int, start: _Array, low: _Array, span: _Array, theta: float) -> None:
    """Replace `start` by the values that the parameter gives."""
    k = math.exp(-theta) if kind == LOGIT else math.exp(theta) if kind == MULTIPLICATIVE else 1.0
    shift = theta if kind == ADDITIVE else 0.0
    for i in range(start.size):
        if kind == LOGIT:
            start[i] = low[i] + span[i] * (start[i] / (start[i] + (1.0 - start[i]) * k))
        else:
            start[i] = min(max(start[i] * k + shift, low[i]), low[i] + span[i])


@_jit
def _scatter(field: _Field, lows: _Array, highs: _Array, values: _Array, out: _Field) -> float:
    """Put the values back where the usable pixels are; return their sum as float32 holds them."""
    n, total = 0, 0.0
    for y in range(field.shape[0]):
        for x in range(field.shape[1]):
            if _usable(field[y, x], lows[y, x], highs[y, x]):
                out[y, x] = values[n]
                total += out[y, x]
                n += 1
    return total


@_jit
def _clip(field: _Field, lows: _Array, highs: _Array, out: _Field) -> None:
    for y in range(field.shape[0]):
        for x in range(field.shape[1]):
            if _usable(field[y, x], lows[y, x], highs[y, x]):
                out[y, x] = min(max(np.float64(field[y, x]), lows[y, x]), highs[y, x])


@_jit
def _slack(low: _Array, span: _Array) -> float:
    """Return by how much the mean of a cell may miss the coarse value; see `UNMET`."""
    width = span.max()
    return max(min(UNMET, _SHARE * width), _EPSILON * (np.abs(low).max() + width))


@_jit
def _cell(
    kind: int, field: _Field, coarse: float, lows: _Array, highs: _Array, least: float, room: _Array, out: _Field
) -> bool:
    """Fill one cell; return False where it has pixels but not the mean that is asked for."""
    if kind == NONE:
        _clip(field, lows, highs, out)
        return True
    n = _gather(kind, field, lows, highs, room[0], room[1], room[2])
    if n == 0:
        return True
    padded = -(-n // _LANES) * _LANES
    start, low, span = room[0, :padded], room[1, :padded], room[2, :padded]
    wanted = n * coarse - low.sum()
    slack = _slack(low, span)
    if n >= least and -slack * n <= wanted <= span.sum() + slack * n:
        theta = solve(kind, start, low, span, wanted, _reach(kind, start, low, span))
        _move(kind, start, low, span, theta)
        if abs(_scatter(field, lows, highs, start, out) / n - coarse) <= slack:
            return True
    _clip(field, lows, highs, out)
    return False


@_jit
def constrain_cells(
    kind: int,
    field: _Field,
    coarse: _Field,
    ratio: int,
    lows: _Array,
    highs: _Array,
    least: float,
    out: _Field,
    unmet: npt.NDArray[np.bool_],
) -> None:
    """Fill `out`, which holds NaN, cell by cell; set `unmet` where the mean misses the coarse value.

    Parameters
    ----------
    kind : int
        NONE, LOGIT, ADDITIVE or MULTIPLICATIVE.
    field, lows, highs, out : ndarray
        ``(y, x)``: prediction, bounds, result.
    coarse, unmet : ndarray
        One a cell.
    ratio : int
        Pixels along one side of a cell.
    least : float
        Usable pixels that a cell needs.
    """
    room = np.empty((3, -(-ratio * ratio // _LANES) * _LANES))
    for row in range(coarse.shape[0]):
        for col in range(coarse.shape[1]):
            if math.isfinite(coarse[row, col]):
                ys, xs = slice(row * ratio, (row + 1) * ratio), slice(col * ratio, (col + 1) * ratio)
                met = _cell(
                    kind, field[ys, xs], coarse[row, col], lows[ys, xs], highs[ys, xs], least, room, out[ys, xs]
                )
                unmet[row, col] = not met


@_jit
def shift_cells(field: _Field, coarse: _Array, ratio: int, low: float, high: float, out: _Array) -> None:
    """Fill `out`, one a cell, with the logit shift that gives each its mean; leave it where there is none.

    Parameters
    ----------
    field : ndarray
        Prediction ``(y, x)``.
    coarse, out : ndarray
        One a cell.
    ratio : int
        Pixels along one side of a cell.
    low, high : float
        Bounds.
    """
    room = np.empty((3, -(-ratio * ratio // _LANES) * _LANES))
    lows, highs = np.full((ratio, ratio), low), np.full((ratio, ratio), high)
    for row in range(coarse.shape[0]):
        for col in range(coarse.shape[1]):
            part = field[row * ratio : (row + 1) * ratio, col * ratio : (col + 1) * ratio]
            if math.isfinite(coarse[row, col]) and low < coarse[row, col] < high:
                n = _gather(LOGIT, part, lows, highs, room[0], room[1], room[2])
                if n > 0:
                    padded = -(-n // _LANES) * _LANES
                    start, least, span = room[0, :padded], room[1, :padded], room[2, :padded]
                    wanted = n * coarse[row, col] - least.sum()
                    out[row, col] = solve(LOGIT, start, least, span, wanted, _FARTHEST)
