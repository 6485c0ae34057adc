"""The smooth constraint: a correction that runs on across the borders of coarse cells.

The logit constraint moves all pixels of a cell by one shift, so the map jumps where the shifts of two cells differ.
Here the shifts of a cell and of its neighbours, found from predictions at about 1000 m, become a continuous field
first: bilinear between nodes at the cells' centres, with the cells' shifts as its means. Every pixel is moved by that
field, and what a cell's mean then still lacks, which is little, is made up for by one shift: the mean holds exactly.

The means of a bilinear field over cells are its nodes under the weights (1/8, 3/4, 1/8) along each axis. The inverse
of these weights falls by a factor of ``2 sqrt(2) - 3`` a cell; it is cut off after `REACH` cells. So what is known of
a cell reaches no further than `RING` cells, whatever the tile.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from smdown.inference import solve

Field = npt.NDArray[np.float32]
Nodes = npt.NDArray[np.float64]

RESOLUTION = 1000
"""Nominal pixels, m, on which the shifts of whole cells are found."""
REACH = 2
"""Cells that the means of a field look at on each side to find its nodes."""
RING = REACH + 2
"""Cells around a tile whose shifts it needs: one more for the field, one more to fill in missing ones."""
LARGEST = 4.0
"""Largest shift that the field takes on; what lies beyond is left to the cell itself."""

_DECAY = 2.0 * math.sqrt(2.0) - 3.0
_INVERSE = np.array([_DECAY ** abs(k) for k in range(-REACH, REACH + 1)])
_INVERSE /= _INVERSE.sum()


def cell_shifts(mean: Field, coarse: Field, ratio: int, lo: float, hi: float) -> Nodes:
    """Return the logit shift of every cell, NaN where it has no pixel, no coarse value, or none can meet it.

    Parameters
    ----------
    mean : ndarray
        Prediction ``(y, x)``, NaN where there is none; whole cells.
    coarse : ndarray
        Coarse values, one a cell.
    ratio : int
        Pixels along one side of a cell.
    lo, hi : float
        Bounds.
    """
    out = np.full(coarse.shape, np.nan)
    field = np.ascontiguousarray(mean, dtype=np.float32)
    solve.shift_cells(field, coarse.astype(np.float64), ratio, float(lo), float(hi), out)
    return np.clip(out, -LARGEST, LARGEST)


def nodes_of(shifts: Nodes) -> Nodes:
    """Return the nodes of the field whose cell means are the shifts, on cells `RING` - 1 further in.

    A missing cell takes the mean of those around it that are known, or no shift.
    """
    filled = np.where(np.isfinite(shifts), shifts, _around(shifts))[1:-1, 1:-1]
    rows = sum(w * filled[k : k + filled.shape[0] - 2 * REACH] for k, w in enumerate(_INVERSE))
    both = sum(w * rows[:, k : k + rows.shape[1] - 2 * REACH] for k, w in enumerate(_INVERSE))
    return np.asarray(both, dtype=np.float64)


def _around(shifts: Nodes) -> Nodes:
    """Return the mean over the known cells of the eight around each, 0 where there are none."""
    wide = np.pad(shifts, 1, constant_values=np.nan)
    view = np.lib.stride_tricks.sliding_window_view(wide, (3, 3)).reshape(*shifts.shape, 9)
    known = np.isfinite(view)
    return np.asarray(np.where(known, view, 0.0).sum(axis=2) / np.maximum(known.sum(axis=2), 1))


def shifted(mean: Field, nodes: Nodes, ratio: int, lo: float, hi: float) -> Field:
    """Return the prediction moved by the field, on the logit of its place between the bounds.

    Parameters
    ----------
    mean : ndarray
        ``(y, x)``, whole cells.
    nodes : ndarray
        Of those cells and one more on every side.
    ratio : int
        Pixels along one side of a cell.
    lo, hi : float
        Bounds.
    """
    out = np.empty(mean.shape, dtype=np.float32)
    _shift(np.ascontiguousarray(mean, dtype=np.float32), nodes, ratio, float(lo), float(hi), out)
    return out


def at_pixels(nodes: Nodes, ratio: int) -> Nodes:
    """Return the field itself at every pixel of the cells inside the outermost nodes."""
    n = np.arange((nodes.shape[0] - 2) * ratio), np.arange((nodes.shape[1] - 2) * ratio)
    (y, a), (x, b) = (_between(axis, ratio) for axis in n)
    rows = nodes[y] * (1 - a)[:, None] + nodes[y + 1] * a[:, None]
    return np.asarray(rows[:, x] * (1 - b) + rows[:, x + 1] * b)


def _between(pixel: npt.NDArray[np.int64], ratio: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the node before each pixel of an axis, and its distance from it in cells."""
    at = 2 * pixel + 1 + ratio  # in half pixels from node 0, whose cell begins one cell before the first pixel
    node = at // (2 * ratio)
    return node, (at - node * 2 * ratio) / (2.0 * ratio)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _shift(mean: Field, nodes: Nodes, ratio: int, lo: float, hi: float, out: Field) -> None:
    span = hi - lo
    edge = solve.EDGE
    row = np.empty(nodes.shape[1])
    for y in range(mean.shape[0]):
        at = 2 * y + 1 + ratio
        i = at // (2 * ratio)
        a = (at - i * 2 * ratio) / (2.0 * ratio)
        for k in range(nodes.shape[1]):
            row[k] = nodes[i, k] * (1.0 - a) + nodes[i + 1, k] * a
        for x in range(mean.shape[1]):
            at = 2 * x + 1 + ratio
            j = at // (2 * ratio)
            b = (at - j * 2 * ratio) / (2.0 * ratio)
            p = min(max((mean[y, x] - lo) / span, edge), 1.0 - edge)
            q = p / (p + (1.0 - p) * math.exp(-(row[j] * (1.0 - b) + row[j + 1] * b)))
            out[y, x] = lo + span * q if math.isfinite(mean[y, x]) else math.nan
