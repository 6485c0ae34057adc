"""Maps of errors: the moments of every coarse cell over the days, which merge over tiles and days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.grid import Window

F64 = npt.NDArray[np.float64]
MEASURES = ("bias", "rmse", "ubrmse", "r")


@dataclass(frozen=True)
class CellErrors:
    """Moments of cells, in pieces: one an area that was evaluated together.

    Parameters
    ----------
    pieces : dict
        By window of cells: ``(row, col, 7)``, moments as `smdown.evaluation.stats.cell_moments` gives them.
    """

    pieces: dict[Window, F64]

    def __add__(self, other: CellErrors) -> CellErrors:
        out = dict(self.pieces)
        for window, table in other.pieces.items():
            out[window] = merged(out[window], table) if window in out else table
        return CellErrors(out)

    def dense(self, cells: Window) -> F64:
        """Return the moments of all cells of a window, ``(row, col, 7)``; 0 pairs where there is nothing."""
        out = np.zeros((*cells.shape, 7))
        for window in sorted(self.pieces, key=lambda w: (w.y0, w.x0, w.y1, w.x1)):
            part = window.intersect(cells)
            if part is not None:
                place = part.relative_to(cells).slices
                out[place] = merged(out[place], self.pieces[window][part.relative_to(window).slices])
        return out

    def as_list(self) -> list[list[Any]]:
        """Return plain JSON."""
        return [[w.y0, w.y1, w.x0, w.x1, table.tolist()] for w, table in self.pieces.items()]

    @classmethod
    def from_list(cls, data: Sequence[Sequence[Any]]) -> CellErrors:
        """Return the errors that :meth:`as_list` wrote."""
        return cls({Window(*row[:4]): np.asarray(row[4], dtype=np.float64) for row in data})


def merged(a: F64, b: F64) -> F64:
    """Merge the moments of cells one by one, by the formula of Chan, Golub and LeVeque (1983)."""
    n = a[..., 0] + b[..., 0]
    share = np.divide(b[..., 0], n, out=np.zeros_like(n), where=n > 0)
    dx, dy = b[..., 1] - a[..., 1], b[..., 2] - a[..., 2]
    between = np.stack([dx * dx, dy * dy, dx * dy, (dx - dy) ** 2], axis=-1)
    out = a + b
    out[..., 0], out[..., 1], out[..., 2] = n, a[..., 1] + dx * share, a[..., 2] + dy * share
    out[..., 3:] += (a[..., 0] * share)[..., None] * between
    return out


def measures(table: F64) -> dict[str, F64]:
    """Return ``bias, rmse, ubrmse, r`` of every cell, NaN where undefined; bias is estimate less reference."""
    n, mean_x, mean_y, xx, yy, xy, dd = np.moveaxis(table, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = np.where(n > 0, mean_x - mean_y, math.nan)
        variance = np.where(n > 0, np.maximum(dd, 0.0) / n, math.nan)
        floor = 1e-24 * n * np.maximum(np.abs(mean_x), np.abs(mean_y)) ** 2
        varies = (np.minimum(xx, yy) > floor) & (xx * yy > 0)
        r = np.where(varies, np.clip(xy / np.sqrt(xx * yy), -1, 1), math.nan)
    ubrmse = np.where(n > 1, np.sqrt(variance), math.nan)
    return {"bias": bias, "rmse": np.sqrt(bias**2 + variance), "ubrmse": ubrmse, "r": r}
