"""Halo arithmetic: what a block of cells reads around itself, in global indices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from smdown.grid import Window

BLOCK_PX = 600
"""Pixels along one side of what is computed at once: enough to hide overheads, small enough to bound memory."""


def blocks(cells: Window, ratio: int, largest: int = BLOCK_PX) -> Iterator[Window]:
    """Yield windows of whole cells, row by row, of at most `largest` pixels along a side (one cell at least)."""
    step = max(1, largest // ratio)
    for y0 in range(cells.y0, cells.y1, step):
        for x0 in range(cells.x0, cells.x1, step):
            yield Window(y0, min(y0 + step, cells.y1), x0, min(x0 + step, cells.x1))


def bounding(mask: npt.NDArray[np.bool_], cells: Window) -> Window | None:
    """Return the smallest window of cells that holds every True of `mask`, which covers `cells`; None without any."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    y0, x0 = cells.y0, cells.x0
    return Window(y0 + int(rows[0]), y0 + int(rows[-1]) + 1, x0 + int(cols[0]), x0 + int(cols[-1]) + 1)


def sequence_window(cells: Window, ratio: int) -> Window:
    """Return the pixels of the sequence grid that serve whole cells: theirs, and one more on every side."""
    return cells.refine(ratio).expand(1)


def nearest(core: Window, ratio: int, other: int, origin: tuple[int, int]) -> tuple[npt.NDArray[np.int64], ...]:
    """Return, for rows and columns of `core`, which pixel of ratio `other` holds them, counted from `origin`."""
    rows = np.arange(core.y0, core.y1, dtype=np.int64)
    cols = np.arange(core.x0, core.x1, dtype=np.int64)
    return tuple((2 * i + 1) * other // (2 * ratio) - o for i, o in zip((rows, cols), origin, strict=True))
