"""The record of a run: ``run.json``, what each stage took, made and met; ``failed.json``, the tasks that failed."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import smdown
from smdown.cubes import delete, exists, get, join, put
from smdown.runtime import Outcome

FAILED = "failed.json"
"""Of a project directory: ``{stage: {task: reason}}`` of the last run; a task that is there is tried again."""
_PACKAGES = ("numpy", "xarray", "zarr", "dask", "distributed", "torch", "pytorch-lightning", "rasterio", "numba")


class RunLog:
    """``run.json`` of a project directory; stages that are run again replace their entries.

    Parameters
    ----------
    workdir : str
        The project directory.
    name : str
        Name of the project.
    command : str
        How the user called it.
    """

    def __init__(self, workdir: str, name: str, command: str) -> None:
        self._url, self._failed = join(workdir, "run.json"), join(workdir, FAILED)
        self._data: dict[str, Any] = {
            "name": name,
            "command": command,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "stages": read_json(self._url).get("stages", {}),
        }

    def add(self, name: str, outcome: Outcome) -> None:
        """Record a stage; one that found all its work done leaves the record of whoever did it."""
        self._keep_failed(name, outcome.failed)
        if name in self._data["stages"] and not outcome.receipts and outcome.skipped == outcome.total:
            return
        self._data["stages"][name] = outcome.as_json()
        put(self._url, json.dumps(self._data, indent=1).encode())

    def _keep_failed(self, name: str, failed: dict[str, str]) -> None:
        """Keep the reason of every failed task by stage and task; a file without any is removed."""
        before = read_json(self._failed)
        now = {stage: tasks for stage, tasks in before.items() if stage != name} | ({name: failed} if failed else {})
        if now:
            put(self._failed, json.dumps(now, indent=1).encode())
        elif exists(self._failed):
            delete(self._failed)


def versions() -> dict[str, str]:
    """Return the versions of everything that can change a result."""
    found = {"smdown": smdown.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def read_json(url: str) -> dict[str, Any]:
    """Return a JSON file of the project directory, or nothing where there is none."""
    found = get(url)
    data: dict[str, Any] = json.loads(found) if found is not None else {}
    return data
