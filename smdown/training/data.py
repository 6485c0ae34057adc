"""The batches that an epoch is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
import torch.distributed
from pytorch_lightning import LightningDataModule

from smdown.training.ahead import Ahead
from smdown.training.config import TrainingConfig
from smdown.training.groups import STATION_BATCH, Group, SampleSet, batch_size
from smdown.training.stream import Streamed

__all__ = ["STATION_BATCH", "Group", "SampleSet", "Samples", "TrainBatches", "ValidationBatches", "batch_size"]

TrainingSet = SampleSet | Streamed


class HasSamples(Protocol):
    """What `smdown.training.collect.Collected` offers here."""

    @property
    def training(self) -> list[TrainingSet]:
        """Sets that are trained on."""
        ...

    @property
    def validation(self) -> list[SampleSet]:
        """Sets that are held out; read when first asked for."""
        ...


@dataclass
class TrainBatches:
    """Steps of an epoch: each mixes all labels and resolutions; which samples is a function of seed and epoch alone.

    With several processes each gets its part of every step: every process the same groups, some of them empty.

    Parameters
    ----------
    sets : list
        Samples in memory, or streamed.
    config : TrainingConfig
        Sizes.
    seed : int
        Of the order.
    epoch : int
        The next epoch; counts up by itself.
    rank, world : int
        Which of how many processes this is.
    current : callable, optional
        Says which epoch is next, instead of `epoch`.
    waited_s : float
        Time that steps waited for samples that are read meanwhile.
    """

    sets: list[TrainingSet]
    config: TrainingConfig
    seed: int
    epoch: int = field(default=0)
    rank: int = field(default=0)
    world: int = field(default=1)
    current: Callable[[], int] | None = field(default=None)
    waited_s: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.sets = [s for s in self.sets if len(s)]
        counts = [self._per_epoch(s) / batch_size(s, self.config.batch_pixels) for s in self.sets if s.pixels > 1]
        counts = counts or [len(s) / STATION_BATCH for s in self.sets]
        self.steps = max(1, int(np.ceil(max(counts))))

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Group]]:
        epoch = self.epoch if self.current is None else self.current()
        self.epoch = epoch + 1
        steps = self._steps(epoch)
        if not any(isinstance(s, Streamed) for s in self.sets):
            yield from steps
            return
        with Ahead(steps) as ahead:
            yield from ahead
            self.waited_s += ahead.waited_s

    def _steps(self, epoch: int) -> Iterator[list[Group]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        parts = [self._draws(s, epoch, generator) for s in self.sets]
        total: dict[str, float] = {}
        for s in self.sets:
            total[s.label] = total.get(s.label, 0.0) + self._emphasis(s)
        share = [s.share * self._emphasis(s) / total[s.label] for s in self.sets]
        for groups in zip(*parts, strict=True):
            yield [
                replace(group, weight=group.weight * part)
                for group, part in zip(groups, share, strict=True)
                if group is not None
            ]

    def _per_epoch(self, samples: TrainingSet) -> int:
        if samples.pixels == 1:
            return self.steps * STATION_BATCH
        return max(1, min(len(samples), self.config.pixels_per_epoch // samples.pixels))

    def _emphasis(self, samples: TrainingSet) -> float:
        """Return a resolution's part in its label's loss: the root of its samples, so that a few do not rule."""
        return float(np.sqrt(self._per_epoch(samples) / self.steps))

    def _draws(self, samples: TrainingSet, epoch: int, generator: torch.Generator) -> Iterator[Group | None]:
        """Return the samples of every step; none in some steps where there are fewer samples than steps."""
        n = self._per_epoch(samples)
        if isinstance(samples, Streamed):
            return samples.draws(epoch, n, self.steps, self.rank, self.world)
        rounds = -(-n // len(samples))
        order = torch.cat([torch.randperm(len(samples), generator=generator) for _ in range(rounds)])[:n]
        return samples.draws(order, self.steps, self.rank, self.world)


@dataclass(frozen=True)
class ValidationBatches:
    """All held-out samples, in order, the same in every process; they are read when the first of them is asked for.

    It has no length, since that would read them before training starts.
    """

    sets: Callable[[], list[SampleSet]]
    batch_pixels: int

    def __iter__(self) -> Iterator[list[Group]]:
        for samples in self.sets():
            for group in samples.groups(self.batch_pixels):
                yield [group]


class Samples(LightningDataModule):
    """All sample sets of a training.

    Parameters
    ----------
    data : Collected
        Samples by role.
    radius : int
        Pixels around the core that the network needs.
    config : TrainingConfig
        Sizes of batches and epochs.
    seed : int
        Order of samples.
    """

    def __init__(self, data: HasSamples, radius: int, config: TrainingConfig, seed: int) -> None:
        super().__init__()
        self.data, self.radius, self.config, self.seed = data, radius, config, seed
        self.training: list[TrainingSet] = [samples.within(radius) for samples in data.training]
        self._validation: list[SampleSet] | None = None

    @property
    def validation(self) -> list[SampleSet]:
        """Held-out samples."""
        if self._validation is None:
            self._validation = [samples.within(self.radius) for samples in self.data.validation]
        return self._validation

    def train_dataloader(self) -> TrainBatches:
        """Return the training steps: of this process, from the epoch that the trainer is at."""
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if several else (0, 1)
        current = None if self.trainer is None else (lambda: int(self.trainer.current_epoch))  # type: ignore[union-attr]
        return TrainBatches(self.training, self.config, self.seed, rank=rank, world=world, current=current)

    def val_dataloader(self) -> ValidationBatches:
        """Return the validation batches: all of them in every process, so that every one knows the score."""
        return ValidationBatches(lambda: self.validation, 4 * self.config.batch_pixels)

    def transfer_batch_to_device(self, batch: list[Group], device: torch.device, dataloader_idx: int) -> list[Group]:
        """Move the groups of a step."""
        del dataloader_idx
        return [group.to(device) for group in batch]
