"""What every reader of grids prepares: a checked description of the cube, and the blocks that fill it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from smdown.cubes import CubeSpec, Variable
from smdown.grid import NestedGrid, RasterGrid, Window
from smdown.sources.aside import FileError, SetAside
from smdown.sources.config import Range
from smdown.sources.items import Item
from smdown.sources.values import FillWatch, Float32, Mean, RangeWatch

_CHUNK, _SHARD_CHUNKS = 256, 4


@dataclass(frozen=True)
class Block:
    """Values for whole shards of one variable.

    Parameters
    ----------
    variable : str
        Name in the cube.
    window : Window
        Where, counted from the cube's first pixel.
    time : int, optional
        Position on the time axis.
    values : ndarray
        ``(y, x)``, NaN for missing.
    """

    variable: str
    window: Window
    time: int | None
    values: Float32


@dataclass(frozen=True, order=True)
class Part:
    """What one task fills: some days of some shards; whole objects of the cube, which no other task writes.

    Parameters
    ----------
    times : tuple of int
        First position on the time axis and the one after the last; ``(0, 1)`` for a cube without time.
    shards : tuple of int
        The same of the shards, counted row by row.
    """

    times: tuple[int, int]
    shards: tuple[int, int]

    @property
    def key(self) -> str:
        """Name that sorts in order."""
        return "t{:05d}-{:05d}_s{:05d}-{:05d}".format(*self.times, *self.shards)


@dataclass(kw_only=True)
class PreparedGrid(ABC):
    """A source that has passed its checks and knows its cube; nothing has been written yet.

    Parameters
    ----------
    raster : RasterGrid
        The part of the source's own grid that is kept.
    variables : tuple of Variable
        Arrays of the cube.
    times : tuple of str
        Its days.
    inputs : str
        What is read, in words.
    notes : list of str
        Things that the user should hear of; readers may add to it while they read.
    nested : NestedGrid, optional
        Where the grid is a lattice: which cells.
    aside : SetAside
        Files that cannot be used.
    part : Part, optional
        What is to be filled; everything by default.
    used : set of str
        Files that were read.
    watches : dict
        What was seen of undeclared fills and other units, by file and variable.
    """

    times_a_part: ClassVar[int] = 32
    shards_a_part: ClassVar[int] = 1 << 20

    raster: RasterGrid
    variables: tuple[Variable, ...]
    times: tuple[str, ...]
    inputs: str
    notes: list[str] = field(default_factory=list)
    nested: NestedGrid | None = None
    aside: SetAside = field(default_factory=SetAside)
    part: Part | None = None
    used: set[str] = field(default_factory=set)
    watches: dict[tuple[str, str], FillWatch | RangeWatch] = field(default_factory=dict)

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield every block of the part once."""

    @abstractmethod
    def without(self, item: str) -> Self:
        """Return the same source without a file that proved unusable while it was read."""

    # -- parts -----------------------------------------------------------------------------------------------------

    @property
    def whole(self) -> Part:
        """All of the cube."""
        return Part((0, max(1, len(self.times))), (0, math.prod(self._tiles)))

    @property
    def _tiles(self) -> tuple[int, int]:
        shard, _ = shard_sides(self.raster)
        return -(-self.raster.height // shard), -(-self.raster.width // shard)

    def parts(self) -> tuple[Part, ...]:
        """Return the parts that the work is cut into, alike for alike inputs."""
        (_, times), (_, shards) = self.whole.times, self.whole.shards
        return tuple(
            Part((t, min(t + self.times_a_part, times)), (s, min(s + self.shards_a_part, shards)))
            for t in range(0, times, self.times_a_part)
            for s in range(0, shards, self.shards_a_part)
        )

    def narrowed(self, part: Part) -> Self:
        """Return the same source for one part; what preparing had to say stays with the first."""
        first = part.times[0] == 0 and part.shards[0] == 0
        notes = list(self.notes) if first else []
        aside = SetAside(self.aside.strict, dict(self.aside.reasons) if first else {})
        return replace(self, part=part, notes=notes, aside=aside, used=set(), watches={})

    @property
    def part_times(self) -> range:
        """Positions on the time axis that the part fills."""
        return range(*(self.part or self.whole).times)

    def windows(self) -> Iterator[Window]:
        """Yield the part's shards, row by row."""
        shard, _ = shard_sides(self.raster)
        _, cols = self._tiles
        for n in range(*(self.part or self.whole).shards):
            y, x = n // cols * shard, n % cols * shard
            yield Window(y, min(y + shard, self.raster.height), x, min(x + shard, self.raster.width))

    # -- undeclared fills and units --------------------------------------------------------------------------------

    def watch(
        self, item: Any, variable: str, scale: float = 1.0, offset: float = 0.0, limits: Range | None = None
    ) -> FillWatch | RangeWatch:
        """Return what watches a variable of a file for undeclared fills; where there are limits, for other units."""
        new = FillWatch(scale, offset) if limits is None else RangeWatch(limits)
        return self.watches.setdefault((str(item), variable), new)

    def check_watches(self) -> None:
        """Raise FileError for the first file that holds an undeclared fill, or seems to be in other units."""
        for (item, variable), watch in self.watches.items():
            if verdict := watch.verdict():
                raise FileError(item, f"got {item}, whose {variable} {verdict}")

    # -- the cube --------------------------------------------------------------------------------------------------

    @property
    def block_bytes(self) -> int:
        """Memory that reading takes at most, apart from the libraries: here a whole grid of each variable."""
        return 40 * self.raster.height * self.raster.width * len(self.variables)

    @property
    def shard_pixels(self) -> int:
        """Pixels of the largest shard."""
        shard, _ = shard_sides(self.raster)
        return min(shard, self.raster.height) * min(shard, self.raster.width)

    def spec(self, fingerprint: str, attrs: dict[str, Any]) -> CubeSpec:
        """Return the cube to create."""
        shard, chunk = shard_sides(self.raster)
        return CubeSpec(
            self.raster, self.variables, self.times, shard, chunk, fingerprint, attrs | {"inputs": self.inputs},
            self.nested,
        )  # fmt: skip


@dataclass(kw_only=True)
class PreparedDays(PreparedGrid):
    """A source of small files, each of one day: the cube holds the mean of a day's files.

    Parameters
    ----------
    days : tuple
        Files of each day.
    """

    days: tuple[tuple[Item, ...], ...]

    @abstractmethod
    def read_item(self, item: Item) -> Any:
        """Return all that a file gives, so that one which breaks halfway leaves nothing."""

    @abstractmethod
    def add_item(self, values: Any, means: list[Mean]) -> None:
        """Add what a file gave to the means of the variables."""

    def blocks(self) -> Iterator[Block]:
        """Yield one day after another; files that cannot be read are set aside."""
        for time in self.part_times:
            means = [Mean(self.raster.shape) for _ in self.variables]
            for item in self.days[time]:
                values = self.aside.attempt(item, lambda item=item: self.read_item(item))  # type: ignore[misc]
                if values is not None:
                    self.used.add(str(item))
                    self.add_item(values, means)
            for variable, mean in zip(self.variables, means, strict=True):
                day = mean.mean()
                for window in self.windows():
                    yield Block(variable.name, window, time, day[window.slices])

    def without(self, item: str) -> Self:
        """Return the same source without a file."""
        return replace(self, days=tuple(tuple(i for i in items if str(i) != item) for items in self.days))

    def narrowed(self, part: Part) -> Self:
        """Return the same source for one part, with the files of its days alone."""
        days = tuple(items if part.times[0] <= n < part.times[1] else () for n, items in enumerate(self.days))
        return replace(super().narrowed(part), days=days)


def shard_sides(raster: RasterGrid) -> tuple[int, int]:
    """Return the sides of shards and chunks: chunks of 256 px, less for small rasters."""
    longest = max(raster.shape)
    chunk = min(_CHUNK, -(-longest // 16) * 16)
    return chunk * min(_SHARD_CHUNKS, -(-longest // chunk)), chunk
