"""Drivers of samples, in memory: around cells and stations, bounded by the configuration, never by the extent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from smdown.grid import NestedGrid, Window, nominal_ratio
from smdown.networks.placement import pixel_placement
from smdown.training.context import DriverLoader, Field, TrainContext
from smdown.training.labels import READ_PIXELS, read_groups
from smdown.training.splits import Cells

CACHED_SEQUENCES = 256
Index = npt.NDArray[np.int64]
Placing = tuple[Index, Field, Index, Field]
"""``y_index, y_weight, x_index, x_weight`` of `smdown.networks.Placement`; weights ``(n, size)``."""


@dataclass(frozen=True)
class Request:
    """Windows to read at one resolution.

    Parameters
    ----------
    ratio : int
        Pixels along a cell.
    corner : ndarray
        ``(n, 2)``: global row and column of the first core pixel of each sample.
    size : int
        Core pixels along one side.
    radius : int
        Pixels wanted beyond the core.
    day : ndarray
        ``(n,)``: number of the day.
    cells : ndarray
        ``(n, 2)``: the cell that holds each sample.
    coarsen : int
        Sequence pixels that are averaged along each side before the recurrence sees them.
    """

    ratio: int
    corner: Index
    size: int
    radius: int
    day: Index
    cells: Cells
    coarsen: int = 1

    def blocks(self) -> Iterator[tuple[Window, Index]]:
        """Yield windows (halo included) that are read at once, with the numbers of their samples.

        Where several cells fit in one read they share it; else each sample's own window is read.
        """
        side = READ_PIXELS // self.ratio
        key = self.cells // side if side > 1 else self.corner
        _, group = np.unique(key, axis=0, return_inverse=True)
        order = np.argsort(group.reshape(-1), kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(group.reshape(-1)[order])) + 1):
            if len(members):
                (y0, x0), (y1, x1) = self.corner[members].min(axis=0), self.corner[members].max(axis=0) + self.size
                yield Window(int(y0), int(y1), int(x0), int(x1)).expand(self.radius), members


@dataclass
class Drivers:
    """Drivers of the samples of one request.

    Parameters
    ----------
    fine : ndarray
        ``(n, feature, y + 2R, x + 2R)``, in the drivers' own units.
    sequence : ndarray
        ``(n, day, feature, Y, X)``: the sequence pixels that the samples lie between.
    place : tuple of ndarray
        Where the pixels lie in it.
    """

    fine: Field
    sequence: Field
    place: Placing


class DriverReader:
    """Reads the drivers of requests: static ones once per window, sequences once per window and day.

    Parameters
    ----------
    loader : DriverLoader
        Fills windows.
    context : TrainContext
        The region.
    days : tuple of str
        The sampled days, which requests count.
    cells : ndarray
        All cells that requests may name.
    """

    def __init__(self, loader: DriverLoader, context: TrainContext, days: tuple[str, ...], cells: Cells) -> None:
        self.loader, self.context = loader, context
        self.days = [np.datetime64(day, "ns") for day in days]
        names = list(context.spec.names)
        self.n_fine = len(names)
        self.static_at = [names.index(name) for name in context.spec.static_names]
        self.dynamic_at = [names.index(name) for name in context.spec.dynamic_names]
        self.sequences = SequenceReader(loader, context, self.days, cells)

    def read(self, request: Request, tick: Callable[[int], None]) -> Drivers:
        """Return the drivers of every sample; `tick` hears how many were read."""
        side = request.size + 2 * request.radius
        fine = np.empty((len(request.day), self.n_fine, side, side), dtype=np.float32)
        grid = self.context.grid(request.ratio)
        for window, members in request.blocks():
            static = read_static(self.loader, grid, window) if self.static_at else None
            for day in np.unique(request.day[members]):
                block = self._block(grid, window, int(day), static)
                now = members[request.day[members] == day]
                for i, (y, x) in zip(now, request.corner[now] - request.radius - (window.y0, window.x0), strict=True):
                    fine[i] = block[:, y : y + side, x : x + side]
                tick(len(now))
        return Drivers(fine, *self.sequences.read(request))

    def _block(self, grid: NestedGrid, window: Window, day: int, static: Field | None) -> Field:
        block = np.empty((self.n_fine, *window.shape), dtype=np.float32)
        if static is not None:
            block[self.static_at] = static
        if self.dynamic_at:
            block[self.dynamic_at] = self.loader.dynamic(grid, window, self.days[day])
        return block


def read_static(loader: DriverLoader, grid: NestedGrid, window: Window) -> Field:
    """Return static drivers; outside of the region, where they are not stored, the last pixel is repeated.

    That concerns the surroundings of cells at the region's edge, in training only: prediction reads them.
    """
    inside = window.intersect(grid.window)
    assert inside is not None
    y, x = inside.y0 - window.y0, inside.x0 - window.x0
    around = [(0, 0), (y, window.y1 - inside.y1), (x, window.x1 - inside.x1)]
    return np.pad(loader.static(grid, inside), around, mode="edge")


class SequenceReader:
    """Reads the part of the sequence grid that each sample lies in."""

    def __init__(
        self, loader: DriverLoader, context: TrainContext, days: Sequence[np.datetime64], cells: Cells
    ) -> None:
        self.loader, self.days, self.spec = loader, days, context.spec
        self.ratio = sequence_ratio(context)
        self.window_of: dict[tuple[int, int], Window] = {}
        once = np.unique(cells, axis=0)
        for window, members in read_groups(once, self.ratio or 1):
            self.window_of |= {(int(y), int(x)): window for y, x in once[members]}
        self.cache: dict[tuple[Window, int, int], Field] = {}

    def read(self, request: Request) -> tuple[Field, Placing]:
        """Return ``(n, day, feature, Y, X)`` and where the pixels of each sample lie in it."""
        n = len(request.day)
        if not self.ratio:
            index, weight = np.zeros(request.size, np.int64), np.zeros((n, request.size), np.float32)
            return np.zeros((n, 0, 0, 2, 2), np.float32), (index, weight, index, weight)
        (y0, y_index, y_weight), (x0, x_index, x_weight) = (
            placing(request.corner[:, axis], request.size, request.ratio, self.ratio // request.coarsen)
            for axis in (0, 1)
        )
        span_y, span_x = int(y_index.max()) + 2, int(x_index.max()) + 2
        shape = (n, self.spec.sequence.days, len(self.spec.sequence_names), span_y, span_x)
        out = np.empty(shape, dtype=np.float32)
        for i in range(n):
            window = self.window_of[int(request.cells[i, 0]), int(request.cells[i, 1])]
            first = window.refine(self.ratio // request.coarsen).expand(1)
            y, x = y0[i] - first.y0, x0[i] - first.x0
            series = self._series(window, int(request.day[i]), request.coarsen)
            out[i] = series[:, :, y : y + span_y, x : x + span_x]
        return out, (y_index, y_weight, x_index, x_weight)

    def _series(self, cells: Window, day: int, coarsen: int) -> Field:
        key = cells, day, coarsen
        if key not in self.cache:
            if len(self.cache) >= CACHED_SEQUENCES:
                self.cache.clear()
            self.cache[key] = coarsened(self.loader.sequence(cells, self.days[day]), coarsen)
        return self.cache[key]


def placing(start: Index, size: int, ratio: int, sequence_ratio: int) -> tuple[Index, Index, Field]:
    """Place the pixels of samples between those of the sequence, along one axis.

    Returns
    -------
    first : ndarray
        ``(n,)``: each sample's first sequence pixel.
    index, weight : ndarray
        `smdown.networks.placement.pixel_placement` of each sample, ``(n, size)``; the index counts from `first`, and is
        ``(size,)`` where all samples have the same.
    """
    pixel = start[:, None] + np.arange(size)
    found, share = pixel_placement(torch.from_numpy(pixel), ratio, 0, sequence_ratio)
    index, weight = found.numpy(), share.numpy()
    first = index[:, 0].copy()
    index = index - first[:, None]
    same = len(index) > 0 and bool((index == index[0]).all())
    return first, index[0] if same else index, weight


def coarsened(series: Field, step: int) -> Field:
    """Return the means of ``step x step`` pixels of whole cells and one pixel around them; NaN does not count.

    The pixels around the cells stand for the whole blocks that they belong to.
    """
    if step == 1:
        return series
    wide = np.pad(series, [(0, 0), (0, 0), (step - 1, step - 1), (step - 1, step - 1)], constant_values=np.nan)
    blocks = wide.reshape(*wide.shape[:2], wide.shape[2] // step, step, wide.shape[3] // step, step)
    known = np.isfinite(blocks)
    count = known.sum(axis=(3, 5))
    total = np.where(known, blocks, 0).sum(axis=(3, 5))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def sequence_ratio(context: TrainContext) -> int:
    """Return the pixels along a cell of the sequence grid, 0 if there is no sequence."""
    sequence = context.spec.sequence
    return nominal_ratio(context.lattice, sequence.resolution) if sequence is not None else 0
