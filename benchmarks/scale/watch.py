"""What the client sees while a plan runs: when tiles were done, its memory, its processor time."""

from __future__ import annotations

import time
from pathlib import Path

from smdown.plan import Receipt
from smdown.runtime.outcome import Status
from smdown.runtime.tally import Tally
from smdown.runtime.watcher import Watcher

_EVERY = 20


class Watch(Watcher):
    """Notes when each tile was done and, every few of them, resident memory and processor time of this process."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.samples: list[tuple[float, float, float]] = []
        self._start = self._cpu = 0.0

    def began(self, tally: Tally) -> None:
        """See :class:`Watcher`."""
        del tally
        self._start, self._cpu = time.perf_counter(), time.process_time()
        self._sample(0.0)

    def advanced(self, tally: Tally, receipt: Receipt | None) -> None:
        """See :class:`Watcher`."""
        del tally, receipt
        self.times.append(time.perf_counter() - self._start)
        if len(self.times) % _EVERY == 0:
            self._sample(self.times[-1])

    def failed(self, tally: Tally, key: str, reason: str) -> None:
        """See :class:`Watcher`."""
        del tally
        raise RuntimeError(f"{key}: {reason}")

    def ended(self, tally: Tally, status: Status) -> None:
        """See :class:`Watcher`."""
        del tally, status
        self._sample(time.perf_counter() - self._start)

    def _sample(self, when: float) -> None:
        self.samples.append((when, resident_bytes() / 1e6, time.process_time() - self._cpu))


def resident_bytes() -> int:
    """Return the memory that this process holds now; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        return 0
