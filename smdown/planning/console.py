"""A plan for people: a table of the grids, one of the stages, and a few lines, readable in 80 columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smdown.grid import nominal_ratio
from smdown.planning.counts import tile_count
from smdown.planning.model import RunPlan, StagePlan
from smdown.planning.rates import CALIBRATED, MEASURED, REFERENCE

if TYPE_CHECKING:
    from smdown.project import Project

_MARKS = {MEASURED: "", CALIBRATED: "", REFERENCE: "~"}
_MEANING = {
    MEASURED: "as the last run measured it",
    CALIBRATED: "as some of its tiles took just now",
    REFERENCE: "~ by a reference, nothing was measured here",
}


def plan_tables(project: Project, plan: RunPlan) -> list[RenderableType]:
    """Return what a run will make and need, for a console."""
    return [_grids(project), _stages(plan), _lines(plan)]


def places_table(names: Sequence[str], plans: Sequence[RunPlan]) -> RenderableType:
    """Return the same run at several places, a line each: workers, memory of a task and whether it is enough, time."""
    table = _table("place", "kind", "workers", "threads", "memory", "enough", "time")
    for name, plan in zip(names, plans, strict=True):
        place = plan.capacity
        have = "?" if place.thread_bytes is None else size(place.thread_bytes)
        enough = "?" if place.thread_bytes is None else "yes" if place.thread_bytes >= plan.task_bytes else "no"
        marks = {_MARKS.get(stage.basis, "") for stage in plan.stages if stage.new}
        table.add_row(
            name, place.kind, str(place.workers), str(place.threads), have, enough, max(marks) + duration(plan.seconds)
        )
    needed = size(max(plan.task_bytes for plan in plans)) or "nothing"
    return Group(Text(f"The same run elsewhere: memory is that of a task, which needs {needed}", style="italic"), table)


def write_json(plans: Sequence[RunPlan], path: Path, names: Sequence[str] = ()) -> None:
    """Write a plan as JSON; of several places the first one's, and what differs under ``places``."""
    found = plans[0].as_json()
    if len(plans) > 1:
        found["places"] = {
            name: plan.as_json()["place"] | {"seconds": plan.seconds, "problems": list(plan.problems)}
            for name, plan in zip(names, plans, strict=True)
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _grids(project: Project) -> RenderableType:
    config, grid = project.config, project.config.grid
    days = len(config.mapped_days)
    table = _table("grid", "rows x columns", "Mpx", "tiles")
    for resolution in config.features.resolutions:
        height, width = grid.at(nominal_ratio(grid.lattice, resolution)).shape
        tiles = tile_count(grid.cells, config.prediction.cells_per_tile)
        table.add_row(f"{resolution} m", f"{height} x {width}", f"{height * width / 1e6:.2f}", str(tiles))
    title = f"{config.name}: {_count(days, 'day')} mapped at {min(config.features.resolutions)} m"
    return Group(Text(title, style="italic"), table)


def _stages(plan: RunPlan) -> RenderableType:
    columns = ("stage", "new", "done", "Mpx", "reads", "writes", "memory", "time")
    table = _table(*columns)
    for stage in plan.stages:
        cells = _row(stage)
        table.add_row(*(cells[column] for column in columns))
    return Group(Text("A run: tasks, pixels, bytes, memory of one task, time", style="italic"), table)


def _row(stage: StagePlan) -> dict[str, str]:
    guess = "~" if stage.assumed else ""
    return {
        "stage": stage.stage,
        "new": str(stage.new),
        "done": str(stage.done),
        "Mpx": f"{guess}{stage.pixels / 1e6:.{1 if stage.pixels < 1e9 else 0}f}" if stage.pixels else "",
        "reads": "?" if stage.read_bytes is None else size(stage.read_bytes),
        "writes": "?" if stage.write_bytes is None else guess + size(stage.write_bytes),
        "memory": size(stage.task_bytes),
        "time": _MARKS.get(stage.basis, "") + duration(stage.seconds) if stage.new else "",
    }


def _lines(plan: RunPlan) -> Group:
    place = plan.capacity
    memory = "memory not known" if place.thread_bytes is None else f"{size(place.thread_bytes)} of memory a task"
    workers = "this process" if place.kind == "serial" else _count(place.workers, "worker")
    free = "free space not known" if plan.disk_free is None else f"{size(plan.disk_free)} free"
    where = " on this machine" if plan.elsewhere else ""
    bases = dict.fromkeys(stage.basis for stage in plan.stages if stage.new)
    meaning = "; ".join(_MEANING[basis] for basis in bases) or "nothing to do"
    lines = [
        Text.assemble(("place", "bold"), f"   {workers}, {_count(place.threads, 'thread')} each, {memory}"),
        Text.assemble(
            ("disk", "bold"), f"    {size(plan.disk_needed) or '0 B'} needed, {free} at {plan.workdir}{where}"
        ),
        Text.assemble(("time", "bold"), f"    {duration(plan.seconds)}: {meaning}"),
    ]
    lines += [Text(f"        {_speed(stage)}") for stage in plan.stages if stage.stage == "predict" and stage.new]
    lines += [Text(f"note    {note}", style="yellow") for note in (*plan.notes, *_failures(plan))]
    return Group(*lines)


def _speed(stage: StagePlan) -> str:
    """Say how fast a stage will be, what it spends its time on, and what memory was seen."""
    total = sum(stage.parts.values()) or 1.0
    shares = ", ".join(f"{name} {spent / total:.0%}" for name, spent in stage.parts.items() if name != "all")
    peak = f"a worker held {size(stage.peak_bytes)} at most" if stage.peak_bytes else ""
    return "; ".join(filter(None, (f"{stage.stage}: {stage.mpx_s or 0:.2f} Mpx/s", shares, peak)))


def _failures(plan: RunPlan) -> list[str]:
    return [
        f"{_count(stage.failed, 'task')} of {stage.stage} failed the last time, and will be tried again"
        for stage in plan.stages
        if stage.failed
    ]


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """Return bytes in about three digits with a unit, nothing for none."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1023.5 and len(units) > 1:
        value, units = value / 1024, units[1:]
    if not count:
        return ""
    return f"{value:.0f} {units[0]}" if value >= 99.5 or units[0] == "B" else f"{value:.3g} {units[0]}"


def duration(seconds: float | None) -> str:
    """Return a time in the unit that suits it."""
    if seconds is None:
        return "?"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
