"""Sample sets as tensors, and the batches that an epoch is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from smdown.networks import Placement
from smdown.networks.base import crop
from smdown.training.config import TrainingConfig

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
        """Return the same group on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("fine", "sequence", "place", "target", "mask")}
        return replace(self, **moved)


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
        per_sample = (
            "fine", "sequence", "y_weight", "x_weight", "target", "mask", "cells", "day", "station",
        )  # fmt: skip
        return replace(self, **{name: getattr(self, name)[index] for name in per_sample})

    def within(self, radius: int) -> SampleSet:
        """Return the same samples with just `radius` pixels around the core, features last in memory."""
        fine = crop(self.fine, self.radius - radius).contiguous(memory_format=torch.channels_last)
        return replace(self, fine=fine, radius=radius)

    def group(self, index: Tensor, weight: float = 1.0) -> Group:
        """Return some of the samples."""
        place = Placement(self.y_index, self.y_weight[index], self.x_index, self.x_weight[index])
        return Group(
            self.label, self.resolution, self.fine[index], self.sequence[index], place, self.radius,
            self.target[index], self.mask[index], weight,
        )  # fmt: skip

    def groups(self, batch_pixels: int) -> Iterator[Group]:
        """Yield all samples in order, in batches of about so many pixels."""
        step = batch_size(self, batch_pixels)
        for start in range(0, len(self), step):
            yield self.group(torch.arange(start, min(start + step, len(self))))


def batch_size(samples: SampleSet, batch_pixels: int) -> int:
    """Return how many samples make a batch."""
    return STATION_BATCH if samples.pixels == 1 else max(1, batch_pixels // samples.pixels)


@dataclass
class TrainBatches:
    """Steps of an epoch: each mixes all labels and resolutions; which samples is a function of seed and epoch alone."""

    sets: list[SampleSet]
    config: TrainingConfig
    seed: int
    epoch: int = field(default=0)

    def __post_init__(self) -> None:
        self.sets = [s for s in self.sets if len(s)]
        counts = [self._per_epoch(s) / batch_size(s, self.config.batch_pixels) for s in self.sets if s.pixels > 1]
        counts = counts or [len(s) / STATION_BATCH for s in self.sets]
        self.steps = max(1, int(np.ceil(max(counts))))

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Group]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        self.epoch += 1
        draws = [self._draw(s, generator) for s in self.sets]
        total: dict[str, float] = {}
        for s in self.sets:
            total[s.label] = total.get(s.label, 0.0) + self._emphasis(s)
        for step in range(self.steps):
            yield [
                s.group(draw[step], s.share * self._emphasis(s) / total[s.label])
                for s, draw in zip(self.sets, draws, strict=True)
                if len(draw[step])
            ]

    def _per_epoch(self, samples: SampleSet) -> int:
        if samples.pixels == 1:
            return self.steps * STATION_BATCH
        return max(1, min(len(samples), self.config.pixels_per_epoch // samples.pixels))

    def _emphasis(self, samples: SampleSet) -> float:
        """Return a resolution's part in its label's loss: the root of its samples, so that a few do not rule."""
        return float(np.sqrt(self._per_epoch(samples) / self.steps))

    def _draw(self, samples: SampleSet, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return the samples of every step; none in some steps where there are fewer samples than steps."""
        n = self._per_epoch(samples)
        rounds = -(-n // len(samples))
        order = torch.cat([torch.randperm(len(samples), generator=generator) for _ in range(rounds)])[:n]
        return order.tensor_split(self.steps)


@dataclass(frozen=True)
class ValidationBatches:
    """All held-out samples, in order."""

    sets: list[SampleSet]
    batch_pixels: int

    def __len__(self) -> int:
        return sum(-(-len(s) // batch_size(s, self.batch_pixels)) for s in self.sets)

    def __iter__(self) -> Iterator[list[Group]]:
        for samples in self.sets:
            for group in samples.groups(self.batch_pixels):
                yield [group]


class Samples(LightningDataModule):
    """All sample sets of a training.

    Parameters
    ----------
    training, validation : list of SampleSet
        By role.
    radius : int
        Pixels around the core that the network needs.
    config : TrainingConfig
        Sizes of batches and epochs.
    seed : int
        Order of samples.
    """

    def __init__(
        self,
        training: list[SampleSet],
        validation: list[SampleSet],
        radius: int,
        config: TrainingConfig,
        seed: int,
    ) -> None:
        super().__init__()
        self.training = [samples.within(radius) for samples in training]
        self.validation = [samples.within(radius) for samples in validation]
        self.config, self.seed = config, seed

    def train_dataloader(self) -> TrainBatches:
        """Return the training steps."""
        return TrainBatches(self.training, self.config, self.seed)

    def val_dataloader(self) -> ValidationBatches:
        """Return the validation batches."""
        return ValidationBatches(self.validation, 4 * self.config.batch_pixels)

    def transfer_batch_to_device(self, batch: list[Group], device: torch.device, dataloader_idx: int) -> list[Group]:
        """Move the groups of a step."""
        del dataloader_idx
        return [group.to(device) for group in batch]
