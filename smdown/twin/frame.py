"""Where the synthetic region lies: its cells, the working grid around them, and the ways between map projections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer

from smdown.errors import GridError
from smdown.grid import EASE2_M09, NestedGrid, Window

RATIO = 300
"""Pixels along one side of a cell: 30 m."""
MARGIN_M = 2000.0
"""Ground beyond the region on which everything is computed, so that input files can reach further than the region."""
FILE_MARGIN_M = 1500.0
"""Ground beyond the region that the elevation and soil files cover."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """The region and the working grid, which is the 30 m nested grid with a margin.

    Parameters
    ----------
    cells : Window
        Cells of EASE-Grid 2.0 M09, in lattice indices.
    """

    cells: Window

    @cached_property
    def grid(self) -> NestedGrid:
        """The 30 m grid of the region, without margin."""
        return NestedGrid(EASE2_M09, self.cells, RATIO)

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude of the region's middle."""
        raster = self.grid.raster
        x, y = raster.x0 + raster.dx * raster.width / 2, raster.y0 + raster.dy * raster.height / 2
        lon, lat = _to_geographic().transform(x, y)
        return float(lon), float(lat)

    @cached_property
    def spacing(self) -> tuple[float, float]:
        """Size of a pixel on the ground at the region's middle, north-south and east-west (m)."""
        scale = float(parallel_scale(np.array([self.centre[1]]))[0])
        return self.grid.pixel * scale, self.grid.pixel / scale

    @cached_property
    def margin(self) -> int:
        """Pixels of the working grid on each side of the region."""
        return math.ceil(MARGIN_M / min(self.spacing))

    @cached_property
    def window(self) -> Window:
        """The working grid, in global pixel indices."""
        return self.grid.window.expand(self.margin)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the working grid."""
        return self.window.shape

    @property
    def inner(self) -> tuple[slice, slice]:
        """The region's rows and columns within the working grid."""
        return self.grid.window.relative_to(self.window).slices

    @cached_property
    def lon(self) -> Array:
        """Longitude of each column of the working grid (degrees)."""
        return self.geographic(np.zeros(0), np.arange(float(self.shape[1])))[1]

    @cached_property
    def lat(self) -> Array:
        """Latitude of each row of the working grid (degrees)."""
        return self.geographic(np.arange(float(self.shape[0])), np.zeros(0))[0]

    def geographic(self, rows: Array, columns: Array) -> tuple[Array, Array]:
        """Return the latitude of each (fractional) row and the longitude of each column, the reverse of `place`."""
        first_y, first_x = self._first
        x, y = first_x + columns * self.grid.pixel, first_y - rows * self.grid.pixel
        lon = np.asarray(_to_geographic().transform(x, np.zeros_like(x))[0])
        return np.asarray(_to_geographic().transform(np.zeros_like(y), y)[1]), lon

    @property
    def _first(self) -> tuple[float, float]:
        """Coordinates (y, x) of the working grid's first pixel."""
        w = self.window
        return float(self.grid.y_centres(w.y0, w.y0 + 1)[0]), float(self.grid.x_centres(w.x0, w.x0 + 1)[0])

    @cached_property
    def row_spacing(self) -> tuple[Array, Array]:
        """Size of the pixels of each row on the ground, north-south and east-west (m)."""
        scale = parallel_scale(self.lat)
        return self.grid.pixel * scale, self.grid.pixel / scale

    @cached_property
    def utm(self) -> str:
        """Authority code of the UTM zone of the region's middle."""
        lon, lat = self.centre
        zone = min(60, max(1, math.floor((lon + 180) / 6) + 1))
        return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"

    def bounds(self, margin_m: float) -> tuple[float, float, float, float]:
        """Return west, south, east and north of the region with a margin (degrees)."""
        rows, columns = self.inner
        dlat, dlon = (margin_m / (s / abs(d)) for s, d in zip(self.spacing, self._steps(), strict=True))
        return (
            float(self.lon[columns.start] - dlon),
            float(self.lat[rows.stop - 1] - dlat),
            float(self.lon[columns.stop - 1] + dlon),
            float(self.lat[rows.start] + dlat),
        )

    def _steps(self) -> tuple[float, float]:
        middle = len(self.lat) // 2
        return float(self.lat[middle] - self.lat[middle - 1]), float(self.lon[1] - self.lon[0])

    def place(self, lon: Array, lat: Array) -> tuple[Array, Array]:
        """Return fractional rows and columns of the working grid (0 is the first pixel's centre).

        Longitudes and latitudes need not pair up: the projection is cylindrical, so a row depends on latitude
        alone and a column on longitude alone.
        """
        x = np.asarray(_from_geographic().transform(lon, np.zeros_like(lon))[0])
        y = np.asarray(_from_geographic().transform(np.zeros_like(lat), lat)[1])
        return self._fractional(x, y)

    def place_utm(self, easting: Array, northing: Array) -> tuple[Array, Array]:
        """Return fractional rows and columns of points of the region's UTM zone; arrays of one shape."""
        x, y = Transformer.from_crs(self.utm, EASE2_M09.crs, always_xy=True).transform(easting, northing)
        return self._fractional(np.asarray(x), np.asarray(y))

    def _fractional(self, x: Array, y: Array) -> tuple[Array, Array]:
        first_y, first_x = self._first
        return (first_y - y) / self.grid.pixel, (x - first_x) / self.grid.pixel


def make_frame(cells: tuple[int, int], origin: tuple[float, float]) -> Frame:
    """Return the frame of a block of cells.

    Parameters
    ----------
    cells : tuple of int
        Rows and columns of cells.
    origin : tuple of float
        Longitude and latitude (degrees) that the block's middle is nearest to.

    Raises
    ------
    GridError
        If the block with its margin does not lie within the lattice.
    """
    lon, lat = origin
    x, y = (float(v) for v in _from_geographic().transform(lon, lat))
    rows, cols = cells
    if not (math.isfinite(x) and math.isfinite(y)):
        raise GridError(f"got the origin {lon}, {lat}; longitude first, both in degrees, and on the lattice")
    y0 = round((EASE2_M09.y0 - y) / EASE2_M09.cell - rows / 2)
    x0 = round((x - EASE2_M09.x0) / EASE2_M09.cell - cols / 2)
    window = Window(y0, y0 + rows, x0, x0 + cols)
    if not EASE2_M09.window.contains(window.expand(1)):
        raise GridError(
            f"got {rows} x {cols} cells around {lon}, {lat}, which reach the edge of {EASE2_M09.name}; move the origin"
        )
    return Frame(window)


def parallel_scale(lat: Array) -> Array:
    """Return the scale factor of EPSG:6933 along parallels; along meridians it is the inverse.

    Snyder (1987), Map projections: a working manual, USGS PP 1395, equations 10-13 and 14-15.
    """
    ellipsoid = CRS(EASE2_M09.crs).ellipsoid
    assert ellipsoid is not None
    e2 = 2 / ellipsoid.inverse_flattening - 1 / ellipsoid.inverse_flattening**2
    phi, standard = np.deg2rad(lat), np.deg2rad(30.0)
    k0 = np.cos(standard) / np.sqrt(1 - e2 * np.sin(standard) ** 2)
    return np.asarray(k0 * np.sqrt(1 - e2 * np.sin(phi) ** 2) / np.cos(phi))


def _to_geographic() -> Transformer:
    return Transformer.from_crs(EASE2_M09.crs, "EPSG:4326", always_xy=True)


def _from_geographic() -> Transformer:
    return Transformer.from_crs("EPSG:4326", EASE2_M09.crs, always_xy=True)
