"""Our tile tasks in worker processes, as a cluster would run them: fields and results lie in shared memory."""

from __future__ import annotations

import atexit
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from benchmarks.peers.jobs import F32, Job
from smdown.features import Resampler, resampler
from smdown.grid import Window

FIELDS = 8
"""Fields (variables, days) that a task resamples with one set of weights: what else it costs is shared by them."""


def forget() -> None:
    """Forget the weights of earlier calls: a task meets its window once."""
    for function in vars(resampler).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def tiles(workers: int) -> Callable[[Job, F32], Callable[[], F32]]:
    """Return tile tasks, shared among worker processes that are already up."""

    def prepare(job: Job, field: F32) -> Callable[[], F32]:
        source, target = Shared(field.shape), Shared(job.window.shape)
        source.array[:] = field
        places = (job, source.name, target.name)
        pool = _pool(workers)
        list(pool.map(_warm, [places] * 4 * workers))

        windows = list(job.tiles())

        def run() -> F32:
            list(pool.map(_task, [(*places, window) for window in windows]))
            return target.array

        return run

    return prepare


class Shared:
    """An array in shared memory, given back when nobody holds it."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.memory = SharedMemory(create=True, size=4 * shape[0] * shape[1])
        self.name = self.memory.name
        self.array: F32 = np.ndarray(shape, np.float32, self.memory.buf)
        atexit.register(self.memory.unlink)


@lru_cache(maxsize=4)
def _pool(workers: int) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    atexit.register(pool.shutdown)
    return pool


@lru_cache(maxsize=4)
def _opened(name: str, shape: tuple[int, int]) -> tuple[Any, F32]:
    memory = SharedMemory(name=name)
    return memory, np.ndarray(shape, np.float32, memory.buf)


def _warm(places: tuple[Job, str, str]) -> None:
    """Load what is compiled, and what a project's workers decide once."""
    _task((*places, next(places[0].tiles())))


def _task(arguments: tuple[Job, str, str, Window]) -> None:
    """Make one tile: its weights, its windows of the sources, its pixels."""
    job, source, target, window = arguments
    _, field = _opened(source, job.raster.shape)
    _, out = _opened(target, job.window.shape)
    forget()
    made = Resampler(job.raster, job.grid).job(job.grid.ratio, window, "cubic")
    for _ in range(FIELDS):
        array = np.ascontiguousarray(field[made.need.slices])
        out[window.relative_to(job.window).slices] = made(array)
