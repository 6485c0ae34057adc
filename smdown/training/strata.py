"""Kinds of cells, wet or dry and steep or flat, and a draw of cells that sees them alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.training.permute import Index
from smdown.training.splits import Cells

CLASSES = 3
"""Classes of each measure."""
Vector = npt.NDArray[np.floating]


def strata(*measures: Vector) -> Index:
    """Return the stratum of each cell: classes of equal width, between the 2nd and 98th percentile of each measure.

    Classes of equal width, not of equal number, are what makes rare kinds strata of their own. Cells of which a
    measure is not known make a class of their own.
    """
    out = np.zeros(len(measures[0]), dtype=np.int64)
    for values in measures:
        known = np.isfinite(values)
        number = np.full(len(values), CLASSES, dtype=np.int64)
        if known.any():
            low, high = np.percentile(values[known], [2, 98])
            width = (high - low) / CLASSES or 1.0
            number[known] = np.clip((values[known] - low) / width, 0, CLASSES - 1).astype(np.int64)
        out = out * (CLASSES + 1) + number
    return out


def quotas(stratum: Index, limit: int, bound: float) -> dict[int, int]:
    """Return how many items of each stratum are drawn, `limit` together or all there are.

    Strata share alike, but no stratum's chance to be drawn is more than `bound` times that of another, unless the
    strata hold too few: what one cannot fill goes to the others.
    """
    names, counts = np.unique(stratum, return_counts=True)
    weight = np.clip(1.0 / counts, None, bound / counts.max())  # chance of an item, up to a factor
    share = _filled(weight * counts, counts, min(limit, int(counts.sum())))
    return dict(zip(names.tolist(), share.tolist(), strict=True))


def _filled(wish: Vector, counts: Index, limit: int) -> Index:
    """Return whole numbers in proportion to the wishes, none above its count, that add up to the limit."""
    share = np.zeros(len(counts))
    open_ = np.ones(len(counts), dtype=bool)
    while open_.any():
        left = limit - share[~open_].sum()
        share[open_] = left * wish[open_] / wish[open_].sum()
        over = open_ & (share >= counts)
        if not over.any():
            break
        share[over] = counts[over]
        open_ &= ~over
    out = np.minimum(np.floor(share + 1e-9).astype(np.int64), counts)
    order = np.lexsort((np.arange(len(share)), -(share - out)))
    for n in order[out[order] < counts[order]][: limit - int(out.sum())]:
        out[n] += 1
    return out


def draw_blocks(cells: Cells, block: int, stratum: Index, limit: int, bound: float, rng: np.random.Generator) -> Cells:
    """Return at most `limit` of the cells, as whole blocks, strata seen alike; in lattice order.

    A block is of the stratum that the most of its cells are of.
    """
    if len(cells) <= limit:
        return cells
    _, group, size = np.unique(cells // block, axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    kind = _commonest(group, stratum, len(size))
    wanted = quotas(kind, max(1, int(limit / size.mean())), bound)
    order = rng.permutation(len(size))
    chosen = np.concatenate([order[kind[order] == k][:n] for k, n in wanted.items()])
    chosen = rng.permutation(chosen)
    fit = chosen[np.cumsum(size[chosen]) <= max(limit, int(size[chosen[0]]))]
    found = cells[np.isin(group, fit)]
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _commonest(group: Index, stratum: Index, n_groups: int) -> Index:
    """Return the commonest stratum of each group, the first of several."""
    pairs, count = np.unique(np.stack([group, stratum], axis=1), axis=0, return_counts=True)
    order = np.lexsort((-pairs[:, 1], count, pairs[:, 0]))
    out = np.empty(n_groups, dtype=np.int64)
    out[pairs[order, 0]] = pairs[order, 1]
    return out
