"""What is told of long work while it goes on, to a terminal, a plain log or a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from smdown.plan import Receipt
from smdown.redact import redact
from smdown.runtime.bars import TerminalBars
from smdown.runtime.outcome import Status, status_of
from smdown.runtime.tally import Tally, duration_text, facts
from smdown.runtime.watcher import Watcher

EVERY_S = 10.0
"""Seconds between two lines of a log, and two events of a stage's progress."""


class Progress:
    """Whoever hears of stages.

    Parameters
    ----------
    *watchers : Watcher
        They are told of everything, in this order, and never of a secret.
    """

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = list(watchers)

    def add(self, watcher: Watcher) -> None:
        """Let one more hear of what comes."""
        self._watchers.append(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Tell one no more."""
        self._watchers.remove(watcher)

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0, bytes_planned: int = 0) -> Iterator[Bar]:
        """Open a stage of `total` tasks, `done` of them finished before, each of so much memory."""
        tally = Tally(name, total, done, bytes_planned)
        watchers = tuple(self._watchers)
        for watcher in watchers:
            watcher.began(tally)
        status: Status = "stopped"
        try:
            yield Bar(tally, watchers)
            status = "failed" if tally.failed else "finished"
        except BaseException as error:
            status = status_of(error)
            raise
        finally:
            for watcher in watchers:
                watcher.ended(tally, status)

    def say(self, text: str) -> None:
        """Say one line."""
        text = redact(text)
        for watcher in self._watchers:
            watcher.said(text)


class Bar:
    """One stage under way."""

    def __init__(self, tally: Tally, watchers: tuple[Watcher, ...]) -> None:
        self._tally, self._watchers = tally, watchers

    def advance(self, receipt: Receipt) -> None:
        """Count a finished task."""
        self._tally.count(receipt)
        for watcher in self._watchers:
            watcher.advanced(self._tally, receipt)

    def fail(self, key: str, reason: str) -> None:
        """Name a task that failed every time."""
        key, reason = redact(key), redact(reason)
        self._tally.count_failed(key, reason)
        for watcher in self._watchers:
            watcher.failed(self._tally, key, reason)

    def update(self, done: int, total: int, text: str = "") -> None:
        """Say how far work has come that is no list of tasks."""
        self._tally.put(done, total, redact(text))
        for watcher in self._watchers:
            watcher.advanced(self._tally, None)


def open_progress(*, quiet: bool = False) -> Progress:
    """Return bars where the output is a terminal, plain lines elsewhere, silence if asked for."""
    if quiet:
        return Progress()
    if sys.stderr.isatty():
        return BarProgress()
    return PlainProgress(lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201 - it is what a log reads


class BarProgress(Progress):
    """Bars of a terminal.

    Parameters
    ----------
    console : rich.console.Console, optional
        The terminal; by default that of the standard error output.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(TerminalBars(console or Console(stderr=True)))


class PlainProgress(Progress):
    """Plain lines, at most one in ten seconds and stage, for logs.

    Parameters
    ----------
    write : callable
        Takes a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(PlainLines(write))


class PlainLines(Watcher):
    """Tells of stages in plain lines."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._last = write, 0.0

    def began(self, tally: Tally) -> None:
        """See :class:`Watcher`."""
        del tally
        self._last = time.perf_counter()

    def advanced(self, tally: Tally, receipt: Receipt | None) -> None:
        """See :class:`Watcher`."""
        del receipt
        if time.perf_counter() - self._last >= EVERY_S:
            self._last = time.perf_counter()
            self._write(", ".join([f"{tally.stage}: {tally.done}/{tally.total}", *facts(tally)]))

    def failed(self, tally: Tally, key: str, reason: str) -> None:
        """See :class:`Watcher`."""
        self._write(f"{tally.stage}: failed {key}: {reason}")

    def ended(self, tally: Tally, status: Status) -> None:
        """See :class:`Watcher`."""
        took = f"{tally.seconds:.1f} s" if tally.seconds < 100 else duration_text(tally.seconds)
        told = [f"{tally.stage}: {tally.done}/{tally.total} in {took}", *facts(tally, status)]
        self._write(", ".join(told))

    def said(self, text: str) -> None:
        """See :class:`Watcher`."""
        self._write(text)
