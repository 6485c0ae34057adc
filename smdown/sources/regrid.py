"""From one raster to another: which pixels of the source a window of the target needs, and what it makes of them.

Every value follows from its own pixel's place alone, whatever window it is asked in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pyproj import Transformer

from smdown.grid import RasterGrid, Window
from smdown.kernels import RADIUS, AxisWeights, Method, axis_weights, resample, warp
from smdown.sources.values import Float32

F64 = npt.NDArray[np.float64]
ALIGNED_PX = 0.01
"""Largest offset, in pixels, between rasters that count as one grid."""
AVERAGED_FROM = 1.9
"""Source pixels a pixel, from which on the area average is taken; cubic below."""
PLAIN_UP_TO = 1.1
"""Source pixels a pixel, up to which the general warp leaves the cubic kernel as it is."""
NODE_STEP_PX = 32
"""Target pixels between the nodes of the general warp. Between map projections positions bend over thousands of
kilometres, so cubics through nodes a few kilometres apart are exact to micrometres."""
_BORDER = 3


@dataclass(frozen=True, eq=False)
class Shift:
    """A window that lies pixel on pixel in the source."""

    need: Window

    def __call__(self, field: Float32) -> Float32:
        """Return the field itself."""
        return field


@dataclass(frozen=True, eq=False)
class ByAxes:
    """A window of another grid in the same coordinate system."""

    need: Window
    rows: AxisWeights
    cols: AxisWeights
    coarsen: bool

    def __call__(self, field: Float32) -> Float32:
        """Resample the needed pixels."""
        return resample(field, self.need.y0, self.need.x0, self.rows, self.cols, coarsen=self.coarsen)


@dataclass(frozen=True, eq=False)
class Warped:
    """A window of a grid in another coordinate system."""

    need: Window
    corner: tuple[int, int]
    shape: tuple[int, int]
    rows: F64
    cols: F64
    scales: tuple[float, float]
    method: Method

    def __call__(self, field: Float32) -> Float32:
        """Resample the needed pixels."""
        return warp(
            field, self.need.y0, self.need.x0, self.rows, self.cols, self.corner, self.shape, NODE_STEP_PX, self.scales,
            self.method,
        )  # fmt: skip


Job = Shift | ByAxes | Warped


@lru_cache(maxsize=32)
def regrid(source: RasterGrid, target: RasterGrid, window: Window, method: Method | None = None) -> Job:
    """Return what a window of the target draws on in the source, and the function that makes it.

    Parameters
    ----------
    source, target : RasterGrid
        North-up rasters.
    window : Window
        Pixels of the target.
    method : str, optional
        Kernel; by default the area average where a pixel spans two source pixels or more, cubic below.

    Returns
    -------
    Job
        Its ``need`` is the window of source pixels, which may reach beyond the source, where pixels are missing;
        calling it with them, float32 ``(y, x)`` with NaN for missing, returns the window's. Missing source pixels do
        not count; a result is valid exactly where the source pixel at its centre is.
    """
    if source.crs == target.crs:
        offset = offset_px(source, target)
        if offset is not None:
            return Shift(window.shift(*offset))
        scale = max(target.dy / source.dy, target.dx / source.dx)
        chosen = method or _choose(scale)
        rows = axis_weights(_edges(target.y0, target.dy, source.y0, source.dy, window.y0, window.y1), chosen)
        cols = axis_weights(_edges(target.x0, target.dx, source.x0, source.dx, window.x0, window.x1), chosen)
        return ByAxes(Window(*rows.reach, *cols.reach), rows, cols, scale >= AVERAGED_FROM)
    scales = _scales(source, target)
    return _warped(source, target, window, method or _choose(max(scales)), scales)


def offset_px(source: RasterGrid, target: RasterGrid) -> tuple[int, int] | None:
    """Return what a window of the target is shifted by (y, x) to be that of the source; None if they do not line up."""
    if source.crs != target.crs:
        return None
    if abs(target.dx / source.dx - 1) * source.width > ALIGNED_PX:
        return None
    if abs(target.dy / source.dy - 1) * source.height > ALIGNED_PX:
        return None
    y, x = (target.y0 - source.y0) / source.dy, (target.x0 - source.x0) / source.dx
    return (round(y), round(x)) if max(abs(y - round(y)), abs(x - round(x))) <= ALIGNED_PX else None


def _choose(scale: float) -> Method:
    return "average" if scale >= AVERAGED_FROM else "cubic"


def _edges(target0: float, target_step: float, source0: float, source_step: float, first: int, stop: int) -> F64:
    return (target0 - source0 + np.arange(first, stop + 1, dtype=np.float64) * target_step) / source_step


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def _locate(source: RasterGrid, target: RasterGrid, x: F64, y: F64) -> tuple[F64, F64]:
    """Return fractional rows and columns of the source at places in the target's coordinates."""
    sx, sy = _transformer(target.crs, source.crs).transform(x, y)
    return (np.asarray(sy) - source.y0) / source.dy, (np.asarray(sx) - source.x0) / source.dx


@lru_cache(maxsize=256)
def _scales(source: RasterGrid, target: RasterGrid) -> tuple[float, float]:
    """Return the source pixels, along rows and columns, that a pixel of the target spans amid the source."""
    x = source.x0 + 0.5 * source.width * source.dx
    y = source.y0 + 0.5 * source.height * source.dy
    tx, ty = _transformer(source.crs, target.crs).transform(x, y)
    row, col = _locate(source, target, tx + np.array([0.0, target.dx, 0.0]), ty + np.array([0.0, 0.0, target.dy]))
    return tuple(float(np.hypot(p[1] - p[0], p[2] - p[0])) for p in (row, col))  # type: ignore[return-value]


def _warped(
    source: RasterGrid, target: RasterGrid, window: Window, method: Method, scales: tuple[float, float]
) -> Warped:
    base_y, base_x = math.floor(target.y0 / target.dy + 1e-6), math.floor(target.x0 / target.dx + 1e-6)
    y0, x0 = window.y0 + base_y, window.x0 + base_x  # counted from the projection's origin, wherever the target begins
    rows, cols = _locate(source, target, *np.meshgrid(
        target.x0 + (_nodes(x0, window.width) - base_x + 0.5) * target.dx,
        target.y0 + (_nodes(y0, window.height) - base_y + 0.5) * target.dy,
    ))  # fmt: skip
    widths = scales if method in {"average", "mode"} or max(scales) > PLAIN_UP_TO else (1.0, 1.0)
    margin = math.ceil(RADIUS.get(method, 0.5) * max(1.0, *widths)) + 2
    return Warped(_need(source, rows, cols, margin), (y0, x0), window.shape, rows, cols, widths, method)


def _nodes(first: int, count: int) -> F64:
    step = NODE_STEP_PX
    return np.arange(first // step - 1, (first + count - 1) // step + 3, dtype=np.float64) * step


def _need(source: RasterGrid, rows: F64, cols: F64, margin: int) -> Window:
    """Return the source pixels between the nodes, and a margin; a corner outside the source where there are none."""
    outside = Window(-_BORDER - 1, -_BORDER + 3, -_BORDER - 1, -_BORDER + 3)
    known = np.isfinite(rows) & np.isfinite(cols)
    if not known.any():
        return outside
    spans = ((math.floor(p[known].min()), math.floor(p[known].max()) + 1) for p in (rows, cols))
    (y0, y1), (x0, x1) = spans
    need = Window(y0, y1, x0, x1).expand(margin).intersect(source.window.expand(_BORDER))
    return need if need is not None and min(need.shape) >= 4 else outside
