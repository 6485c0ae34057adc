"""How far a stage has come, counted once for whoever shows or keeps it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from smdown.plan import Receipt
from smdown.runtime.outcome import Status

REASONS_KEPT = 10
"""Failed tasks of a stage under way whose reasons are kept here."""


@dataclass
class Tally:
    """How far a stage has come.

    Parameters
    ----------
    stage : str
        Its name.
    total, skipped : int
        Its tasks, and those of them that an earlier run had finished.
    bytes_planned : int
        Memory that one task may need; 0 where that is not known.
    """

    stage: str
    total: int
    skipped: int = 0
    bytes_planned: int = 0
    done: int = field(init=False)
    failed: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    pixels: int = 0
    bytes_peak: int = 0
    text: str = ""
    _began: float = field(init=False)
    _since: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        self.done, self._began = self.skipped, time.perf_counter()

    def count(self, receipt: Receipt) -> None:
        """Count a finished task."""
        self.done += 1
        self.pixels += receipt.pixels
        self.bytes_peak = max(self.bytes_peak, receipt.peak_bytes)

    def count_failed(self, key: str, reason: str) -> None:
        """Count a task that failed every time."""
        self.failed += 1
        if len(self.reasons) < REASONS_KEPT:
            self.reasons[key] = reason

    def put(self, done: int, total: int, text: str = "") -> None:
        """Note how far work has come that is no list of tasks.

        What the first note of a part says was done before it; another total, or fewer done, is another part.
        """
        if self._since is None or total != self.total or done < self.done:
            self._since = time.perf_counter(), done
        self.done, self.total, self.text = done, total, text

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self._began

    @property
    def mpx_s(self) -> float:
        """Million pixels a second."""
        return self.pixels / 1e6 / max(1e-9, self.seconds)

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the rate so far; None before anything is done."""
        since, before = self._since or (self._began, self.skipped)
        made = self.done + self.failed - before
        left = max(0, self.total - self.done - self.failed)
        return (time.perf_counter() - since) / made * left if made > 0 else None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, under the names of ``run.json``."""
        eta = self.eta_s
        return {
            "stage": self.stage,
            "tiles_total": self.total,
            "tiles_done": self.done - self.skipped,
            "tiles_skipped": self.skipped,
            "tiles_failed": self.failed,
            "pixels": self.pixels,
            "seconds": round(self.seconds, 3),
            "mpx_s": round(self.mpx_s, 4),
            "eta_s": None if eta is None else round(eta, 1),
            "bytes_peak": self.bytes_peak,
            "bytes_planned": self.bytes_planned,
            **({"text": self.text} if self.text else {}),
        }


def facts(tally: Tally, over: Status | None = None) -> list[str]:
    """Return what a line says of a stage, under way or over, beside its tasks: rate, time left, memory, failures."""
    found = [rate_text(tally.mpx_s)] if tally.pixels else []
    if over is None:
        found.append(f"eta {duration_text(tally.eta_s)}")
    if tally.bytes_peak:
        found.append(memory_text(tally.bytes_peak, tally.bytes_planned))
    if tally.failed:
        found.append(f"{tally.failed} failed")
    if over == "stopped" or (over == "failed" and not tally.failed):
        found.append(over)
    return [*found, tally.text] if tally.text and over is None else found


def rate_text(mpx_s: float) -> str:
    """Return a rate with three figures or so; what took no time has any rate, in few letters."""
    if mpx_s >= 1e6:
        return f"{mpx_s:.1e} Mpx/s"
    return f"{mpx_s:.0f} Mpx/s" if mpx_s >= 100 else f"{mpx_s:.2f} Mpx/s"


def memory_text(peak: int, planned: int) -> str:
    """Return the largest peak of a worker, beside what was planned for a task where that is known."""
    return f"mem {peak / 2**30:.2f}/{planned / 2**30:.2f} GiB" if planned else f"mem {peak / 2**30:.2f} GiB"


def duration_text(seconds: float | None) -> str:
    """Return a time as ``0:01:30``, of more than a day as ``3d 04h``; a dash where it is not known."""
    if seconds is None:
        return "-"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours // 24}d {hours % 24:02}h" if hours >= 24 else f"{hours}:{rest // 60:02}:{rest % 60:02}"
