"""Nested grids: every target grid is the coarse lattice refined by a whole number.

Indices are global: pixel ``(0, 0)`` of a grid of ratio *r* is the upper left pixel of the upper left cell of the
whole lattice, whatever region a project covers. A pixel's coordinate is computed from its global index alone, so no
result can depend on the window that asked for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smdown.errors import GridError


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open rectangle of integer indices, y before x.

    Parameters
    ----------
    y0, y1, x0, x1 : int
        Rows ``y0 <= y < y1`` and columns ``x0 <= x < x1``. May reach outside an array; may not be empty.
    """

    y0: int
    y1: int
    x0: int
    x1: int

    def __post_init__(self) -> None:
        if self.y1 <= self.y0 or self.x1 <= self.x0:
            raise GridError(
                f"got an empty window (rows {self.y0}:{self.y1}, columns {self.x0}:{self.x1}); "
                "a window needs at least one row and one column; widen the extent"
            )

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.x1 - self.x0

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, for an array whose first pixel is index ``(0, 0)``."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def expand(self, dy: int, dx: int | None = None) -> Window:
        """Return the window grown by `dy` rows and `dx` columns on every side (negative shrinks)."""
        dx = dy if dx is None else dx
        return Window(self.y0 - dy, self.y1 + dy, self.x0 - dx, self.x1 + dx)

    def shift(self, dy: int, dx: int) -> Window:
        """Return the window moved by whole pixels."""
        return Window(self.y0 + dy, self.y1 + dy, self.x0 + dx, self.x1 + dx)

    def relative_to(self, outer: Window) -> Window:
        """Return this window in indices that count from the first pixel of `outer`."""
        return self.shift(-outer.y0, -outer.x0)

    def intersect(self, other: Window) -> Window | None:
        """Return the common part, or None where there is none."""
        y0, y1 = max(self.y0, other.y0), min(self.y1, other.y1)
        x0, x1 = max(self.x0, other.x0), min(self.x1, other.x1)
        return Window(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None

    def contains(self, other: Window) -> bool:
        """Whether `other` lies wholly inside."""
        return self.y0 <= other.y0 and other.y1 <= self.y1 and self.x0 <= other.x0 and other.x1 <= self.x1

    def refine(self, ratio: int) -> Window:
        """Return the same ground in pixels `ratio` times finer."""
        return Window(self.y0 * ratio, self.y1 * ratio, self.x0 * ratio, self.x1 * ratio)

    def cover(self, ratio: int, other: int) -> Window:
        """Return the smallest window of ratio `other` that covers this window of ratio `ratio`."""
        return Window(
            self.y0 * other // ratio,
            -(-self.y1 * other // ratio),
            self.x0 * other // ratio,
            -(-self.x1 * other // ratio),
        )


@dataclass(frozen=True, slots=True)
class Halo:
    """Pixels that a computation reads beyond its core on every side."""

    y: int
    x: int

    def __post_init__(self) -> None:
        if self.y < 0 or self.x < 0:
            raise GridError(f"got a halo of ({self.y}, {self.x}) pixels; it must not be negative")


@dataclass(frozen=True, slots=True)
class RasterGrid:
    """A regular raster in any coordinate reference system.

    Parameters
    ----------
    crs : str
        Anything that pyproj reads; authority codes (``EPSG:6933``) are preferred.
    x0, y0 : float
        Outer corner of the first pixel.
    dx, dy : float
        Signed step from one pixel centre to the next; `dy` is negative where the first row is the northernmost.
    height, width : int
        Rows and columns.
    """

    crs: str
    x0: float
    y0: float
    dx: float
    dy: float
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise GridError(f"got a raster of {self.height} x {self.width} pixels; it needs at least one")
        if not (math.isfinite(self.dx) and math.isfinite(self.dy)) or self.dx == 0 or self.dy == 0:
            raise GridError(f"got pixel steps dx={self.dx}, dy={self.dy}; both must be finite and not zero")

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """All of the raster."""
        return Window(0, self.height, 0, self.width)

    @property
    def x(self) -> npt.NDArray[np.float64]:
        """Coordinates of the column centres."""
        return np.asarray(self.x0 + (np.arange(self.width) + 0.5) * self.dx, dtype=np.float64)

    @property
    def y(self) -> npt.NDArray[np.float64]:
        """Coordinates of the row centres."""
        return np.asarray(self.y0 + (np.arange(self.height) + 0.5) * self.dy, dtype=np.float64)

    @property
    def geotransform(self) -> tuple[float, float, float, float, float, float]:
        """GDAL's six numbers ``(x0, dx, 0, y0, 0, dy)``."""
        return self.x0, self.dx, 0.0, self.y0, 0.0, self.dy


@dataclass(frozen=True, slots=True)
class Lattice:
    """The coarse product's whole grid; everything else nests in it.

    Parameters
    ----------
    name : str
        Short name, as in the project file.
    crs : str
        Authority code of its coordinate reference system.
    x0, y0 : float
        Upper left corner.
    cell : float
        Side of a cell, in units of the coordinate system. Rows run from north to south.
    rows, cols : int
        Cells of the whole lattice.
    """

    name: str
    crs: str
    x0: float
    y0: float
    cell: float
    rows: int
    cols: int

    @property
    def window(self) -> Window:
        """All cells of the lattice."""
        return Window(0, self.rows, 0, self.cols)


EASE2_M09 = Lattice("ease2_m09", "EPSG:6933", -17367530.4451615, 7314540.8306386, 9008.055210146, 1624, 3856)
"""EASE-Grid 2.0 global, 9 km (NSIDC grid definition EASE2_M09km.gpd)."""
EASE2_M36 = Lattice("ease2_m36", "EPSG:6933", -17367530.4451615, 7314540.8306386, 36032.220840584, 406, 964)
"""EASE-Grid 2.0 global, 36 km."""
LATTICES = {lattice.name: lattice for lattice in (EASE2_M09, EASE2_M36)}


@dataclass(frozen=True, slots=True)
class NestedGrid:
    """Some whole cells of a lattice, each cut into ``ratio x ratio`` pixels.

    Parameters
    ----------
    lattice : Lattice
        The coarse grid.
    cells : Window
        The cells that it covers, in lattice indices.
    ratio : int
        Pixels along one side of a cell.
    """

    lattice: Lattice
    cells: Window
    ratio: int

    def __post_init__(self) -> None:
        if self.ratio < 1:
            raise GridError(f"got a ratio of {self.ratio}; it must be a whole number of at least 1")
        if not self.lattice.window.contains(self.cells):
            raise GridError(
                f"got cells {self.cells} outside the lattice {self.lattice.name} "
                f"of {self.lattice.rows} x {self.lattice.cols} cells; move the extent"
            )

    @property
    def crs(self) -> str:
        """Coordinate reference system."""
        return self.lattice.crs

    @property
    def window(self) -> Window:
        """The pixels that it covers, in global indices of its ratio."""
        return self.cells.refine(self.ratio)

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.window.shape

    @property
    def pixel(self) -> float:
        """Side of a pixel, in units of the coordinate system."""
        return self.lattice.cell / self.ratio

    @property
    def raster(self) -> RasterGrid:
        """The same pixels as a plain raster."""
        w = self.window
        return RasterGrid(
            self.crs,
            self.lattice.x0 + w.x0 * self.lattice.cell / self.ratio,
            self.lattice.y0 - w.y0 * self.lattice.cell / self.ratio,
            self.pixel,
            -self.pixel,
            w.height,
            w.width,
        )

    def at(self, ratio: int) -> NestedGrid:
        """Return the grid of the same cells at another ratio."""
        return NestedGrid(self.lattice, self.cells, ratio)

    def x_centres(self, x0: int, x1: int) -> npt.NDArray[np.float64]:
        """Return the coordinates of columns `x0` to `x1` (global indices), each from its own index alone."""
        half = self.lattice.cell / (2 * self.ratio)
        return np.asarray(self.lattice.x0 + (2 * np.arange(x0, x1) + 1) * half, dtype=np.float64)

    def y_centres(self, y0: int, y1: int) -> npt.NDArray[np.float64]:
        """Return the coordinates of rows `y0` to `y1` (global indices), each from its own index alone."""
        half = self.lattice.cell / (2 * self.ratio)
        return np.asarray(self.lattice.y0 - (2 * np.arange(y0, y1) + 1) * half, dtype=np.float64)

    def tiles(self, cells_per_tile: int) -> Iterator[Tile]:
        """Yield the tiles, row by row; those at the lower and right edge may be smaller."""
        if cells_per_tile < 1:
            raise GridError(f"got {cells_per_tile} cells a tile; it must be at least 1")
        for row in range(-(-self.cells.height // cells_per_tile)):
            for col in range(-(-self.cells.width // cells_per_tile)):
                yield self.tile(row, col, cells_per_tile)

    def tile(self, row: int, col: int, cells_per_tile: int) -> Tile:
        """Return one of the tiles."""
        y0, x0 = self.cells.y0 + row * cells_per_tile, self.cells.x0 + col * cells_per_tile
        cells = Window(y0, min(y0 + cells_per_tile, self.cells.y1), x0, min(x0 + cells_per_tile, self.cells.x1))
        return Tile(row, col, cells, self.ratio)


@dataclass(frozen=True, slots=True)
class Tile:
    """Whole cells that one task computes and writes.

    Parameters
    ----------
    row, col : int
        Place of the tile in its grid's tiling.
    cells : Window
        Its cells, in lattice indices.
    ratio : int
        Pixels along one side of a cell.
    """

    row: int
    col: int
    cells: Window
    ratio: int

    @property
    def core(self) -> Window:
        """The pixels that it owns, in global indices."""
        return self.cells.refine(self.ratio)

    def read(self, halo: Halo) -> Window:
        """Return the pixels that it needs, in global indices."""
        return self.core.expand(halo.y, halo.x)


def nominal_ratio(lattice: Lattice, resolution: int) -> int:
    """Return the whole number that divides a cell into pixels of about `resolution` units.

    Cells of 36 km are divided as the 16 cells of 9 km in them are: both have the same pixels.

    Parameters
    ----------
    lattice : Lattice
        The coarse grid.
    resolution : int
        Side of a pixel wanted, in units of the lattice's coordinate system (metres on EASE-Grid).

    Returns
    -------
    int
        Pixels along one side of a cell.

    Raises
    ------
    GridError
        If no whole number comes within 1 % of the resolution asked for.
    """
    nested = round(lattice.cell / EASE2_M09.cell) if lattice.name in LATTICES else 1
    ratio = max(1, nested * round(lattice.cell / nested / resolution))
    if abs(lattice.cell / ratio / resolution - 1) > 0.01:
        near = lattice.cell / ratio
        raise GridError(
            f"got a resolution of {resolution}; cells of {lattice.cell:.6g} do not divide into such pixels; "
            f"use {near:.6g} (ratio {ratio})"
        )
    return ratio
