"""What is read at once while training streams: one unit of an index, standardised, of which patches are cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from smdown.grid import Window
from smdown.networks import Placement
from smdown.training.config import LabelConfig
from smdown.training.context import DriverLoader, Field, TrainContext
from smdown.training.cubic import MARGIN
from smdown.training.groups import Group
from smdown.training.index import Patches, PatchIndex, Unit
from smdown.training.labels import bounding
from smdown.training.permute import Index
from smdown.training.samples import Request, coarsened, placing, read_static, sequence_ratio
from smdown.training.standardise import Scaler
from smdown.training.targets import cubic_patch, read_product

MINIMUM_VALID = 0.5
"""Share of a cell's pixels that must have all required drivers for its mean to be a label."""


@dataclass(frozen=True)
class Recipe:
    """How the samples of one label and resolution are made.

    Parameters
    ----------
    context : TrainContext
        The region.
    label : LabelConfig
        Of what.
    resolution, ratio : int
        Nominal pixel, and pixels along a cell.
    size, radius : int
        Core pixels along a sample, and pixels around it.
    coarsen : int
        Sequence pixels that are averaged along each side.
    days : tuple of str
        ISO days, which samples count.
    fine, sequence, target : Scaler
        Statistics of all drivers, the sequence and the layers.
    """

    context: TrainContext
    label: LabelConfig
    resolution: int
    ratio: int
    size: int
    radius: int
    coarsen: int
    days: tuple[str, ...]
    fine: Scaler
    sequence: Scaler
    target: Scaler

    def static_at(self) -> list[int]:
        """Channels that no day changes."""
        return [self.context.spec.names.index(name) for name in self.context.spec.static_names]

    def dynamic_at(self) -> list[int]:
        """Channels of a day."""
        return [self.context.spec.names.index(name) for name in self.context.spec.dynamic_names]

    def required(self, at: list[int]) -> list[int]:
        """Return which of some channels a pixel must have."""
        drivers = self.context.spec.drivers
        return [k for k, channel in enumerate(at) if getattr(drivers[channel], "required", True)]


@dataclass(frozen=True, eq=False)
class Block:
    """One unit in memory.

    Parameters
    ----------
    window : Window
        Its core pixels.
    cells : Window
        The smallest window of cells that holds its cells.
    days : ndarray
        Numbers of its days.
    static, dynamic : Tensor
        Standardised drivers with `radius` pixels around, ``(feature, y, x)`` and ``(day, feature, y, x)``.
    known : Tensor
        bool, ``(day, y, x)``: core pixels that have all required drivers.
    sequence : Tensor
        Standardised, ``(day, step, feature, Y, X)``, one sequence pixel beyond `cells`.
    label : ndarray
        ``(layer, day, y, x)``: the coarse product on `cells` and two more around, or the finer one on `window`.
    """

    window: Window
    cells: Window
    days: Index
    static: Tensor
    dynamic: Tensor
    known: Tensor
    sequence: Tensor
    label: Field

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        tensors = (self.static, self.dynamic, self.known, self.sequence)
        return sum(t.numel() * t.element_size() for t in tensors) + self.label.nbytes


def read_block(recipe: Recipe, loader: DriverLoader, unit: Unit) -> Block:
    """Read a unit: static drivers once, those of a day once for each of its days."""
    context, spec = recipe.context, recipe.context.spec
    grid, cells = context.grid(recipe.ratio), bounding(unit.cells)
    core = cells.refine(recipe.ratio)
    wide = core.expand(recipe.radius)
    days = [np.datetime64(recipe.days[d], "ns") for d in unit.days]
    static_at, dynamic_at = recipe.static_at(), recipe.dynamic_at()
    static = read_static(loader, grid, wide) if static_at else np.empty((0, *wide.shape), np.float32)
    dynamic = np.empty((len(days), len(dynamic_at), *wide.shape), np.float32)
    for d, day in enumerate(days if dynamic_at else ()):
        dynamic[d] = loader.dynamic(grid, wide, day)
    inner = core.relative_to(wide).slices
    known = np.isfinite(static[(recipe.required(static_at), *inner)]).all(axis=0)
    known = known & np.isfinite(dynamic[:, recipe.required(dynamic_at)][(..., *inner)]).all(axis=1)
    ratio = sequence_ratio(context)
    series = [coarsened(loader.sequence(cells, day), recipe.coarsen) for day in days] if ratio else []
    names = len(spec.sequence_names)
    sequence = np.stack(series) if series else np.zeros((len(days), 0, names, 2, 2), np.float32)
    return Block(
        core, cells, unit.days,
        _part(recipe.fine, static_at).forward(torch.from_numpy(static), 0),
        _part(recipe.fine, dynamic_at).forward(torch.from_numpy(dynamic), 1),
        torch.from_numpy(known),
        recipe.sequence.forward(torch.from_numpy(sequence), 2),
        _labels(recipe, loader, core, cells, days),
    )  # fmt: skip


