"""What the user sees of long work: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from smdown.plan import Receipt

_EVERY_S = 10.0


class Bar(ABC):
    """One stage under way."""

    @abstractmethod
    def advance(self, receipt: Receipt) -> None:
        """Count a finished task."""

    @abstractmethod
    def fail(self, key: str, reason: str) -> None:
        """Name a task that failed every time."""

    @abstractmethod
    def update(self, done: int, total: int, text: str = "") -> None:
        """Say how far work has come that is no list of tasks."""


class Progress(ABC):
    """Whoever hears of stages."""

    @abstractmethod
    def stage(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Bar]:
        """Open a stage of `total` tasks, `done` of them finished before."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Say one line."""


def open_progress(*, quiet: bool = False) -> Progress:
    """Return bars where the output is a terminal, plain lines elsewhere, silence if asked for."""
    if quiet:
        return PlainProgress(lambda _: None)
    if sys.stderr.isatty():
        return BarProgress()
    return PlainProgress(lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201 - it is what a log reads


class BarProgress(Progress):
    """Progress bars of a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Bar]:
        """See :class:`Progress`."""
        columns = (
            TextColumn("[bold]{task.description:<10}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with RichProgress(*columns, console=self._console) as bars:
            yield _RichBar(bars, bars.add_task(name, total=total, completed=done, text=""))

    def say(self, text: str) -> None:
        """See :class:`Progress`."""
        self._console.print(text, highlight=False, markup=False)


class _RichBar(Bar):
    def __init__(self, bars: RichProgress, task: TaskID) -> None:
        self._bars, self._task = bars, task
        self._pixels, self._start = 0, time.perf_counter()

    def advance(self, receipt: Receipt) -> None:
        self._pixels += receipt.pixels
        rate = self._pixels / 1e6 / max(1e-9, time.perf_counter() - self._start)
        self._bars.update(self._task, advance=1, text=f"{rate:.2f} Mpx/s" if self._pixels else "")

    def fail(self, key: str, reason: str) -> None:
        self._bars.console.print(f"[red]failed[/red] {escape(key)}: {escape(reason)}", highlight=False)

    def update(self, done: int, total: int, text: str = "") -> None:
        self._bars.update(self._task, completed=done, total=total, text=text)


class PlainProgress(Progress):
    """Plain lines, at most one in ten seconds and stage, for logs."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Bar]:
        """See :class:`Progress`."""
        bar = _PlainBar(self, name, total, done)
        start = time.perf_counter()
        yield bar
        self.say(f"{name}: {bar.done}/{bar.total} in {time.perf_counter() - start:.1f} s")

    def say(self, text: str) -> None:
        """See :class:`Progress`."""
        self._write(text)


class _PlainBar(Bar):
    def __init__(self, parent: PlainProgress, name: str, total: int, done: int) -> None:
        self._parent, self._name, self.total, self.done = parent, name, total, done
        self._pixels, self._start, self._last = 0, time.perf_counter(), time.perf_counter()

    def advance(self, receipt: Receipt) -> None:
        self.done += 1
        self._pixels += receipt.pixels
        self._tell(f", {self._pixels / 1e6 / (time.perf_counter() - self._start):.2f} Mpx/s" if self._pixels else "")

    def fail(self, key: str, reason: str) -> None:
        self._parent.say(f"{self._name}: failed {key}: {reason}")

    def update(self, done: int, total: int, text: str = "") -> None:
        self.done, self.total = done, total
        self._tell(f", {text}" if text else "")

    def _tell(self, more: str) -> None:
        if time.perf_counter() - self._last >= _EVERY_S:
            self._last = time.perf_counter()
            self._parent.say(f"{self._name}: {self.done}/{self.total}{more}")
