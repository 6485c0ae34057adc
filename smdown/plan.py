"""What a distributed stage is: an ordered list of small tasks, the function that runs one, and what each leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


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
    tasks : tuple of TileTask
        What is still to do.
    run : callable
        ``run(task) -> Receipt``, a pure function at module level that writes only what its task owns.
    task_bytes : int
        Memory that one task needs at most.
    done : int
        Tasks of the whole that an earlier run has finished already.
    """

    stage: str
    tasks: tuple[TileTask, ...]
    run: Callable[..., Receipt]
    task_bytes: int
    done: int = 0

    @property
    def total(self) -> int:
        """Tasks of the whole, finished ones counted in."""
        return len(self.tasks) + self.done