def _labels(recipe: Recipe, loader: DriverLoader, core: Window, cells: Window, days: list[np.datetime64]) -> Field:
    context, label = recipe.context, recipe.label
    if label.kind == "gridded":
        found = [read_product(loader, context, label, recipe.ratio, core, day) for day in days]
        return np.stack(found, axis=1)
    wide = cells.expand(MARGIN)
    return np.stack(
        [np.stack([loader.coarse(y.source, y.variable, wide, day) for day in days]) for y in context.layers]
    )


def _part(scaler: Scaler, at: list[int]) -> Scaler:
    return Scaler(scaler.mean[at], scaler.std[at])


def cut(recipe: Recipe, index: PatchIndex, patches: Patches, blocks: dict[int, Block], radius: int) -> Group:
    """Return some patches as a group, each cut from the block of its unit.

    Parameters
    ----------
    radius : int
        Pixels around the core that are wanted, at most those that the blocks have.
    """
    n, size, side = len(patches), index.size, index.size + 2 * radius
    static, dynamic = _runs(recipe.static_at()), _runs(recipe.dynamic_at())
    fine = torch.empty(n, len(recipe.context.spec.names), side, side)
    mask = torch.empty(n, size, size, dtype=torch.bool)
    request = Request(index.ratio, patches.corner, size, radius, patches.day, patches.cells, recipe.coarsen)
    sequence, place = _sequences(recipe, request, patches, blocks)
    values = []
    for i, unit in enumerate(patches.unit.tolist()):
        block = blocks[unit]
        d = int(np.searchsorted(block.days, patches.day[i]))
        y, x = patches.corner[i] - (block.window.y0, block.window.x0)
        mask[i] = block.known[d, y : y + size, x : x + size]
        top, left = y + recipe.radius - radius, x + recipe.radius - radius
        wide = slice(top, top + side), slice(left, left + side)
        for to, part in static:
            fine[i, to] = block.static[(part, *wide)]
        for to, part in dynamic:
            fine[i, to] = block.dynamic[(d, part, *wide)]
        values.append(_target(recipe, block, request, i, d))
    target = torch.from_numpy(np.stack(values))
    shape = (1, -1) + (1,) * (target.dim() - 2)
    target = (target - recipe.target.mean.view(shape)) / recipe.target.std.view(shape)
    group = Group(recipe.label.kind, recipe.resolution, fine, sequence, place, radius, target, mask)
    return _without_holes(group)


def _runs(channels: list[int]) -> list[tuple[slice, slice]]:
    """Return which neighbouring channels are copied at once: where to, and from where."""
    starts = [k for k, channel in enumerate(channels) if k == 0 or channel != channels[k - 1] + 1]
    return [(slice(channels[a], channels[a] + b - a), slice(a, b)) for a, b in pairwise([*starts, len(channels)])]


def _without_holes(group: Group) -> Group:
    """Take the label from samples of which too many pixels lack drivers."""
    few = group.mask.sum(dim=(1, 2)) < MINIMUM_VALID * group.mask[0].numel()
    if not few.any():
        return group
    shape = (-1,) + (1,) * (group.target.dim() - 1)
    return replace(group, target=group.target.masked_fill(few.view(shape), float("nan")))


def _sequences(
    recipe: Recipe, request: Request, patches: Patches, blocks: dict[int, Block]
) -> tuple[Tensor, Placement]:
    ratio = sequence_ratio(recipe.context) // recipe.coarsen
    n, size = len(patches), request.size
    if not ratio:
        index, weight = torch.zeros(size, dtype=torch.int64), torch.zeros(n, size)
        return torch.zeros(n, 0, 0, 2, 2), Placement(index, weight, index, weight)
    (y0, y_index, y_weight), (x0, x_index, x_weight) = (
        placing(request.corner[:, axis], size, request.ratio, ratio) for axis in (0, 1)
    )
    span_y, span_x = int(y_index.max()) + 2, int(x_index.max()) + 2
    series = []
    for i, unit in enumerate(patches.unit.tolist()):
        block = blocks[unit]
        d = int(np.searchsorted(block.days, patches.day[i]))
        first = block.cells.refine(ratio).expand(1)
        y, x = y0[i] - first.y0, x0[i] - first.x0
        series.append(block.sequence[d, :, :, y : y + span_y, x : x + span_x])
    place = Placement(*(torch.from_numpy(a) for a in (y_index, y_weight, x_index, x_weight)))
    return torch.stack(series), place


def _target(recipe: Recipe, block: Block, request: Request, i: int, d: int) -> Field:
    kind = recipe.label.kind
    if kind == "gridded":
        y, x = request.corner[i] - (block.window.y0, block.window.x0)
        return np.asarray(block.label[:, d, y : y + request.size, x : x + request.size])
    y, x = request.cells[i] - (block.cells.y0, block.cells.x0)
    around = block.label[:, d, y : y + 2 * MARGIN + 1, x : x + 2 * MARGIN + 1]
    if kind == "cell_mean":
        return np.asarray(around[:, MARGIN, MARGIN])
    out = np.full((len(around), request.size, request.size), np.nan, dtype=np.float32)
    for n in np.flatnonzero(np.isfinite(around[:, MARGIN, MARGIN])):
        out[n] = cubic_patch(around[n], request, i)
    return out
