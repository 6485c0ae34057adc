"""Resampling from one raster to nested grids: which pixels a window needs, and what it makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from smdown.features.geometry import Geometry
from smdown.grid import NestedGrid, RasterGrid, Window
from smdown.kernels import RADIUS, AxisWeights, Method, axis_weights, resample, warp

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
COARSENED_FROM = 1.25
"""Source pixels a pixel, from which on sums go down the columns first."""
PLAIN_UP_TO = 1.1
"""Source pixels a pixel, up to which the general warp leaves its kernels as they are: 4 x 4 taps are the fast case."""
_BORDER = 3
"""Pixels beyond a raster's edge that a window asks for, and finds missing: a cubic there has all of its taps."""


@dataclass(frozen=True, eq=False)
class AxisJob:
    """A window of a pair of grids whose axes map one by one.

    Parameters
    ----------
    need : Window
        Source pixels that it draws on; may reach beyond the source, where pixels are missing.
    rows, cols : AxisWeights
        Weights of the window's rows and columns.
    coarsen, clamp : bool
        As in :func:`smdown.kernels.resample`.
    """

    need: Window
    rows: AxisWeights
    cols: AxisWeights
    coarsen: bool
    clamp: bool

    def __call__(self, field: F32) -> F32:
        """Resample the needed pixels, (y, x), NaN where missing, to the window's."""
        return resample(
            field, self.need.y0, self.need.x0, self.rows, self.cols, coarsen=self.coarsen, clamp=self.clamp
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class WarpJob:
    """A window of any other pair of grids.

    Parameters
    ----------
    need : Window
        Source pixels that it draws on; may reach beyond the source, where pixels are missing.
    window : Window
        Target pixels, in global indices.
    step : int
        Target pixels between nodes.
    rows, cols : ndarray of float64
        Positions of the nodes in the source.
    scales : tuple of float
        Source pixels a pixel.
    method, clamp
        As in :func:`smdown.kernels.warp`.
    """

    need: Window
    window: Window
    step: int
    rows: F64
    cols: F64
    scales: tuple[float, float]
    method: Method
    clamp: bool

    def __call__(self, field: F32) -> F32:
        """Resample the needed pixels, (y, x), NaN where missing, to the window's."""
        return warp(
            field, self.need.y0, self.need.x0, self.rows, self.cols, (self.window.y0, self.window.x0),
            self.window.shape, self.step, self.scales, self.method, clamp=self.clamp,
        )  # fmt: skip


@dataclass(frozen=True)
class Resampler:
    """Resampling from one raster to the nested grids of a region.

    The value at a pixel depends on its place alone: any window equals the same window of the whole, bit for bit.

    Parameters
    ----------
    raster : RasterGrid
        Grid of the source.
    region : NestedGrid
        The whole region, at any ratio.

    Examples
    --------
    >>> from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window
    >>> region = NestedGrid(EASE2_M09, Window(345, 347, 878, 880), 9)
    >>> source = RasterGrid("EPSG:4326", -99.0, 36.0, 0.1, -0.1, 30, 30)
    >>> job = Resampler(source, region).job(region.ratio, region.window, "cubic")
    >>> job(np.ones(job.need.shape, np.float32)).shape
    (18, 18)
    """

    raster: RasterGrid
    region: NestedGrid

    @property
    def geometry(self) -> Geometry:
        """Where the pixels of the region fall on the raster."""
        return Geometry(self.raster, self.region)

    def scales(self, ratio: int) -> tuple[float, float]:
        """Source pixels, along rows and columns, that a pixel of a ratio spans at most."""
        return self.geometry.scales(ratio)

    def job(self, ratio: int, window: Window, method: Method, *, clamp: bool = True) -> AxisJob | WarpJob:
        """Return what is to be read for a window, and the function that resamples it.

        Parameters
        ----------
        ratio : int
            Target pixels along one side of a coarse cell.
        window : Window
            Target pixels, in global indices at that ratio.
        method : {"cubic", "average", "bilinear", "nearest", "mode"}
            Kernel; cubic and bilinear are widened when they coarsen.
        clamp : bool
            Keep results within the extremes of the valid pixels that they draw on.

        Returns
        -------
        AxisJob or WarpJob
            Its ``need`` is the window of source pixels; calling it with them returns float32 ``(y, x)``. It may be
            called for many variables and times: all of them share one set of weights.

        Raises
        ------
        GridError
            Where the region, or the window, is off the map of either grid.
        """
        make = _axis_job if self.geometry.separable else _warp_job
        return make(self.geometry, ratio, window, method, clamp)


@lru_cache(maxsize=32)
def _axis_job(geometry: Geometry, ratio: int, window: Window, method: Method, clamp: bool) -> AxisJob:
    rows, cols = (axis_weights(edges, method) for edges in geometry.edges(ratio, window))
    (y0, y1), (x0, x1) = rows.reach, cols.reach
    return AxisJob(Window(y0, y1, x0, x1), rows, cols, max(geometry.scales(ratio)) >= COARSENED_FROM, clamp)


@lru_cache(maxsize=32)
def _warp_job(geometry: Geometry, ratio: int, window: Window, method: Method, clamp: bool) -> WarpJob:
    step, rows, cols = geometry.nodes(ratio, window)
    scale_y, scale_x = (s if s > PLAIN_UP_TO or method in {"average", "mode"} else 1.0 for s in geometry.scales(ratio))
    reach = RADIUS.get(method, 0.5)
    span = geometry.span(ratio, window)
    margin = math.ceil(reach * max(1.0, scale_y)) + 1, math.ceil(reach * max(1.0, scale_x)) + 1
    whole = geometry.raster.window.expand(_BORDER)
    need = None if span is None else span.expand(*margin).intersect(whole)
    corner = Window(whole.y0, whole.y0 + 4, whole.x0, whole.x0 + 4)  # all of it lies outside: pixels that are missing
    need = need if need is not None and min(need.shape) >= 4 else corner
    return WarpJob(need, window, step, rows, cols, (scale_y, scale_x), method, clamp)
