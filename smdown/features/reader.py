"""A source on nested grids: which of its pixels a window needs, and how they become the window's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer

from smdown.cubes import Cube
from smdown.errors import CubeError
from smdown.features.config import Resampling
from smdown.grid import NestedGrid, RasterGrid, Window
from smdown.kernels.axis import AxisWeights, Method, axis_weights, tap_count
from smdown.kernels.separable import resample
from smdown.kernels.warp import interpolate_lattice, warp

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Fields = Callable[[Window], Iterator[F32]]
Fill = Callable[[Window], list[F32]]
ANCHORS_PX = (64, 32, 16, 8, 4, 2, 1)
"""Spacings of the general warp's coordinate lattice, in target pixels; the widest that is exact enough is taken."""
KEPT_BYTES = 32 * 2**20
"""A variable of at most this size is read once and kept."""
LEAST_SHARE = 0.5 + 1e-9
"""Share of a sum's weight that a source pixel must have: more than half, by more than rounding makes of a half."""
STRIP_PX = 4_000_000
"""Pixels of the finer grid, or of a source, that are averaged at a time."""
AVERAGED_FROM = 2.0
"""Source pixels a pixel, from which on `auto` takes the area average. Nearer to one it would blend two pixels here and
take a single one there, which blurs and shifts the field by turns."""
WARP_RADIUS = {"cubic": 2, "bilinear": 1, "average": 1, "nearest": 0}
"""Radii of the general warp's kernels; where it coarsens, a triangle twice as wide as the pixel stands for the area."""
PLAIN_UP_TO = 1.1
"""Source pixels a pixel, up to which the general warp leaves its kernels as they are: 4 x 4 taps are the fast case."""
CHECKED = 9
"""Places along each side of the region where the lattice is compared with exact positions."""
LATTICE_ERROR_PX = 0.01
"""Largest error allowed to it, in source pixels."""


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Transformer:
    """Return the (cached) transformation between two coordinate systems, x before y."""
    return Transformer.from_crs(source, target, always_xy=True)


def is_separable(source: str, target: str) -> bool:
    """Whether the axes of the target map to those of the source one by one."""
    a, b = CRS.from_user_input(source), CRS.from_user_input(target)
    if a.equals(b, ignore_axis_order=True):
        return True
    cylindrical = b.coordinate_operation is not None and "cylindrical" in b.coordinate_operation.method_name.lower()
    return a.is_geographic and (b.is_geographic or cylindrical)


def choose(method: Resampling, scale: float) -> Method:
    """Return the method that is meant: area average where it coarsens well, else cubic, unless one is named."""
    if method != "auto":
        return method
    return "average" if scale >= AVERAGED_FROM else "cubic"


