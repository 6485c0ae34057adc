"""What was measured, as a table, a record and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from smdown.bench.measure import LIMITS, Row

_WORDS = {"compute": "computing", "read": "reading", "write": "writing", "scheduler": "the scheduler"}
_COLOURS = {"compute": "#4477aa", "read": "#ccbb44", "write": "#ee6677", "scheduler": "#aa3377"}  # Tol, bright


def bench_table(rows: Sequence[Row], facts: dict[str, Any]) -> Table:
    """Return what was measured: the rate of each number of workers, how it scales, and what bounds it."""
    place = facts["place"]
    table = Table(
        title=f"{place['kind']}: {place['workers']} workers, {place['threads']} threads each", title_justify="left"
    )
    handed = facts.get("submission")
    if handed:
        table.caption = (
            f"{handed['tasks']} tasks are handed over in {1e3 * handed['submitted_s']:.0f} ms, and done, "
            f"there and back, in {handed['done_s']:.2f} s"
        )
        table.caption_justify = "left"
    for name, side in (
        ("stage", "left"), ("workers", "right"), ("rate", "right"), ("strong", "right"), ("weak", "right"),
        ("bound by", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for stage in dict.fromkeys(row.stage for row in rows):
        some = [row for row in rows if row.stage == stage]
        for count in sorted({row.workers for row in some}):
            table.add_row(*_line(some, stage, count))
        table.add_section()
    return table


def _line(rows: Sequence[Row], stage: str, count: int) -> list[str]:
    here = {row.scaling: row for row in rows if row.workers == count}
    shown = here.get("weak") or here["strong"]
    unit = "Mpx/s" if shown.mpx else "tasks/s"
    strong, weak = (efficiency(rows, scaling, count) for scaling in ("strong", "weak"))
    bound = shown.bound
    return [
        stage if count == min(row.workers for row in rows) else "",
        str(count),
        f"{shown.rate:.3g} {unit}",
        "" if strong is None else f"{100 * strong:.0f} %",
        "" if weak is None else f"{100 * weak:.0f} %",
        f"{_WORDS[bound]} ({100 * shown.shares[bound]:.0f} %)",
    ]


def efficiency(rows: Sequence[Row], scaling: str, count: int) -> float | None:
    """Return the rate of so many workers over that of the fewest, each of both; None where it was not measured.

    Parameters
    ----------
    rows : sequence of Row
        Of one stage.
    scaling : str
        ``strong`` or ``weak``.
    count : int
        Number of workers.
    """
    some = {row.workers: row for row in rows if row.scaling == scaling}
    if count not in some:
        return None
    first = min(some)
    return (some[count].rate / count) / (some[first].rate / first)


def write_record(path: Path, facts: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write everything as JSON."""
    found = [asdict(row) | {"rate": round(row.rate, 4), "bound_by": row.bound} for row in rows]
    for one in found:
        one |= {name: round(one[name], 4) for name in ("seconds", "mpx", "read_mb", "written_mb")}
    path.write_text(json.dumps(facts | {"results": found}, indent=1) + "\n", encoding="utf-8")


def bench_plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw rates by workers, beside the ideal, and what the time of all workers went into."""
    from matplotlib.figure import Figure

    stages = list(dict.fromkeys(row.stage for row in rows))
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    for n, stage in enumerate(stages):
        some = sorted((r for r in rows if r.stage == stage and r.scaling == "weak"), key=lambda r: r.workers)
        base = some[0].rate / some[0].workers
        left.plot([r.workers for r in some], [r.rate / base for r in some], marker="osD^vP"[n % 6], label=stage)
    most = max(row.workers for row in rows)
    left.plot([1, most], [1, most], color="0.6", linestyle="--", label="ideal")
    left.set(xlabel="workers", ylabel="rate, of that of one worker", title="Weak scaling")
    left.set_xticks(sorted({row.workers for row in rows}))
    left.legend(frameon=False)
    last = {row.stage: row for row in rows if row.workers == most and row.scaling == "weak"}
    start = [0.0] * len(stages)
    for name in LIMITS:
        widths = [100 * last[stage].shares[name] for stage in stages]
        right.barh(stages, widths, left=start, color=_COLOURS[name], label=_WORDS[name])
        start = [a + b for a, b in zip(start, widths, strict=True)]
    for n, stage in enumerate(stages):
        row = last[stage]
        text = f"{row.rate:.3g} {'Mpx/s' if row.mpx else 'tasks/s'}"
        right.annotate(text, (101, n), va="center", fontsize=9, annotation_clip=False)
    right.set(xlabel="share of the workers' time, %", xlim=(0, 100), title=f"All {most} workers")
    right.invert_yaxis()
    right.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16), handlelength=1)
    figure.savefig(path, dpi=120)
