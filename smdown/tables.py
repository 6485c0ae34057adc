"""What the commands print at their end: short tables for people."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smdown import cubes, features
from smdown.cubes.store import is_local, local_path
from smdown.grid import nominal_ratio
from smdown.inference.memory import Needs, task_bytes
from smdown.runlog import read_json
from smdown.runtime import Profile
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
        parts += [Text(f"  set aside: {reason}", style="yellow") for reason in _some(list(report.set_aside.values()))]
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


def plan_tables(project: Project, profile: Profile) -> list[Table]:
    """Return what a run will make and need."""
    config, grid = project.config, project.config.grid
    size = Table(title=f"{config.name}: grids", title_justify="left")
    for column in ("grid", "rows x columns", "Mpx", "tiles"):
        size.add_column(column, justify="left" if column == "grid" else "right")
    for resolution in config.features.resolutions:
        fine = grid.at(nominal_ratio(grid.lattice, resolution))
        height, width = fine.shape
        tiles = len(list(fine.tiles(config.prediction.cells_per_tile)))
        size.add_row(f"{resolution} m", f"{height} x {width}", f"{height * width / 1e6:.2f}", str(tiles))
    return [size, _needs_table(project, profile)]


def _needs_table(project: Project, profile: Profile) -> Table:
    table = Table(title="A run needs", title_justify="left")
    table.add_column("what")
    table.add_column("how much", justify="right")
    pixels = project.config.grid.window.size * len(project.config.mapped_days)
    counts = 2 * len(project.layers) * (2 + 3 * project.config.prediction.members)
    table.add_row("mosaic on disk, before compression", _gib(pixels * (counts + 1)))
    if is_local(project.workdir):
        table.add_row("free on that disk", _gib(shutil.disk_usage(_first_existing(local_path(project.workdir))).free))
    side = project.config.prediction.cells_per_tile
    table.add_row("memory a task, features", _gib(features.task_bytes(project.spec, side)))
    table.add_row("memory a task, predict", _gib(task_bytes(project.predict_job, _needs(project))))
    table.add_row("cluster", profile.cluster.kind)
    return table


def _needs(project: Project) -> Needs:
    """Return what prediction will hold, from the configuration alone: there may be no bundle yet."""
    spec, networks = project.spec, project.config.training.networks.chosen
    radius = max(getattr(network, "depth", 0) for network in networks.values())
    members = len(networks) * project.config.training.members
    return Needs(static=len(spec.static), dynamic=len(spec.dynamic), members=members, radius=radius)


def _first_existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _first_existing(path.parent)


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"
