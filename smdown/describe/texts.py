"""Tables and texts that descriptions share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table


def facts(title: str, rows: Mapping[str, Any]) -> Table:
    """Return a table of what is what; empty values are left out."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("value", overflow="fold")
    for what, value in rows.items():
        if value not in ("", None):
            table.add_row(what, str(value))
    return table


def grid(title: str, columns: str, rows: Iterable[Iterable[Any]]) -> Table:
    """Return a table with a row of texts each; a column whose name ends with ``>`` is aligned to the right."""
    table = Table(title=title, title_justify="left")
    for column in columns.split("|"):
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    return table


def days_text(times: npt.NDArray[np.datetime64]) -> str:
    """Return how many days there are, which, and where they leave gaps larger than their usual step."""
    days = np.asarray(times, dtype="datetime64[D]")
    if days.size < 2:
        return ", ".join(map(str, days))
    steps = np.diff(days).astype(int)
    usual = int(np.bincount(steps).argmax())
    gaps = [f"{days[n] + 1} to {days[n + 1] - 1}" for n in np.flatnonzero(steps > usual)]
    text = f"{days.size}, {days[0]} to {days[-1]}, every {usual} days" if usual > 1 else ""
    text = text or f"{days.size} days, {days[0]} to {days[-1]}"
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    return f"{text}, gaps: {', '.join(gaps[:3])}{more}" if gaps else f"{text}, no gaps"


def interval(limits: tuple[float, float] | None) -> str:
    """Return limits in words, nothing where there are none."""
    return "" if limits is None else f"{limits[0]:g} to {limits[1]:g}"


def size_text(size: float) -> str:
    """Return a number of bytes for people."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} B"
