"""An iterator that is run ahead by a thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
DEPTH = 3
"""Items made beforehand."""
_DONE = object()


class Ahead(Generic[T]):
    """Makes the next items while the last one is in use; a context, which ends the thread.

    Parameters
    ----------
    items : iterable
        What is run ahead; an error in it is raised where the item is asked for.
    depth : int
        Items kept at most.
    """

    def __init__(self, items: Iterable[T], depth: int = DEPTH) -> None:
        self.waited_s = 0.0
        self._queue: queue.Queue[T | BaseException | object] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(items,), name="smdown-batches")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            start = time.perf_counter()
            found = self._queue.get()
            self.waited_s += time.perf_counter() - start
            if found is _DONE:
                return
            if isinstance(found, BaseException):
                raise found
            yield found  # type: ignore[misc]

    def _run(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                if not self._put(item):
                    return
            self._put(_DONE)
        except BaseException as error:  # noqa: BLE001 - raised again where the item is asked for
            self._put(error)

    def _put(self, item: T | BaseException | object) -> bool:
        while not self._stop.is_set() and threading.main_thread().is_alive():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
