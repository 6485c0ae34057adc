"""Two lines of a terminal that tell how far a stage has come; they fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from smdown.plan import Receipt
from smdown.runtime.outcome import Status
from smdown.runtime.tally import Tally, duration_text, facts
from smdown.runtime.watcher import Watcher

_NAME_WIDTH = 11


class TerminalBars(Watcher):
    """Tells of stages on a terminal.

    Parameters
    ----------
    console : rich.console.Console
        The terminal.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars: _Bars | None = None

    def began(self, tally: Tally) -> None:
        """See :class:`Watcher`."""
        self._bars = _Bars(tally, self.console)
        self._bars.start()

    def advanced(self, tally: Tally, receipt: Receipt | None) -> None:
        """See :class:`Watcher`."""
        del receipt
        assert self._bars is not None
        self._bars.show(tally)

    def failed(self, tally: Tally, key: str, reason: str) -> None:
        """See :class:`Watcher`."""
        assert self._bars is not None
        self.console.print(f"[red]failed[/red] {escape(key)}: {escape(reason)}", highlight=False)
        self._bars.show(tally)

    def ended(self, tally: Tally, status: Status) -> None:
        """See :class:`Watcher`."""
        assert self._bars is not None
        self._bars.over = status
        self._bars.show(tally)
        self._bars.stop()
        self._bars = None

    def said(self, text: str) -> None:
        """See :class:`Watcher`."""
        self.console.print(text, highlight=False, markup=False)


class _Bars(RichProgress):
    """A bar with the tally's facts in a line below."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self._tally = tally
        self.over: Status | None = None
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            _Took(tally),
        )
        super().__init__(*columns, console=console)
        self._row = self.add_task(f"{tally.stage:<{_NAME_WIDTH - 1}}", total=tally.total, completed=tally.done)

    def show(self, tally: Tally) -> None:
        self.update(self._row, completed=tally.done, total=tally.total)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the lines; asked for by the thread that draws them."""
        yield self.make_tasks_table(self.tasks)
        if told := facts(self._tally, self.over):
            yield Text(" " * _NAME_WIDTH + ", ".join(told), style="dim", no_wrap=True, overflow="ellipsis")


class _Took(ProgressColumn):
    """Wall time of the stage."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        """Return the time."""
        del task
        return Text(duration_text(self._tally.seconds), style="progress.elapsed")
