"""Is one estimate better than another, or was it chance: errors by block, drawn again and again."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from smdown.evaluation.stations import comparable, members_of
from smdown.grid import Window
from smdown.kernels.bootstrap import rmse_intervals

BLOCKS = 4096
"""Blocks at most: cells beyond share one with others, so that a continent needs no more memory than a county."""
MINIMUM = 5
"""Fewest blocks that an interval is given for."""


@dataclass
class Blocks:
    """Pixels and squared errors of one estimate, by block.

    A block is a coarse cell with all of its days: errors of a place last from day to day.

    Parameters
    ----------
    sums : dict
        By block: number of pixels, and sum of squared errors.
    """

    sums: dict[int, tuple[float, float]] = field(default_factory=dict)

    def count(self, cells: Window, pixels: npt.NDArray[np.float64], squares: npt.NDArray[np.float64]) -> None:
        """Take in the cells of a tile, ``(row, col)`` each."""
        for (row, col), n in np.ndenumerate(pixels):
            if n:
                self._put(block_of(cells.y0 + row, cells.x0 + col), float(n), float(squares[row, col]))

    def add(self, other: Blocks) -> None:
        """Take in the results of other tiles."""
        for block, (n, squares) in other.sums.items():
            self._put(block, n, squares)

    def _put(self, block: int, n: float, squares: float) -> None:
        before = self.sums.get(block, (0.0, 0.0))
        self.sums[block] = before[0] + n, before[1] + squares

    def as_json(self) -> dict[str, list[float]]:
        """Return plain JSON."""
        return {str(block): list(sums) for block, sums in self.sums.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the blocks that :meth:`as_json` wrote."""
        return cls({int(block): (sums[0], sums[1]) for block, sums in data.items()})


def block_of(row: int, col: int) -> int:
    """Return the block of a cell, whichever tile holds it."""
    return zlib.crc32(f"{row},{col}".encode()) % BLOCKS


def add_intervals(members: dict[str, dict[str, Any]], errors: dict[str, Blocks], reference: str = "ensemble") -> None:
    """Add to each member the 95 % interval of its RMSE, and its RMSE over that of the map with its interval.

    The keys are ``rmse_low``, ``rmse_high``, ``rmse_ratio``, ``rmse_ratio_low`` and ``rmse_ratio_high``: a member is
    worse than the map beyond chance where the last but one is above 1, better where the last is below it.
    """
    if reference not in members or reference not in errors:
        return
    names = [name for name in members if name in errors]
    blocks = sorted(errors[reference].sums)
    if len(blocks) < MINIMUM:
        return
    counts = np.array([errors[reference].sums[block][0] for block in blocks])
    squares = np.array([[errors[name].sums[block][1] for block in blocks] for name in names])
    rmse, ratio = rmse_intervals(counts, squares, names.index(reference))
    base = members[reference]["rmse"]
    for n, name in enumerate(names):
        own = members[name]
        own |= {"rmse_low": float(rmse[n, 0]), "rmse_high": float(rmse[n, 1])}
        if base > 0:
            own |= {"rmse_ratio": own["rmse"] / base, "rmse_ratio_low": float(ratio[n, 0])}
            own["rmse_ratio_high"] = float(ratio[n, 1])


def errors_at_stations(table: pd.DataFrame) -> dict[str, Blocks]:
    """Return the errors of one layer's matchups by member; stations of one cell make one block."""
    rows = comparable(table)
    cells = rows["cell"].str.split(",", expand=True).astype(int) if len(rows) else None
    out = {member: Blocks() for member in members_of(table)}
    if cells is None:
        return out
    blocks = [block_of(row, col) for row, col in cells.itertuples(index=False)]
    for member, found in out.items():
        squares = ((rows[member] - rows["observed"]) ** 2).groupby(blocks).agg(["size", "sum"])
        found.sums = {int(str(block)): (float(n), float(total)) for block, n, total in squares.itertuples()}
    return out
