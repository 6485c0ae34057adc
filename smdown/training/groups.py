"""Samples as tensors, and the groups of them that go through a network together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from smdown.networks import Placement
from smdown.networks.base import crop

STATION_BATCH = 128


@dataclass(frozen=True, eq=False)
class Group:
    """Samples of one label and resolution that go through a network together.

    Parameters
    ----------
    label : str
        Kind of the label.
    resolution : int
        Nominal pixel size.
    fine, sequence, place
        Inputs of a network; `fine` carries `radius` pixels around the core.
    radius : int
        Pixels around the core.
    target : Tensor
        Standardised, NaN where missing: ``(n, layer)`` for cell means, ``(n, layer, y, x)`` for pixels.
    mask : Tensor
        bool, ``(n, y, x)``: pixels whose required drivers are all there.
    weight : float
        Share in the step's loss.
    """

    label: str
    resolution: int
    fine: Tensor
    sequence: Tensor
    place: Placement
    radius: int
    target: Tensor
    mask: Tensor
    weight: float = 1.0

    def to(self, device: torch.device | str) -> Group:
        """Return the same group on another device; a GPU copies it from page-locked memory, while work goes on."""
        gpu = torch.device(device).type == "cuda"

        def moved(tensor: Tensor) -> Tensor:
            return (tensor.pin_memory() if gpu and tensor.device.type == "cpu" else tensor).to(device, non_blocking=gpu)

        place = Placement(*(moved(tensor) for tensor in vars(self.place).values()))
        return replace(
            self, fine=moved(self.fine), sequence=moved(self.sequence), place=place, target=moved(self.target),
            mask=moved(self.mask),
        )  # fmt: skip

    def emptied(self) -> Group:
        """Return the group without its samples."""
        none = {name: getattr(self, name)[:0] for name in ("fine", "sequence", "target", "mask")}
        place = Placement(*(t if t.dim() == 1 else t[:0] for t in vars(self.place).values()))
        return replace(self, place=place, **none)


@dataclass(frozen=True, eq=False)
class SampleSet:
    """All samples of one label, resolution and role; see `Group` for the tensors.

    Parameters
    ----------
    cells, day : Tensor
        Cell ``(n, 2)`` and number of the day ``(n,)`` of each sample.
    station : Tensor
        Number of the station, -1 for cells.
    """

    label: str
    resolution: int
    ratio: int
    radius: int
    share: float
    fine: Tensor
    sequence: Tensor
    y_index: Tensor
    y_weight: Tensor
    x_index: Tensor
    x_weight: Tensor
    target: Tensor
    mask: Tensor
    cells: Tensor
    day: Tensor
    station: Tensor

    def __len__(self) -> int:
        return len(self.day)

    @property
    def pixels(self) -> int:
        """Core pixels of one sample."""
        return self.mask.shape[1] * self.mask.shape[2]

    def take(self, index: Tensor) -> SampleSet:
        """Return some of the samples as a set."""
        per_sample = ["fine", "sequence", "y_weight", "x_weight", "target", "mask", "cells", "day", "station"]
        per_sample += [name for name in ("y_index", "x_index") if getattr(self, name).dim() == 2]
        return replace(self, **{name: getattr(self, name)[index] for name in per_sample})

    def within(self, radius: int) -> SampleSet:
        """Return the same samples with just `radius` pixels around the core, features last in memory."""
        fine = crop(self.fine, self.radius - radius).contiguous(memory_format=torch.channels_last)
        return replace(self, fine=fine, radius=radius)

    def group(self, index: Tensor, weight: float = 1.0) -> Group:
        """Return some of the samples."""
        y, x = (at if at.dim() == 1 else at[index] for at in (self.y_index, self.x_index))
        place = Placement(y, self.y_weight[index], x, self.x_weight[index])
        return Group(
            self.label, self.resolution, self.fine[index], self.sequence[index], place, self.radius,
            self.target[index], self.mask[index], weight,
        )  # fmt: skip

    def draws(self, order: Tensor, steps: int, rank: int, world: int) -> Iterator[Group | None]:
        """Yield a rank's part, be it empty, of every step of an epoch; None where a step has no sample."""
        for chosen in order.tensor_split(steps):
            yield self.group(chosen[rank::world]) if len(chosen) else None

    def groups(self, batch_pixels: int) -> Iterator[Group]:
        """Yield all samples in order, in batches of about so many pixels."""
        step = batch_size(self, batch_pixels)
        for start in range(0, len(self), step):
            yield self.group(torch.arange(start, min(start + step, len(self))))


class Countable(Protocol):
    """Whatever knows how large its samples are."""

    @property
    def pixels(self) -> int:
        """Core pixels of one sample."""
        ...


def batch_size(samples: Countable, batch_pixels: int) -> int:
    """Return how many samples make a batch."""
    return STATION_BATCH if samples.pixels == 1 else max(1, batch_pixels // samples.pixels)
