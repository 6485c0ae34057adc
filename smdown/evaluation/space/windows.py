"""Windows that spectra are taken over: whole cells, laid from the map's first cell on, whatever the tiles are."""

from __future__ import annotations

import math

from smdown.grid import NestedGrid, Tile, Window

SIDE = 2
"""Cells along one side: a border between cells lies in the middle, where the taper leaves it its full weight."""
MOST = 4096
"""Windows at most, about: beyond, every second one of a row and column is taken, or every third, and so on."""


def window_side(grid: NestedGrid) -> int:
    """Return the cells along one side of a window: `SIDE`, or what the map has."""
    return min(SIDE, grid.cells.height, grid.cells.width)


def windows_of(tile: Tile, grid: NestedGrid) -> list[Window]:
    """Return the windows whose first cell is in a tile, as cells of the lattice; they may reach beyond the tile.

    Together the tiles of any tiling have each window of the grid once.
    """
    side = window_side(grid)
    rows, cols = grid.cells.height // side, grid.cells.width // side
    step = math.ceil(math.sqrt(max(1.0, rows * cols / MOST)))
    ys = _starts(grid.cells.y0, rows, side, step, tile.cells.y0, tile.cells.y1)
    xs = _starts(grid.cells.x0, cols, side, step, tile.cells.x0, tile.cells.x1)
    return [Window(y, y + side, x, x + side) for y in ys for x in xs]


def _starts(origin: int, count: int, side: int, step: int, low: int, high: int) -> list[int]:
    """Return the first cells, from `low` on and before `high`, of every `step`-th window along an axis."""
    stride = side * step
    first = max(0, -(-(low - origin) // stride))
    last = min(-(-count // step), -(-(high - origin) // stride))
    return [origin + k * stride for k in range(first, last)]


def reach(tile_cells: int, grid: NestedGrid) -> int:
    """Return the most cells by which windows reach beyond tiles of so many cells."""
    side = window_side(grid)
    return 0 if tile_cells % side == 0 else side - 1
