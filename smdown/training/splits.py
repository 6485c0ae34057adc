"""Who is trained on, who validates, and who is never seen: whole blocks of cells, and stations by their cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smdown.errors import ConfigError
from smdown.grid import Window

Cells = npt.NDArray[np.int64]
"""``(n, 2)``: row and column of cells in the lattice."""


@dataclass(frozen=True)
class Split:
    """Roles of cells and stations.

    Parameters
    ----------
    validation_cell : ndarray of bool
        Per cell: held out for stopping and stacking.
    held_out, validation_station : ndarray of bool
        Per station: never seen; held out for stopping and stacking.
    """

    validation_cell: npt.NDArray[np.bool_]
    held_out: npt.NDArray[np.bool_]
    validation_station: npt.NDArray[np.bool_]


def sample_cells(cells: Window, block: int, limit: int, rng: np.random.Generator) -> Cells:
    """Return at most `limit` cells of the region, as whole blocks drawn at random, in lattice order.

    Blocks are anchored to the lattice, so the region's extent does not move them.
    """
    rows, cols = cells.slices
    block_rows = np.arange(rows.start // block, -(-rows.stop // block))
    block_cols = np.arange(cols.start // block, -(-cols.stop // block))
    n_blocks = len(block_rows) * len(block_cols)
    take = min(n_blocks, max(1, limit // block**2)) if cells.size > limit else n_blocks
    chosen = np.sort(rng.permutation(n_blocks)[:take]) if take < n_blocks else np.arange(n_blocks)
    corner = np.stack([block_rows[chosen // len(block_cols)], block_cols[chosen % len(block_cols)]], axis=1) * block
    within = np.stack(np.divmod(np.arange(block**2), block), axis=1)
    found = (corner[:, None] + within).reshape(-1, 2)
    inside = (found >= [cells.y0, cells.x0]).all(axis=1) & (found < [cells.y1, cells.x1]).all(axis=1)
    found = found[inside].astype(np.int64)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def hold_out(station_cells: Cells, fraction: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return which stations are never seen: about `fraction` of them, stations of one cell together."""
    out = np.zeros(len(station_cells), dtype=bool)
    if not len(station_cells):
        return out
    _, group = np.unique(station_cells, axis=0, return_inverse=True)
    group = group.reshape(-1)
    wanted = fraction * len(station_cells)
    for g in rng.permutation(group.max() + 1):
        members = group == g
        if out.sum() + members.sum() / 2 <= wanted:
            out |= members
    return out


def deal(items: Cells, folds: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the fold of each item; those of one place (row of `items`) have one, and folds are of about one size."""
    if not len(items):
        return np.zeros(0, dtype=np.int64)
    _, group, size = np.unique(items, axis=0, return_inverse=True, return_counts=True)
    out = np.empty(len(size), dtype=np.int64)
    held = np.zeros(folds)
    order = rng.permutation(len(size))
    for g in order[np.argsort(-size[order], kind="stable")]:
        out[g] = np.argmin(held)
        held[out[g]] += size[g]
    return out[group.reshape(-1)]


def split(
    cells: Cells, station_cells: Cells, *, block: int, validation: float, held_out: float, rng: np.random.Generator,
    folds: int = 1, fold: int = 0,
) -> Split:  # fmt: skip
    """Draw the roles.

    Validation cells are whole blocks (smaller ones where the region has just one); a training station validates if its
    cell does. Among random draws of blocks the one whose share of stations comes closest to `validation` is taken.
    With several folds the blocks are dealt to them, and so are the cells that have stations: each block validates in
    just one fold, and each station is left out in just one (leave-station-out), if any are to be held out.

    Raises
    ------
    ConfigError
        If there are not at least two cells (as many blocks as folds), one to train and one to validate on.
    """
    if folds > 1:
        return _fold(cells, station_cells, block, folds, fold, held_out > 0, rng)
    never = hold_out(station_cells, held_out, rng)
    group = _blocks(cells, block)
    n_blocks = int(group.max()) + 1
    take = min(n_blocks - 1, max(1, round(validation * n_blocks)))
    seen = station_cells[~never]
    draws = [rng.permutation(n_blocks)[:take] for _ in range(64 if len(seen) else 1)]
    masks = [np.isin(group, draw) for draw in draws]
    shares = [_inside(seen, cells[mask]).mean() if len(seen) else 0.0 for mask in masks]
    best = masks[int(np.argmin(np.abs(np.array(shares) - validation)))]
    return Split(best, never, _inside(station_cells, cells[best]) & ~never)


def _fold(
    cells: Cells, station_cells: Cells, block: int, folds: int, fold: int, leave_out: bool, rng: np.random.Generator
) -> Split:
    group = _blocks(cells, block)
    if group.max() + 1 < folds:
        raise ConfigError(f"got {int(group.max()) + 1} blocks of cells for {folds} folds; lower folds or block_cells")
    validates = deal(group[:, None], folds, rng) == fold
    never = (deal(station_cells, folds, rng) == fold) & leave_out
    return Split(validates, never, _inside(station_cells, cells[validates]) & ~never)


def _blocks(cells: Cells, block: int) -> npt.NDArray[np.int64]:
    """Return the number of each cell's block, counted from 0; halve the blocks until there are two."""
    if len(cells) < 2:
        raise ConfigError(
            f"got {len(cells)} cells with data; training needs two, one of them to validate on; "
            "widen the extent or look for days with data"
        )
    while True:
        _, group = np.unique(cells // block, axis=0, return_inverse=True)
        if group.max() > 0:
            return group.reshape(-1)
        block = max(1, block // 2)


def _inside(station_cells: Cells, cells: Cells) -> npt.NDArray[np.bool_]:
    return np.isin(_keys(station_cells), _keys(cells))


def _keys(cells: Cells) -> npt.NDArray[np.int64]:
    """Return one number per cell."""
    return np.asarray(cells[:, 0] * 2**32 + cells[:, 1], dtype=np.int64).reshape(-1)
