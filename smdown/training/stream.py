"""Samples that are read while training runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from smdown.training.blocks import Block, Recipe, cut, read_block
from smdown.training.context import DriverLoader
from smdown.training.groups import Group
from smdown.training.index import Patches, PatchIndex
from smdown.training.permute import Index
from smdown.training.shelf import Shelf

MIXES_AHEAD = 2
"""Mixes that are asked for at once: the one at hand and the next."""


@dataclass(frozen=True, eq=False)
class Streamed:
    """All training samples of one label and resolution, on disk.

    Parameters
    ----------
    recipe : Recipe
        How samples are made.
    index : PatchIndex
        Which samples there are.
    loader : DriverLoader
        Fills windows.
    shelf : Shelf
        Holds what was read; shared by all sets.
    radius : int
        Pixels around the core that samples carry.
    """

    recipe: Recipe
    index: PatchIndex
    loader: DriverLoader
    shelf: Shelf
    radius: int

    @property
    def label(self) -> str:
        """Kind of the label."""
        return self.recipe.label.kind

    @property
    def resolution(self) -> int:
        """Nominal pixel."""
        return self.recipe.resolution

    @property
    def share(self) -> float:
        """Weight of the label."""
        return self.recipe.label.weight

    @property
    def pixels(self) -> int:
        """Core pixels of one sample."""
        return self.index.size**2

    def __len__(self) -> int:
        return len(self.index)

    def within(self, radius: int) -> Streamed:
        """Return the same samples with fewer pixels around; what was read is shared."""
        return replace(self, radius=radius)

    def draws(self, epoch: int, count: int, steps: int, rank: int, world: int) -> Iterator[Group | None]:
        """Yield a rank's part, be it empty, of every step of an epoch; None where a step has no sample.

        Epochs cut the endless order of passes into parts of `count` samples.
        """
        numbers = self.index.at(np.arange(epoch * count, (epoch + 1) * count))
        parts = np.array_split(numbers, steps)
        starts = epoch * count + np.cumsum([0, *map(len, parts)])
        self._ask(self._mine(parts[0], rank, world), int(starts[0]))  # of all sets, before any is waited for
        return (
            self._part(chosen, int(start), rank, world) if len(chosen) else None
            for chosen, start in zip(parts, starts, strict=False)
        )

    def _mine(self, chosen: Index, rank: int, world: int) -> Patches:
        """Return a rank's patches, or one where it has none."""
        mine = chosen[rank::world]
        return self.index.locate(mine if len(mine) else chosen[:1])

    def _ask(self, patches: Patches, position: int) -> list[int]:
        now = list(dict.fromkeys(patches.unit.tolist()))
        ahead = [u for u in self.index.upcoming(position, MIXES_AHEAD) if u not in now]
        owner = id(self.index)
        self.shelf.want(owner, {(owner, u): _Job(self, u) for u in now}, {(owner, u): _Job(self, u) for u in ahead})
        return now

    def _part(self, chosen: Index, position: int, rank: int, world: int) -> Group:
        patches = self._mine(chosen, rank, world)
        blocks = {u: self.shelf.get((id(self.index), u)) for u in self._ask(patches, position)}
        group = cut(self.recipe, self.index, patches, blocks, self.radius)
        return group if rank < len(chosen) else group.emptied()


@dataclass(frozen=True)
class _Job:
    """Reads one unit."""

    streamed: Streamed
    unit: int

    def __call__(self) -> Block:
        own = self.streamed
        return read_block(own.recipe, own.loader, own.index.unit(self.unit))