class SourceReader:
    """One source cube, seen from nested grids.

    Parameters
    ----------
    cube : Cube
        The source on its own grid.
    region : NestedGrid
        The project's region (any ratio), for ratios that hold all over it.
    """

    def __init__(self, cube: Cube, region: NestedGrid) -> None:
        self.cube = cube
        self.region = region
        self.separable = is_separable(cube.raster.crs, region.crs)
        self._kept: dict[str, F32] = {}
        self._anchors: dict[int, int] = {}

    def read(
        self,
        names: tuple[str, ...],
        grid: NestedGrid,
        window: Window,
        times: tuple[int, ...],
        method: Resampling = "auto",
    ) -> F32:
        """Resample variables and times, sharing one set of weights.

        Returns
        -------
        ndarray of float32, (variable, time, y, x)
            With one time where the variable has none.
        """
        steps: tuple[int | None, ...] = times or (None,)

        def fields(need: Window) -> Iterator[F32]:
            for name in names:
                for time in steps:
                    yield self.native(name, need, time)

        found = np.stack(list(self._resample(fields, grid, window, method)))
        return found.reshape(len(names), len(steps), *window.shape)

    def read_sum(
        self, name: str, grid: NestedGrid, window: Window, weights: Mapping[int, float], method: Resampling = "auto"
    ) -> F32:
        """Resample the weighted sum of several times of a variable, ``(y, x)``.

        Summed on the source's own grid, which is linear all the same. Where a source pixel misses some times, the
        others are scaled up for them; where it misses half of the weight, it is missing.
        """

        def fields(need: Window) -> Iterator[F32]:
            total, share = np.zeros(need.shape), np.zeros(need.shape)
            for time in sorted(weights):
                value = self.native(name, need, time)
                known = np.isfinite(value)
                total += np.where(known, weights[time] * value, 0.0)
                share += weights[time] * known
            whole = sum(weights[time] for time in sorted(weights))
            with np.errstate(invalid="ignore", divide="ignore"):
                yield np.where(share > LEAST_SHARE * whole, total * (whole / share), np.nan).astype(np.float32)

        return next(iter(self._resample(fields, grid, window, method)))

    def native(self, name: str, need: Window, time: int | None) -> F32:
        """Return source pixels, NaN outside the source; small sources are read once and kept."""
        shape = self._shape(name, time)
        inside = need.intersect(self.cube.raster.window)
        if inside == need:
            return self._inside(name, shape, need, time)
        out = np.full(need.shape, np.nan, np.float32)
        if inside is not None:
            out[inside.relative_to(need).slices] = self._inside(name, shape, inside, time)
        return out

    def _shape(self, name: str, time: int | None) -> tuple[int, ...]:
        """Return a variable's shape; refuse one whose time axis is not what the driver takes it for."""
        variable = self.cube.variables.get(name)
        if variable is None:
            raise CubeError(f"got the variable {name!r}; {self.cube.url} has {', '.join(self.cube.variables)}")
        if variable.timed and time is None:
            raise CubeError(
                f"got {name} of {self.cube.url}, which has a time axis, as static; use a driver of kind daily"
            )
        return self.cube.spec.shape(variable)

    def _inside(self, name: str, shape: tuple[int, ...], window: Window, time: int | None) -> F32:
        if 4 * math.prod(shape) > KEPT_BYTES:
            return np.asarray(self.cube.read(name, window, time), dtype=np.float32)
        if name not in self._kept:
            self._kept[name] = np.asarray(self.cube.read(name, self.cube.raster.window), dtype=np.float32)
        whole = self._kept[name]
        return (whole if whole.ndim == 2 else whole[time])[window.slices]

    def _resample(self, fields: Fields, grid: NestedGrid, window: Window, method: Resampling) -> Iterator[F32]:
        """Resample a window, in blocks where it needs more of the source than may be held at a time."""
        run = self._separable if self.separable else self._general
        scales = self._scales(grid) if self.separable else local_scales(self.cube.raster, self.region, grid)
        if window.size * math.prod(scales) <= STRIP_PX:
            return run(fields, grid, window, method)
        made: list[F32] = []
        for block in _blocks(window, max(1, int(math.sqrt(STRIP_PX / math.prod(scales))))):
            for n, part in enumerate(run(fields, grid, block, method)):
                if n == len(made):
                    made.append(np.empty(window.shape, np.float32))
                made[n][block.relative_to(window).slices] = part
        return iter(made)

    # -- axes that map one by one

    def _separable(self, fields: Fields, grid: NestedGrid, window: Window, method: Resampling) -> Iterator[F32]:
        rows, cols = self._axes(grid, window, method)
        (y0, y1), (x0, x1) = rows.reach, cols.reach
        for field in fields(Window(y0, y1, x0, x1)):
            yield resample(field, y0, x0, rows, cols)

    def _axes(self, grid: NestedGrid, window: Window, method: Resampling) -> tuple[AxisWeights, AxisWeights]:
        rows, cols = edge_positions(self.cube.raster, grid, window)
        row_scale, col_scale = self._scales(grid)
        kernel = choose(method, max(row_scale, col_scale))
        return _weights(rows, kernel, row_scale), _weights(cols, kernel, col_scale)

    def _scales(self, grid: NestedGrid) -> tuple[float, float]:
        """Source pixels that a target pixel spans at most, over the whole region."""
        return self._cell_scales[0] / grid.ratio, self._cell_scales[1] / grid.ratio

    @cached_property
    def _cell_scales(self) -> tuple[float, float]:
        cells = self.region.at(1)
        rows, cols = edge_positions(self.cube.raster, cells, cells.window)
        return float(np.abs(np.diff(rows)).max()), float(np.abs(np.diff(cols)).max())

    # -- the general case

    def _general(self, fields: Fields, grid: NestedGrid, window: Window, method: Resampling) -> Iterator[F32]:
        rows, cols = self._positions(grid, window)
        scales = local_scales(self.cube.raster, self.region, grid)
        scale_y, scale_x = (s if s > PLAIN_UP_TO else 1.0 for s in scales)
        (y0, y1), (x0, x1) = _span(rows), _span(cols)
        need = Window(y0, y1, x0, x1).expand(math.ceil(2 * scale_y) + 1, math.ceil(2 * scale_x) + 1)
        whole = self.cube.raster.window
        inside = need.intersect(whole) or Window(whole.y0, whole.y0 + 1, whole.x0, whole.x0 + 1)
        radius = WARP_RADIUS[choose(method, max(scales))]
        for field in fields(inside):
            yield warp(field, inside.y0, inside.x0, rows, cols, scale_y, scale_x, radius)

    def _positions(self, grid: NestedGrid, window: Window) -> tuple[F64, F64]:
        """Return fractional source rows and columns of every pixel, from a lattice that all windows share."""
        step = self._anchor(grid)
        nodes_y = np.arange(window.y0 // step, -(-window.y1 // step) + 1) * step
        nodes_x = np.arange(window.x0 // step, -(-window.x1 // step) + 1) * step
        rows, cols = self._exact(grid, nodes_y, nodes_x)
        args = (window.y0, window.x0, window.height, window.width, step)
        return interpolate_lattice(rows, *args), interpolate_lattice(cols, *args)

    def _anchor(self, grid: NestedGrid) -> int:
        """Return the lattice's spacing: one for all windows of a ratio, checked over the whole region."""
        if grid.ratio not in self._anchors:
            self._anchors[grid.ratio] = next(
                step for step in ANCHORS_PX if step == 1 or self._lattice_error(grid, step) < LATTICE_ERROR_PX / 2
            )
        return self._anchors[grid.ratio]

    def _lattice_error(self, grid: NestedGrid, step: int) -> float:
        """Return the largest error, in source pixels, in the middle of meshes all over the region: worst there."""
        w = self.region.at(grid.ratio).window
        y = np.linspace(w.y0, w.y1, CHECKED).astype(np.int64) // step * step
        x = np.linspace(w.x0, w.x1, CHECKED).astype(np.int64) // step * step
        worst = 0.0
        corners = [self._exact(grid, y + dy, x + dx) for dy in (0, step) for dx in (0, step)]
        middle = self._exact(grid, y + step // 2, x + step // 2)
        for axis in (0, 1):
            mean = sum(corner[axis] for corner in corners) / 4
            gap = np.abs(mean - middle[axis])
            worst = max(worst, float(gap[np.isfinite(gap)].max(initial=0.0)))
        return worst

    def _exact(self, grid: NestedGrid, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> tuple[F64, F64]:
        half = grid.lattice.cell / (2 * grid.ratio)
        gx, gy = np.meshgrid(grid.lattice.x0 + (2 * x + 1) * half, grid.lattice.y0 - (2 * y + 1) * half)
        sx, sy = transformer(grid.crs, self.cube.raster.crs).transform(gx, gy)
        raster = self.cube.raster
        return (np.asarray(sy) - raster.y0) / raster.dy, (np.asarray(sx) - raster.x0) / raster.dx


def _span(positions: F64) -> tuple[int, int]:
    """Return the source pixels that positions fall into; those that the projection does not reach do not count."""
    known = positions[np.isfinite(positions)]
    return (math.floor(known.min()), math.floor(known.max()) + 1) if len(known) else (0, 1)


def _blocks(window: Window, side: int) -> Iterator[Window]:
    """Cut a window into squares of at most `side` pixels."""
    for y0 in range(window.y0, window.y1, side):
        for x0 in range(window.x0, window.x1, side):
            yield Window(y0, min(y0 + side, window.y1), x0, min(x0 + side, window.x1))


def _weights(edges: F64, method: Method, scale: float) -> AxisWeights:
    return axis_weights(edges, method, tap_count(scale, method))


def edge_positions(raster: RasterGrid, grid: NestedGrid, window: Window) -> tuple[F64, F64]:
    """Return where the edges of a window's rows and columns fall on a source, in its pixels (separable pairs only)."""
    size = grid.lattice.cell / grid.ratio
    x = grid.lattice.x0 + np.arange(window.x0, window.x1 + 1) * size
    y = grid.lattice.y0 - np.arange(window.y0, window.y1 + 1) * size
    change = transformer(grid.crs, raster.crs)
    sx = np.asarray(
        change.transform(x, np.full(x.shape, grid.lattice.y0 - grid.lattice.cell * grid.lattice.rows / 2))[0]
    )
    sy = np.asarray(change.transform(np.zeros(y.shape), y)[1])
    return (sy - raster.y0) / raster.dy, (sx - raster.x0) / raster.dx


def local_scales(raster: RasterGrid, region: NestedGrid, grid: NestedGrid) -> tuple[float, float]:
    """Source pixels a target pixel at the region's middle, one number for every window."""
    lattice, cells = region.lattice, region.cells
    x = lattice.x0 + 0.5 * (cells.x0 + cells.x1) * lattice.cell
    y = lattice.y0 - 0.5 * (cells.y0 + cells.y1) * lattice.cell
    size = lattice.cell / grid.ratio
    sx, sy = transformer(grid.crs, raster.crs).transform([x, x + size, x], [y, y, y - size])
    step_x, step_y = np.hypot(sx[1] - sx[0], sy[1] - sy[0]), np.hypot(sx[2] - sx[0], sy[2] - sy[0])
    return float(max(step_x, step_y) / abs(raster.dy)), float(max(step_x, step_y) / abs(raster.dx))


def nested_average(fill: Fill, fine: int, grid: NestedGrid, window: Window) -> list[F32]:
    """Return area averages, on a coarser nested grid, of what `fill` makes on a finer one; in strips of rows.

    Parameters
    ----------
    fill : callable
        ``fill(window)`` returns fields ``(y, x)`` at ratio `fine`.
    fine : int
        Ratio of the finer grid.
    grid : NestedGrid
        The coarser grid.
    window : Window
        Its pixels, in global indices.
    """
    scale = fine / grid.ratio
    rows = _weights(np.arange(window.y0, window.y1 + 1) * fine / grid.ratio, "average", scale)
    cols = _weights(np.arange(window.x0, window.x1 + 1) * fine / grid.ratio, "average", scale)
    strips: list[list[F32]] = []
    strip = max(1, int(STRIP_PX / (scale * scale * window.width)))
    for first in range(0, window.height, strip):
        cut = slice(first, first + strip)
        part = AxisWeights(rows.start[cut], rows.weights[cut], rows.nearest[cut])
        (y0, y1), (x0, x1) = part.reach, cols.reach
        strips.append([resample(field, y0, x0, part, cols) for field in fill(Window(y0, y1, x0, x1))])
    return [np.concatenate(parts) for parts in zip(*strips, strict=True)]
