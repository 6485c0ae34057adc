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
    found = []
    for index in chosen:
        y, x = block_rows[index // len(block_cols)] * block, block_cols[index % len(block_cols)] * block
        part = Window(y, y + block, x, x + block).intersect(cells)
        if part is not None:
            found += [(row, col) for row in range(part.y0, part.y1) for col in range(part.x0, part.x1)]
    return np.array(sorted(found), dtype=np.int64)


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


def split(
    cells: Cells, station_cells: Cells, *, block: int, validation: float, held_out: float, rng: np.random.Generator
) -> Split:
    """Draw the roles.

    Validation cells are whole blocks (smaller ones where the region has just one); a training station validates if its
    cell does. Among random draws of blocks the one whose share of stations comes closest to `validation` is taken.

    Raises
    ------
    ConfigError
        If there are not at least two cells, one to train and one to validate on.
    """
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
    wanted = {(int(row), int(col)) for row, col in cells}
    return np.array([(int(row), int(col)) in wanted for row, col in station_cells], dtype=bool)
