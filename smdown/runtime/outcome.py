"""What became of a plan, and how a stage or a run ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from smdown.errors import IncompleteError
from smdown.plan import Receipt

Status = Literal["finished", "failed", "stopped"]
"""How something ended: all is done; some of it cannot be; somebody or something broke it off."""


@dataclass
class Outcome:
    """What became of a plan.

    Parameters
    ----------
    stage : str
        Name of the stage.
    total, skipped : int
        Tasks of the whole, and those that an earlier run had finished.
    receipts : list of Receipt
        Of the tasks that finished now.
    failed : dict
        Reason in one line, by task, of those that failed every time.
    seconds : float
        Wall time.
    bytes_planned : int
        Memory of one task, as planned.
    workers_lost : bool
        Whether workers died, and may have left temporary files.
    """

    stage: str
    total: int
    skipped: int
    bytes_planned: int
    receipts: list[Receipt] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    workers_lost: bool = False

    @property
    def pixels(self) -> int:
        """Pixels written now."""
        return sum(r.pixels for r in self.receipts)

    @property
    def notes(self) -> list[str]:
        """What the tasks want the user to hear."""
        return [note for r in self.receipts for note in r.notes]

    def as_json(self) -> dict[str, float | int | dict[str, str]]:
        """Return the stage's entry of ``run.json``."""
        return {
            "seconds": round(self.seconds, 3),
            "task_seconds": round(sum(r.seconds for r in self.receipts), 3),
            "pixels": self.pixels,
            "mpx_s": round(self.pixels / 1e6 / self.seconds, 4) if self.seconds > 0 else 0.0,
            "bytes_planned": self.bytes_planned,
            "bytes_peak": max((r.peak_bytes for r in self.receipts), default=0),
            "tiles_total": self.total,
            "tiles_done": len(self.receipts),
            "tiles_skipped": self.skipped,
            "tiles_failed": len(self.failed),
            "failed": self.failed,
        }


class StoppedError(IncompleteError):
    """A plan that ended before its last task.

    Parameters
    ----------
    message : str
        For people.
    outcome : Outcome
        What was done by then.
    """

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


def status_of(error: BaseException | None) -> Status:
    """Return how something ended that raised an error, or none."""
    if error is None:
        return "finished"
    asked = KeyboardInterrupt, SystemExit, GeneratorExit
    broken_off = isinstance(error, StoppedError | KeyboardInterrupt | SystemExit | GeneratorExit)
    return "stopped" if broken_off or isinstance(error.__cause__, asked) else "failed"
