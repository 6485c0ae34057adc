"""The report's section on inputs: what the quality reports of the ingest say of every source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smdown.cubes import join
from smdown.cubes.store import names
from smdown.evaluation.words import pretty_units
from smdown.sources.quality import Quality, quality_reports

_SUFFIX = ".quality.json"
_WIDTH, _HEIGHT = 96, 22


@dataclass(frozen=True)
class VariableRow:
    """One variable of a source, ready to print.

    Parameters
    ----------
    name, units, valid, low, high : str
        Its figures.
    histogram : str
        SVG, empty where there is no value.
    """

    name: str
    units: str
    valid: str
    low: str
    high: str
    histogram: str


@dataclass(frozen=True)
class InputPage:
    """One source, ready to print.

    Parameters
    ----------
    name, kind, inputs, period : str
        What was read, and when it is of.
    files : int
        Files that were used.
    set_aside : tuple of (str, str)
        Files that could not be, and why.
    gaps : tuple of str
        Stretches without any value.
    strip : tuple of (float, float)
        Where the gaps lie on the time axis: start and length, percent.
    axis : tuple of str
        First and last day of that axis, empty for a source without time.
    variables : tuple of VariableRow
        Its variables.
    """

    name: str
    kind: str
    inputs: str
    period: str
    files: int
    set_aside: tuple[tuple[str, str], ...]
    gaps: tuple[str, ...]
    strip: tuple[tuple[float, float], ...]
    axis: tuple[str, ...]
    variables: tuple[VariableRow, ...]


def input_pages(workdir: str) -> list[InputPage]:
    """Return a page for every source of a project directory whose ingest left a quality report."""
    folder = join(workdir, "sources")
    known = [name.removesuffix(_SUFFIX) for name in names(folder) if name.endswith(_SUFFIX)]
    return [_page(report) for report in quality_reports(folder, known)]


def _page(report: Quality) -> InputPage:
    axis = _axis(report)
    return InputPage(
        report.source,
        report.kind,
        report.inputs,
        f"{report.first} to {report.last}, {report.days} days" if report.days else "without time",
        report.files,
        tuple(report.set_aside.items()),
        tuple(f"{gap.first} to {gap.last} ({gap.days} days)" if gap.days > 1 else gap.first for gap in report.gaps),
        tuple(_place(gap.first, gap.days, axis) for gap in report.gaps) if axis else (),
        axis,
        tuple(
            VariableRow(
                name, pretty_units(v.units), _share(v.share), _number(v.minimum), _number(v.maximum),
                histogram_svg(v.histogram, f"Histogram of {name}"),
            )
            for name, v in report.variables.items()
        ),
    )  # fmt: skip


def _axis(report: Quality) -> tuple[str, ...]:
    """Return the first and last day that values or gaps are known of."""
    if not report.days:
        return ()
    days = [day for day in (report.first, report.last) if day]
    days += [day for gap in report.gaps for day in (gap.first, gap.last)]
    return min(days), max(days)


def _place(first: str, days: int, axis: Sequence[str]) -> tuple[float, float]:
    start, stop = np.datetime64(axis[0]), np.datetime64(axis[1])
    total = int((stop - start).astype(int)) + 1
    return 100 * float((np.datetime64(first) - start).astype(int)) / total, 100 * days / total


def _share(share: float) -> str:
    return "100 %" if share == 1 else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}".replace("-", "−")  # noqa: RUF001 - a minus sign is meant


def histogram_svg(counts: Sequence[int], title: str) -> str:
    """Draw a histogram as bars from its least to its largest value; a bin that holds anything is seen.

    Parameters
    ----------
    counts : sequence of int
        Counts in even bins.
    title : str
        What it shows, for readers who do not see it; plain words.

    Returns
    -------
    str
        SVG, empty where there are no counts.
    """
    most = max(counts, default=0)
    if not most:
        return ""
    step = _WIDTH / len(counts)
    heights = [max(1.5, _HEIGHT * n / most) if n else 0.0 for n in counts]
    bars = "".join(
        f'<rect x="{i * step:.2f}" y="{_HEIGHT - h:.2f}" width="{max(step - 0.6, 0.5):.2f}" height="{h:.2f}"/>'
        for i, h in enumerate(heights)
        if h
    )
    safe = "".join(c for c in title if c.isalnum() or c in " _-")
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{safe}" '
        f'preserveAspectRatio="none">{bars}</svg>'
    )
