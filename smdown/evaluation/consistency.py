"""Is the map consistent with itself: does it keep the coarse values, its bounds, and show no seams."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from smdown.evaluation.stats import cell_moments
from smdown.grid import Window

Field = npt.NDArray[np.float32]

FLAG_COARSE_MISSING = 1
"""Bit of the mosaic's flags: the coarse product has no value here."""
FLAG_MEAN_NOT_MET = 4
"""Bit of the mosaic's flags: no field inside the bounds has the coarse value as its mean."""


@dataclass(frozen=True, slots=True)
class Mass:
    """How well cell means keep the coarse value, on one day or over many.

    Parameters
    ----------
    cells, flagged, missing : int
        Cells that were checked; that carry the flag "mean could not be met"; without a coarse value or any pixel.
    worst : float
        Largest absolute difference between the mean over a cell and its coarse value, over the checked cells.
    pixels, valid, outside : int
        All pixels; those with a value; those whose value is outside the physical bounds.
    """

    cells: int = 0
    flagged: int = 0
    missing: int = 0
    worst: float = 0.0
    pixels: int = 0
    valid: int = 0
    outside: int = 0

    def __add__(self, other: Mass) -> Mass:
        values = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Mass)}
        return Mass(**values | {"worst": max(self.worst, other.worst)})

    def metrics(self) -> dict[str, float]:
        """Return the figures for ``metrics.json``."""
        return {
            "max_abs_difference": self.worst if self.cells else math.nan,
            "cells_checked": self.cells,
            "cells_flagged": self.flagged,
            "cells_missing": self.missing,
            "pixels_outside_bounds": self.outside,
            "valid_fraction": self.valid / self.pixels if self.pixels else math.nan,
        }


@dataclass(frozen=True, slots=True)
class Seams:
    """Absolute steps between neighbouring pixels: inside cells, across cell borders, across tile edges.

    Parameters
    ----------
    inside, cells, tiles : float
        Sums of the steps. A border between tiles is not counted among those between cells.
    n_inside, n_cells, n_tiles : int
        Numbers of steps.
    """

    inside: float = 0.0
    cells: float = 0.0
    tiles: float = 0.0
    n_inside: int = 0
    n_cells: int = 0
    n_tiles: int = 0

    def __add__(self, other: Seams) -> Seams:
        return Seams(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Seams)})

    def metrics(self) -> dict[str, float]:
        """Return mean steps across borders over the mean step inside cells: 1 means that no border shows."""
        inside = self.inside / self.n_inside if self.n_inside else math.nan
        return {
            "mean_step_inside": inside,
            "cell_border_ratio": _ratio(self.cells, self.n_cells, inside),
            "tile_edge_ratio": _ratio(self.tiles, self.n_tiles, inside),
        }


def _ratio(total: float, n: int, inside: float) -> float:
    return total / n / inside if n and inside > 0 else math.nan


def mass_of(
    field: Field,
    coarse: Field,
    flags: npt.NDArray[np.uint8] | None,
    ratio: int,
    limits: tuple[float, float] | None,
) -> Mass:
    """Compare the mean of every cell with its coarse value, where no pixel of it says that this was impossible.

    Parameters
    ----------
    field : ndarray
        The mosaic as it was stored, whole cells.
    coarse : ndarray
        One value a cell.
    flags : ndarray, optional
        Flags of every pixel.
    ratio : int
        Pixels along one side of a cell.
    limits : tuple of float, optional
        Physical bounds.
    """
    cells = cell_moments(field, field, ratio)
    count, means = cells[..., 0], cells[..., 1]
    known = (count > 0) & np.isfinite(coarse)
    flagged = np.zeros(known.shape, dtype=bool)
    if flags is not None:
        blocks = flags.reshape(known.shape[0], ratio, known.shape[1], ratio)
        flagged = ((blocks & (FLAG_COARSE_MISSING | FLAG_MEAN_NOT_MET)) != 0).any(axis=(1, 3)) & known
    checked = known & ~flagged
    difference = np.abs(means - coarse.astype(np.float64))[checked]
    outside = 0
    if limits is not None:  # half a count of packing is not a violation
        slack = np.float32(1e-6)
        outside = int(np.count_nonzero((field < limits[0] - slack) | (field > limits[1] + slack)))
    return Mass(
        int(checked.sum()),
        int(flagged.sum()),
        int((~known).sum()),
        float(difference.max()) if difference.size else 0.0,
        field.size,
        int(count.sum()),
        outside,
    )


def seams_of(wide: Field, core: Window, ratio: int, shard: int, origin: tuple[int, int]) -> Seams:
    """Sum the steps from each pixel of a tile to its right and lower neighbours, by the kind of border between.

    Parameters
    ----------
    wide : ndarray
        The tile with one more row and column.
    core : Window
        The tile, in global indices.
    ratio : int
        Pixels along one side of a cell.
    shard : int
        Pixels along one side of a tile that was predicted apart.
    origin : tuple of int
        First pixel of the mosaic, in global indices.
    """
    rows = _steps(wide[:, :-1], axis=0)
    cols = _steps(wide[:-1, :], axis=1)
    out = Seams()
    for (total, count), start, first in zip((rows, cols), (core.y0, core.x0), origin, strict=True):
        after = start + 1 + np.arange(total.size)
        tile = (after - first) % shard == 0
        cell = (after % ratio == 0) & ~tile
        inside = ~tile & ~cell
        a, b, c = (float(total[kind].sum()) for kind in (inside, cell, tile))
        out = out + Seams(a, b, c, *(int(count[kind].sum()) for kind in (inside, cell, tile)))
    return out


def _steps(field: Field, axis: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return sum and number of absolute steps across each border along an axis."""
    step = np.abs(np.diff(field, axis=axis))
    known = np.isfinite(step)
    other = 1 - axis
    return np.where(known, step, 0).sum(axis=other, dtype=np.float64), known.sum(axis=other)
