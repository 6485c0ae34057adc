"""Whoever is told of work as it goes on."""

from __future__ import annotations

from smdown.plan import Receipt
from smdown.runtime.outcome import Status
from smdown.runtime.tally import Tally


class Watcher:
    """Hears of stages; does nothing of itself. What it raises ends the work."""

    def began(self, tally: Tally) -> None:
        """Hear that a stage begins."""

    def advanced(self, tally: Tally, receipt: Receipt | None) -> None:
        """Hear that a task is finished, or, without a receipt, that other work has come further."""

    def failed(self, tally: Tally, key: str, reason: str) -> None:
        """Hear that a task failed every time."""

    def ended(self, tally: Tally, status: Status) -> None:
        """Hear that the stage under way is over."""

    def said(self, text: str) -> None:
        """Hear a line for people."""
