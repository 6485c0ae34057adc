"""What an ingest found: files, gaps in time, share of valid pixels, limits and histogram of every variable."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from smdown.cubes import join
from smdown.cubes.store import is_local, local_path
from smdown.errors import CubeError
from smdown.sources.tally import Tally

_BARS = "▁▂▃▄▅▆▇█"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gap(_Frozen):
    """Days without any value.

    Parameters
    ----------
    first, last : str
        ISO days.
    """

    first: str
    last: str

    @property
    def days(self) -> int:
        """Length."""
        return int((np.datetime64(self.last) - np.datetime64(self.first)).astype(int)) + 1


class VariableQuality(_Frozen):
    """What was written of one variable.

    Parameters
    ----------
    units : str
        Units of the limits.
    total, valid : int
        Pixels (or station days), and those that hold a value.
    minimum, maximum : float, optional
        Least and largest value.
    histogram : tuple of int
        Counts in even bins from minimum to maximum.
    empty_days : int
        Days of its time axis without a value.
    """

    units: str
    total: int
    valid: int
    minimum: float | None
    maximum: float | None
    histogram: tuple[int, ...]
    empty_days: int = 0

    @property
    def share(self) -> float:
        """Share of pixels that hold a value."""
        return self.valid / max(1, self.total)


class Quality(_Frozen):
    """Report of one source.

    Parameters
    ----------
    source, kind, inputs, fingerprint : str
        What was read.
    files : int
        Files that were used.
    set_aside : dict
        Files that could not be, each with its reason.
    days : int
        Days on the time axis, 0 for a source without time.
    first, last : str
        The period of the values.
    gaps : tuple of Gap
        Stretches of the project's period that are longer than the usual step and hold no value.
    variables : dict
        By name.
    notes : tuple of str
        What else the user should hear of.
    """

    source: str
    kind: str
    inputs: str
    fingerprint: str
    files: int
    set_aside: dict[str, str]
    days: int
    first: str
    last: str
    gaps: tuple[Gap, ...]
    variables: dict[str, VariableQuality]
    notes: tuple[str, ...] = ()


def describe_variable(tally: Tally, units: str, days: int) -> VariableQuality:
    """Return the report of one variable from its counts; `days` is the length of its time axis, 0 for none."""
    h = tally.histogram
    return VariableQuality(
        units=units,
        total=tally.total,
        valid=tally.valid,
        minimum=h.low if tally.valid else None,
        maximum=h.high if tally.valid else None,
        histogram=h.binned() if tally.valid else (),
        empty_days=max(0, days - len(tally.days)),
    )


def find_gaps(days: Sequence[str], start: str, end: str) -> tuple[Gap, ...]:
    """Return the stretches of a period, longer than the usual step from day to day, that hold none of the days.

    Parameters
    ----------
    days : sequence of str
        ISO days with values, in order.
    start, end : str
        First and last day of the period.
    """
    if not days:
        return (Gap(first=start, last=end),)
    known = np.array(days, dtype="datetime64[D]")
    steps = np.diff(known).astype(int)
    usual = int(np.bincount(steps).argmax()) if steps.size else 1  # the shorter one of two that are as common
    gaps = [(a + usual, b - 1) for a, b, step in zip(known[:-1], known[1:], steps, strict=True) if step > usual]
    first, last = np.datetime64(start), np.datetime64(end)
    if (known[0] - first).astype(int) >= usual:
        gaps.insert(0, (first, known[0] - 1))
    if (last - known[-1]).astype(int) >= usual:
        gaps.append((known[-1] + usual, last))
    return tuple(Gap(first=str(a), last=str(b)) for a, b in gaps if a <= b)


def quality_url(url: str) -> str:
    """Return the place of the report of the source whose cube lies at `url`: beside it."""
    return url.removesuffix("/").removesuffix(".zarr") + ".quality.json"


def write_quality(url: str, quality: Quality) -> None:
    """Write the report of the source whose cube lies at `url`."""
    write_text(quality_url(url), json.dumps(quality.model_dump(mode="json"), indent=1) + "\n")


def read_quality(url: str) -> Quality:
    """Read the report of the source whose cube lies at `url`.

    Raises
    ------
    CubeError
        If there is none that can be read.
    """
    place = quality_url(url)
    try:
        with fsspec.open(place, "r", encoding="utf-8") as file:
            return Quality.model_validate_json(file.read())
    except (OSError, ValidationError) as error:
        raise CubeError(f"got no quality report at {place}; run smdown ingest again") from error


def quality_reports(out: str, names: Sequence[str]) -> tuple[Quality, ...]:
    """Return the reports of sources whose cubes lie in the folder `out`; those without one are left out."""
    found = []
    for name in names:
        try:
            found.append(read_quality(join(out, f"{name}.zarr")))
        except CubeError:
            continue
    return tuple(found)


def heading(report: Quality) -> str:
    """Return in one line what of a source was read, and when it is of."""
    files = f"{report.files} file{'' if report.files == 1 else 's'}"
    aside = f", {len(report.set_aside)} set aside" if report.set_aside else ""
    return "; ".join(filter(None, [f"{files}{aside}", _period(report), _gaps(report)]))


def variable_rows(report: Quality) -> tuple[tuple[str, ...], ...]:
    """Return a row for each variable: name, valid share, least and largest value, units, histogram."""
    return tuple(
        (name, f"{v.share:.1%}", _limit(v.minimum), _limit(v.maximum), v.units, sparkline(v.histogram))
        for name, v in report.variables.items()
    )


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _period(report: Quality) -> str:
    return f"{report.first} to {report.last}, {report.days} days" if report.days else "static"


def _gaps(report: Quality) -> str:
    if not report.gaps:
        return ""
    longest = max(report.gaps, key=lambda gap: gap.days)
    if len(report.gaps) == 1:
        return f"no value from {longest.first} to {longest.last}"
    return f"{len(report.gaps)} gaps, the longest {longest.first} to {longest.last}"


def sparkline(counts: Sequence[int]) -> str:
    """Return a histogram as a line of bars; a bin that holds anything shows at least the lowest."""
    most = max(counts, default=0)
    return "".join(" " if not n else _BARS[(n * len(_BARS) - 1) // most if n < most else -1] for n in counts)


def write_text(url: str, text: str) -> None:
    """Write a small object whole: what was there before stays until the new one is complete."""
    if is_local(url):
        path = local_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        partial.write_text(text, encoding="utf-8")
        Path(partial).replace(path)
        return
    fs, place = fsspec.core.url_to_fs(url)
    fs.makedirs(fs._parent(place), exist_ok=True)  # noqa: SLF001 - the one spelling that all file systems share
    fs.pipe_file(place, text.encode())


def read_json(url: str) -> Any:
    """Return the content of a small JSON object, None where there is none that can be read."""
    try:
        with fsspec.open(url, "r", encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
