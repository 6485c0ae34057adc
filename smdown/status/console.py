"""What ``smdown status`` prints; it fits 80 columns."""

from __future__ import annotations

import json

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from smdown.redact import redact
from smdown.runtime.tally import duration_text
from smdown.status.reading import RunStatus, StageStatus, read_status

_STYLES = {"running": "cyan", "finished": "green", "failed": "red", "died": "red", "stopped": "yellow"}


def print_status(workdir: str, *, as_json: bool = False) -> None:
    """Print how far a run has come."""
    status, console = read_status(workdir), Console()
    if as_json:
        console.print(json.dumps(status.as_json(), indent=1), highlight=False, markup=False, soft_wrap=True)
        return
    for part in status_parts(status):
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text))


def status_parts(status: RunStatus) -> list[RenderableType]:
    """Return the lines and the table of a run's status."""
    style = _STYLES.get(status.state, "")
    started = f" (started {_moment(status.started)})" if status.started else ""
    parts: list[RenderableType] = [Text.assemble((status.name or "run", "bold"), ": ", (status.state, style), started)]
    parts += [Text(line) for line in _lines(status)]
    if status.stages:
        parts.append(_table(status.stages))
    for stage in status.stages:
        parts += [Text(f"failed {stage.name} {key}: {redact(why)}") for key, why in stage.reasons.items()]
        if stage.reasons and stage.failed > len(stage.reasons):
            parts.append(Text(f"and {stage.failed - len(stage.reasons)} more of {stage.name}; see failed.json"))
    return [*parts, *(Text(f"{what:<12} {redact(place)}") for what, place in status.results.items())]


def _lines(status: RunStatus) -> list[str]:
    found = [redact(status.reason)] if status.reason else []
    if status.state == "died":
        when = f"; its last record is of {_moment(status.updated)}" if status.updated else ""
        found.append(f"its process is gone and did not say why{when}; the same command goes on")
    if status.holder:
        whose = "" if status.state == "running" else "the directory is now held by "
        found.append(f"{whose}{status.holder.partition(', since')[0]}, last sign of life {status.seen_s:.0f} s ago")
    return found


def _table(stages: tuple[StageStatus, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("stage", "state", "tiles", "failed", "Mpx/s", "time", "eta", "peak GiB"):
        table.add_column(column, justify="left" if column in ("stage", "state") else "right", no_wrap=True)
    for stage in stages:
        table.add_row(stage.name, Text(stage.state, style=_STYLES.get(stage.state, "dim")), *_cells(stage))
    return table


def _cells(stage: StageStatus) -> list[str]:
    planned = f"/{stage.bytes_planned / 2**30:.2f}" if stage.bytes_planned else ""
    return [
        f"{stage.done}/{stage.total}" if stage.total else "",
        str(stage.failed or ""),
        f"{stage.mpx_s:.2f}" if stage.pixels else "",
        duration_text(stage.seconds) if stage.seconds else "",
        duration_text(stage.eta_s) if stage.state == "running" else "",
        f"{stage.bytes_peak / 2**30:.2f}{planned}" if stage.bytes_peak else "",
    ]


def _moment(iso: str) -> str:
    return iso[:19].replace("T", " ") + " UTC"
