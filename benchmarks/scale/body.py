"""A tile that sleeps: it holds memory, takes its time and commits its receipt, and computes nothing."""

from __future__ import annotations

import mmap
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from smdown.cubes import open_cube
from smdown.inference import mosaic
from smdown.inference.job import PredictTask
from smdown.plan import Plan, Receipt

TOUCHED_BYTES = 2**20
"""One page of so many bytes is really used."""
_commits = [0.02]
"""Seconds that the last commit of this process took."""


@dataclass(frozen=True, slots=True)
class SleepingTask:
    """A tile's task, and what stands for its work.

    Parameters
    ----------
    task : PredictTask
        The tile.
    seconds : float
        How long it takes, its commit counted in; 0 does nothing at all.
    held_bytes : int
        Memory that it reserves meanwhile.
    """

    task: PredictTask
    seconds: float
    held_bytes: int

    @property
    def key(self) -> str:
        """Name of the task."""
        return self.task.key


class Sleeping(Sequence[SleepingTask]):
    """The first tasks of a plan, made to sleep; each is made when its turn comes.

    Parameters
    ----------
    tasks : sequence of PredictTask
        Those of the plan.
    count : int
        How many are taken.
    seconds : float
        Mean time of a tile; each has its own, between half of it and half as much again.
    held_bytes : int
        Memory that a tile reserves.
    """

    def __init__(self, tasks: Sequence[Any], count: int, seconds: float, held_bytes: int) -> None:
        self._tasks, self._count = tasks, min(count, len(tasks))
        self._seconds, self._held = seconds, held_bytes

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Any:
        for _, task in zip(range(self._count), self._tasks, strict=False):
            yield self._asleep(task)

    @overload
    def __getitem__(self, index: int) -> SleepingTask: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SleepingTask, ...]: ...
    def __getitem__(self, index: int | slice) -> SleepingTask | tuple[SleepingTask, ...]:
        places = range(self._count)[index]
        if isinstance(places, int):
            return self._asleep(self._tasks[places])
        return tuple(self[place] for place in places)

    def _asleep(self, task: PredictTask) -> SleepingTask:
        share = 0.5 + zlib.crc32(task.key.encode()) / 2**32
        return SleepingTask(task, self._seconds * share, self._held)


def sleeping(plan: Plan, count: int, seconds: float, held_bytes: int) -> Plan:
    """Return a plan of the first tiles, whose tasks sleep."""
    return replace(
        plan, tasks=Sleeping(plan.tasks, count, seconds, held_bytes), run=run_sleeping, task_bytes=held_bytes
    )


def run_sleeping(task: SleepingTask) -> Receipt:
    """Hold memory, sleep, and commit the tile: its objects (all missing) and its receipt."""
    if not task.seconds:
        return Receipt(task.key)
    start = time.perf_counter()
    with mmap.mmap(-1, task.held_bytes) as held:
        held.madvise(mmap.MADV_NOHUGEPAGE)
        for place in range(0, task.held_bytes, TOUCHED_BYTES):
            held[place] = 1
        cube = open_cube(task.task.job.mosaic_url)
        mosaic.unfinished_days([cube], task.task.tile)
        time.sleep(max(0.0, task.seconds - (time.perf_counter() - start) - _commits[0]))
        before = time.perf_counter()
        mosaic.commit([cube], task.task.tile)
        _commits[0] = time.perf_counter() - before
    return Receipt(task.key)


def warm(url: str) -> None:
    """Load what a task needs, in a worker."""
    open_cube(url)
