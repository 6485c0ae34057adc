"""Blocks that are read once, in the background, within a stated memory."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from queue import Empty, PriorityQueue
from typing import Any

from smdown.training.blocks import Block

READERS = 2
"""Threads that read: decompression and kernels let others run meanwhile."""
_NOW, _LATER = 0, 1
Job = Callable[[], Block]


class Shelf:
    """Blocks by key, read once, what is needed now before what is needed later.

    The least recently used go when they outgrow the memory; those that anyone waits for never do.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.read_count = 0
        self._blocks: OrderedDict[Hashable, Future[Block]] = OrderedDict()
        self._wanted: dict[Hashable, tuple[Hashable, ...]] = {}
        self._jobs: dict[Hashable, Job] = {}
        self._queue: PriorityQueue[tuple[int, int, Hashable]] = PriorityQueue()
        self._number = itertools.count()
        self._lock = threading.Lock()
        self._readers = 0

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return Shelf, (self.limit,)

    def want(self, owner: Hashable, now: dict[Hashable, Job], later: dict[Hashable, Job]) -> None:
        """Read what is not there yet, in order; what the same owner wanted before may go."""
        keys = (*now, *later)
        if self._wanted.get(owner) == keys:
            return
        self._wanted[owner] = keys
        for turn, jobs in ((_NOW, now), (_LATER, later)):
            for key, job in jobs.items():
                if key not in self._blocks:
                    self._blocks[key] = Future()
                    self._jobs[key] = job
                    self.read_count += 1
                    self._queue.put((turn, next(self._number), key))
                elif turn == _NOW and key in self._jobs:
                    self._queue.put((turn, next(self._number), key))
                self._blocks.move_to_end(key)
        self._let_go()
        self._start_readers()

    def get(self, key: Hashable) -> Block:
        """Return a block that was asked for, when it is read; an error in reading it is raised here."""
        return self._blocks[key].result()

    def _start_readers(self) -> None:
        with self._lock:
            while self._readers < READERS and self._queue.qsize() > 0:
                self._readers += 1
                threading.Thread(target=self._read, name="smdown-reader").start()

    def _read(self) -> None:
        """Read until nothing is asked for, or the program ends."""
        while True:
            with self._lock:
                try:
                    _, _, key = self._queue.get_nowait()
                except Empty:
                    self._readers -= 1
                    return
            if not threading.main_thread().is_alive():
                self._give_up()
                continue
            job = self._jobs.pop(key, None)
            if job is None:  # taken already, or no longer wanted
                continue
            future = self._blocks[key]
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001 - raised again in `get`
                future.set_exception(error)

    def _give_up(self) -> None:
        for key in list(self._jobs):
            if self._jobs.pop(key, None) is not None:
                self._blocks[key].set_exception(CancelledError("the program ends"))

    def _let_go(self) -> None:
        kept = set(itertools.chain(*self._wanted.values()))
        done = {k: f for k, f in self._blocks.items() if f.done() and f.exception() is None}
        size = sum(future.result().nbytes for future in done.values())
        for key in [k for k in self._blocks if k not in kept]:
            if self._jobs.pop(key, None) is not None:
                del self._blocks[key]
            elif key in done and size > self.limit:
                size -= self._blocks.pop(key).result().nbytes
