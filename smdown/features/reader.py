"""A source on nested grids: its pixels as windows need them, in blocks of bounded size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from smdown.cubes import Cube
from smdown.features.config import Resampling
from smdown.features.pixels import Kept, Pixels
from smdown.features.resampler import Resampler
from smdown.grid import NestedGrid, Window
from smdown.kernels import Method, axis_weights, resample

F32 = npt.NDArray[np.float32]
Fields = Callable[[Window], Iterator[F32]]
Fill = Callable[[Window], Sequence[F32]]
LEAST_SHARE = 0.5 + 1e-9
"""Share of a sum's weight that a source pixel must have: more than half, by more than rounding makes of a half."""
BLOCK_PX = 4_000_000
"""Pixels that are resampled from at a time: a window that needs more is filled in blocks."""
AVERAGED_FROM = 2.0
"""Source pixels a pixel, from which on `auto` takes the area average. Nearer to one it would blend two pixels here and
take a single one there, which blurs and shifts the field by turns."""
_NAMED: dict[str, Method] = {
    "cubic": "cubic", "average": "average", "bilinear": "bilinear", "nearest": "nearest", "mode": "mode",
}  # fmt: skip


class SourceReader:
    """One source cube, seen from nested grids.

    Parameters
    ----------
    cube : Cube
        The source on its own grid.
    region : NestedGrid
        The project's region (any ratio), for what is decided once all over it.
    kept : Kept, optional
        Where pixels are kept for later windows; the reader's own by default.
    """

    def __init__(self, cube: Cube, region: NestedGrid, kept: Kept | None = None) -> None:
        self.cube = cube
        self.resampler = Resampler(cube.raster, region)
        self.pixels = Pixels(cube, kept or Kept())

    def read(
        self, names: Sequence[str], grid: NestedGrid, window: Window, times: Sequence[int], method: Resampling = "auto"
    ) -> F32:
        """Resample variables and times, sharing one set of weights.

        Parameters
        ----------
        names : sequence of str
            Variables, all of them with a time axis or none.
        grid : NestedGrid
            Target grid; only its lattice and ratio matter.
        window : Window
            Its pixels, in global indices.
        times : sequence of int
            Positions on the time axis; empty for variables without one.
        method : str
            Kernel; `auto` takes the variable's own if it names one, else the area average where pixels are at least
            `AVERAGED_FROM` times the source's, and cubic below.

        Returns
        -------
        ndarray of float32, (variable, time, y, x)
            With one time where the variable has none.
        """
        steps: tuple[int | None, ...] = tuple(times) or (None,)
        out = np.empty((len(names), len(steps), *window.shape), np.float32)
        kernels = [self._choose(method, name, grid) for name in names]
        for kernel in dict.fromkeys(kernels):
            places = [(n, t) for n, k in enumerate(kernels) if k == kernel for t in range(len(steps))]

            def fields(need: Window, places: list[tuple[int, int]] = places) -> Iterator[F32]:
                for n, t in places:
                    yield self.pixels.read(names[n], need, steps[t])

            for block, k, part in self._resample(fields, grid, window, kernel):
                out[(*places[k], *block.relative_to(window).slices)] = part
        return out

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
                value = self.pixels.read(name, need, time)
                known = np.isfinite(value)
                total += np.where(known, weights[time] * value, 0.0)
                share += weights[time] * known
            whole = sum(weights[time] for time in sorted(weights))
            with np.errstate(invalid="ignore", divide="ignore"):
                yield np.where(share > LEAST_SHARE * whole, total * (whole / share), np.nan).astype(np.float32)

        out = np.empty(window.shape, np.float32)
        for block, _, part in self._resample(fields, grid, window, self._choose(method, name, grid)):
            out[block.relative_to(window).slices] = part
        return out

    def _choose(self, method: Resampling, name: str, grid: NestedGrid) -> Method:
        """Return the kernel that is meant."""
        variable = self.cube.variables.get(name)
        if method == "auto" and variable is not None and variable.resampling in _NAMED:
            return _NAMED[variable.resampling]
        if method != "auto":
            return method
        return "average" if max(self.resampler.scales(grid.ratio)) >= AVERAGED_FROM else "cubic"

    def _resample(
        self, fields: Fields, grid: NestedGrid, window: Window, method: Method
    ) -> Iterator[tuple[Window, int, F32]]:
        """Resample fields, block by block; each with its block and its number."""
        for block in blocks(window, math.prod(self.resampler.scales(grid.ratio))):
            job = self.resampler.job(grid.ratio, block, method)
            for n, field in enumerate(fields(job.need)):
                yield block, n, job(field)


def blocks(window: Window, scale: float) -> Iterator[Window]:
    """Cut a window into parts that need about `BLOCK_PX` source pixels each, `scale` of them a pixel."""
    if window.size * scale <= BLOCK_PX:
        yield window
        return
    side = max(1, int(math.sqrt(BLOCK_PX / scale)))
    for y0 in range(window.y0, window.y1, side):
        for x0 in range(window.x0, window.x1, side):
            yield Window(y0, min(y0 + side, window.y1), x0, min(x0 + side, window.x1))


def nested_average(fill: Fill, count: int, fine: int, grid: NestedGrid, window: Window) -> F32:
    """Return area averages, on a coarser nested grid, of what is made on a finer one; in blocks.

    Parameters
    ----------
    fill : callable
        ``fill(window)`` returns `count` fields ``(y, x)`` at ratio `fine`.
    count : int
        Fields that it makes.
    fine : int
        Ratio of the finer grid.
    grid : NestedGrid
        The coarser grid.
    window : Window
        Its pixels, in global indices.

    Returns
    -------
    ndarray of float32, (count, y, x)
        Averages over what is not missing; NaN where the fine pixel in the middle is.
    """
    out = np.empty((count, *window.shape), np.float32)
    for block in blocks(window, (fine / grid.ratio) ** 2):
        rows = axis_weights(np.arange(block.y0, block.y1 + 1) * fine / grid.ratio, "average")
        cols = axis_weights(np.arange(block.x0, block.x1 + 1) * fine / grid.ratio, "average")
        (y0, y1), (x0, x1) = rows.reach, cols.reach
        for n, field in enumerate(fill(Window(y0, y1, x0, x1))):
            out[(n, *block.relative_to(window).slices)] = resample(field, y0, x0, rows, cols, coarsen=True)
    return out
