"""What the commands print at their end: short tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smdown import cubes
from smdown.redact import redact
from smdown.runlog import read_json
from smdown.sources.quality import heading, quality_reports, variable_rows

if TYPE_CHECKING:
    from smdown.project import Project

REASONS_SHOWN = 10
"""Files set aside of a source whose reasons the console shows."""
_MEMBERS = ("coarse_nearest", "coarse_cubic", "dnn", "cnn", "lstm", "ensemble")


def stage_table(project: Project) -> Table:
    """Return what each stage took."""
    table = Table(title="Stages", title_justify="left")
    for column in ("stage", "seconds", "tasks", "Mpx", "Mpx/s", "peak GiB"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, stage in read_json(project.url("run.json")).get("stages", {}).items():
        table.add_row(
            name,
            f"{stage['seconds']:.1f}",
            f"{stage['tiles_done'] + stage['tiles_skipped']}/{stage['tiles_total']}",
            f"{stage['pixels'] / 1e6:.1f}" if stage["pixels"] else "",
            f"{stage['mpx_s']:.2f}" if stage["pixels"] else "",
            f"{stage['bytes_peak'] / 2**30:.2f}" if stage["bytes_peak"] else "",
        )
    return table


def quality_summary(project: Project) -> Group | None:
    """Return what the ingest found in each source, with the reasons of files set aside; None before any ingest."""
    reports = quality_reports(project.url("sources"), list(project.config.sources))
    if not reports:
        return None
    rows = {report.source: variable_rows(report) for report in reports}
    widths = [max(len(row[n]) for found in rows.values() for row in found) for n in range(5)]
    parts: list[RenderableType] = [Text("Inputs", style="italic")]
    for report in reports:
        parts.append(Text.assemble((report.source, "bold"), f": {heading(report)}"))
        parts += [
            Text(f"  set aside: {redact(reason)}", style="yellow") for reason in _some(list(report.set_aside.values()))
        ]
        grid = Table.grid(padding=(0, 1))
        for n, justify in enumerate(("left", "right", "right", "right", "left")):
            grid.add_column(justify=justify, min_width=widths[n] + 2 * (n == 0))  # type: ignore[arg-type]
        grid.add_column(no_wrap=True)
        for name, *rest in rows[report.source]:
            grid.add_row(f"  {name}", *rest)
        parts.append(grid)
    return Group(*parts)


def _some(reasons: list[str]) -> list[str]:
    more = len(reasons) - REASONS_SHOWN
    return [*reasons[:REASONS_SHOWN], f"and {more} more"] if more > 0 else reasons


def metrics_tables(project: Project) -> list[Table]:
    """Return one table a layer and reference: how each member compares."""
    metrics = read_json(project.url("evaluation", "metrics.json"))
    return [
        _metrics_table(layer, reference, members)
        for layer, references in metrics.get("layers", {}).items()
        for reference, members in references.items()
        if reference in ("truth", "stations")
    ]


def _metrics_table(layer: str, reference: str, members: dict[str, Any]) -> Table:
    table = Table(title=f"{layer} against {reference}", title_justify="left")
    columns = ("rmse", "ubrmse", "bias", "r", "r_within_cell")
    for column in ("member", *columns):
        table.add_column(column, justify="left" if column == "member" else "right")
    for name in sorted(members, key=lambda m: _MEMBERS.index(m) if m in _MEMBERS else 99):
        if isinstance(members[name], dict):
            values = [members[name].get(column) for column in columns]
            table.add_row(name, *(f"{v:.4f}" if isinstance(v, float) else "" for v in values))
    return table


def look_at(project: Project) -> list[tuple[str, str]]:
    """Return what there is to look at, and where."""
    places = [("report", project.url("report.html")), ("map", project.mosaic_url)]
    places += [("quicklook", name) for name in project.quicklook_urls]
    return [(what, place) for what, place in places if cubes.exists(place)]
