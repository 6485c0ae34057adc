"""What a distributed stage is: an ordered list of small tasks, the function that runs one, and what each leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from smdown.grid import NestedGrid, Tile


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one finished task reports.

    Parameters
    ----------
    key : str
        Name of the task, unique in its plan.
    pixels : int
        Pixels written.
    seconds : float
        Wall time of the task's body.
    peak_bytes : int
        Peak resident memory of the worker process while it ran, 0 where unknown.
    notes : tuple of str
        Things that the user should hear of (a file set aside, cells that could not be met).
    """

    key: str
    pixels: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    notes: tuple[str, ...] = ()


class TileTask(Protocol):
    """A frozen, picklable description of one piece of work."""

    @property
    def key(self) -> str:
        """Name of the task, unique in its plan."""
        ...


@dataclass(frozen=True)
class Plan:
    """An ordered list of tasks that need nothing of each other.

    Parameters
    ----------
    stage : str
        Name of the stage, for people.
    tasks : sequence of TileTask
        What is still to do; of a continent, made one by one as they are asked for.
    run : callable
        ``run(task) -> Receipt``, a pure function at module level that writes only what its task owns.
    task_bytes : int
        Memory that one task needs at most.
    done : int
        Tasks of the whole that an earlier run has finished already.
    """

    stage: str
    tasks: Sequence[TileTask]
    run: Callable[..., Receipt]
    task_bytes: int
    done: int = 0

    @property
    def total(self) -> int:
        """Tasks of the whole, finished ones counted in."""
        return len(self.tasks) + self.done


class _Lazy(Sequence[TileTask]):
    """Tasks that are made when they are asked for; equal to any sequence of the same ones."""

    __hash__ = None  # type: ignore[assignment]

    def at(self, index: int) -> TileTask:
        """Return one task."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> TileTask: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TileTask, ...]: ...
    def __getitem__(self, index: int | slice) -> TileTask | tuple[TileTask, ...]:
        places = range(len(self))[index]
        return self.at(places) if isinstance(places, int) else tuple(self.at(place) for place in places)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"<{len(self)} tasks>"


class TileTasks(_Lazy):
    """A task for each tile of a grid that is not written yet, row by row; a bit a tile is all that is kept.

    Parameters
    ----------
    make : callable
        ``make(tile) -> TileTask``; picklable.
    grid : NestedGrid
        What is cut into tiles.
    cells_per_tile : int
        Coarse cells along one side of a tile.
    written : ndarray of bool, (row, column)
        Tiles that need no task.
    """

    def __init__(
        self, make: Callable[[Tile], Any], grid: NestedGrid, cells_per_tile: int, written: npt.NDArray[np.bool_]
    ) -> None:
        self._make, self._grid, self._side = make, grid, cells_per_tile
        self._left = np.packbits(~written, axis=None)
        self._shape = written.shape
        self._count = int(np.count_nonzero(~written))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[TileTask]:
        cols = self._shape[1]
        for place in self._places():
            yield self._make(self._grid.tile(int(place) // cols, int(place) % cols, self._side))

    def at(self, index: int) -> TileTask:
        """Return one task."""
        place = int(self._places()[index])
        return self._make(self._grid.tile(place // self._shape[1], place % self._shape[1], self._side))

    def _places(self) -> npt.NDArray[np.int64]:
        """Return the positions of the tiles, counted row by row."""
        return np.flatnonzero(np.unpackbits(self._left, count=self._shape[0] * self._shape[1]))


class JoinedTasks(_Lazy):
    """Several sequences of tasks, one after another."""

    def __init__(self, parts: Sequence[Sequence[TileTask]]) -> None:
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[TileTask]:
        for part in self._parts:
            yield from part

    def at(self, index: int) -> TileTask:
        """Return one task."""
        for part in self._parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError
