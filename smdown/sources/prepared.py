"""What every reader of grids prepares: a checked description of the cube, and the blocks that fill it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.cubes import CubeSpec, Variable
from smdown.grid import NestedGrid, RasterGrid, Window

Float32 = npt.NDArray[np.float32]

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
    """

    raster: RasterGrid
    variables: tuple[Variable, ...]
    times: tuple[str, ...]
    inputs: str
    notes: list[str] = field(default_factory=list)
    nested: NestedGrid | None = None

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield every block of the cube once."""

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

    def windows(self) -> Iterator[Window]:
        """Yield the cube's shards, row by row."""
        shard, _ = shard_sides(self.raster)
        for y in range(0, self.raster.height, shard):
            for x in range(0, self.raster.width, shard):
                yield Window(y, min(y + shard, self.raster.height), x, min(x + shard, self.raster.width))


def shard_sides(raster: RasterGrid) -> tuple[int, int]:
    """Return the sides of shards and chunks: chunks of 256 px, less for small rasters."""
    longest = max(raster.shape)
    chunk = min(_CHUNK, -(-longest // 16) * 16)
    return chunk * min(_SHARD_CHUNKS, -(-longest // chunk)), chunk


@dataclass
class Tally:
    """Counts of what was written for one variable."""

    total: int = 0
    valid: int = 0
    low: float = np.inf
    high: float = -np.inf
    days: set[int] = field(default_factory=set)

    def add(self, block: Block) -> None:
        """Count one block."""
        good = block.values[np.isfinite(block.values)]
        self.total += block.values.size
        self.valid += good.size
        if good.size:
            self.low, self.high = min(self.low, float(good.min())), max(self.high, float(good.max()))
            if block.time is not None:
                self.days.add(block.time)

    def describe(self, variable: Variable, times: tuple[str, ...]) -> str:
        """Return the counts in words."""
        text = f"{variable.name}: {self.valid / max(self.total, 1):.1%} valid"
        if self.valid:
            text += f", {self.low:.4g} to {self.high:.4g} {variable.units}".rstrip()
        empty = len(times) - len(self.days)
        return f"{text}, {empty} of {len(times)} days empty" if variable.timed and empty else text
