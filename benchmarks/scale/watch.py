"""What the client sees while a plan runs: when tiles were done, its memory, its processor time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smdown.plan import Receipt
from smdown.runtime.progress import Bar, Progress

_EVERY = 20


class Watch(Progress):
    """Notes time, resident memory and processor time of this process every few tiles."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.samples: list[tuple[float, float, float]] = []
        self._start = self._cpu = 0.0

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Bar]:
        """See :class:`Progress`."""
        del name, total, done
        self._start, self._cpu = time.perf_counter(), time.process_time()
        self._sample(0.0)
        yield _Bar(self)
        self._sample(time.perf_counter() - self._start)

    def say(self, text: str) -> None:
        """See :class:`Progress`."""

    def landed(self) -> None:
        """Note that a tile is done."""
        self.times.append(time.perf_counter() - self._start)
        if len(self.times) % _EVERY == 0:
            self._sample(self.times[-1])

    def _sample(self, when: float) -> None:
        self.samples.append((when, resident_bytes() / 1e6, time.process_time() - self._cpu))


class _Bar(Bar):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def advance(self, receipt: Receipt) -> None:
        del receipt
        self._watch.landed()

    def fail(self, key: str, reason: str) -> None:
        raise RuntimeError(f"{key}: {reason}")

    def update(self, done: int, total: int, text: str = "") -> None:
        del done, total, text


def resident_bytes() -> int:
    """Return the memory that this process holds now; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        return 0
