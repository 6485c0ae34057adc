"""The report of a run, by its project file or by its folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from smdown import evaluation
from smdown.errors import ConfigError
from smdown.project.project import open_project


def report_of(
    what: str | Path, *, workdir: str | None = None, overrides: Iterable[str] = (), day: str | None = None
) -> str:
    """Write ``report.html`` anew from what lies in a run's folder, and return its place.

    Parameters
    ----------
    what : path-like
        Project file, or the folder of a run.
    workdir : str, optional
        Where the run's results are, for a project file.
    overrides : iterable of str
        ``a.b=c`` replaces one value of the project file.
    day : str, optional
        ISO day of the maps; by default one with truth near the middle.

    Raises
    ------
    ConfigError
        If there is neither a project file nor a run.
    """
    folder = Path(what)
    if not folder.is_dir():
        return open_project(what, workdir=workdir, overrides=overrides).write_report(day)
    if not any((folder / name).exists() for name in ("run.json", "mosaic.zarr", "evaluation")):
        raise ConfigError(f"got {what}, which holds no run; name a project file, or the folder that a run wrote to")
    return evaluation.write_report(folder, day=day)
