"""What the command ``export`` does: which of a project's exports is meant, and what it says meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdown.errors import ConfigError
from smdown.export import write_series
from smdown.export.series import CSV, PARQUET, check_name
from smdown.runtime import Progress

if TYPE_CHECKING:
    from smdown.project.project import Project


def give(
    project: Project,
    progress: Progress,
    *,
    out: str | None,
    pyramid: str | None,
    points: Sequence[str] | None,
    polygons: Sequence[str] | None,
    layer: Sequence[str] | None,
    day: Sequence[str] | None,
    **maps: Any,
) -> str:
    """Write what is asked for, and return where.

    Raises
    ------
    ConfigError
        If it is not said where to write, or options do not go together.
    """
    if out is None and pyramid is None:
        raise ConfigError("got no place to write to; give --out or --pyramid")
    if (out or pyramid or "").strip() == "":
        raise ConfigError("got an empty --out or --pyramid; name a file or folder")
    if out is not None and pyramid is not None:
        raise ConfigError("got --out and --pyramid; give one at a time")
    unused = [f"--{name}" for name in ("crs", "resolution") if maps[name] is not None]
    if unused and (pyramid or points or polygons):
        raise ConfigError(f"got {unused[0]}, which is for GeoTIFFs alone; leave it out")
    if pyramid and (points or polygons):
        raise ConfigError("got --pyramid with points or polygons, which go to a table; give --out for them")
    chosen: dict[str, Any] = {"layer": layer, "day": day}
    if points or polygons:
        return _series(project, progress, str(out), points or (), polygons or (), chosen)
    if out and out.lower().endswith((*CSV, *PARQUET)):
        raise ConfigError(f"got {out}, a table, without places; give --point or --polygon")
    if out and out.rstrip("/").lower().endswith(".zarr"):
        raise ConfigError(f"got --out {out}; a Zarr pyramid is written with --pyramid")
    with progress.stage("export", 1) as bar:
        chosen["tell"] = lambda text, done, total: bar.update(done, total, text)
        return project.export_pyramid(pyramid, **chosen) if pyramid else project.export(str(out), **chosen, **maps)


def _series(
    project: Project, progress: Progress, out: str, points: Sequence[str], polygons: Sequence[str], chosen: Any
) -> str:
    check_name(out)
    for place in (*points, *polygons):
        if Path(place).exists() and Path(out).exists() and Path(place).samefile(out):
            raise ConfigError(f"got --out {out}, which is what places are read from; name another file")
    series = project.series(points, polygons, **chosen)
    for name in series.left_out:
        progress.say(f"{name} lies outside the map; left out")
    return write_series(series.table, out)
