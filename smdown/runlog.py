"""The record of a run: ``run.json``, where it stands and what each stage took; ``failed.json``, tasks that failed."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import smdown
from smdown.cubes import delete, exists, get, join, put
from smdown.cubes.lease import Lease
from smdown.cubes.store import is_local
from smdown.plan import Receipt
from smdown.redact import redact
from smdown.runtime import Outcome, Progress
from smdown.runtime.outcome import Status, status_of
from smdown.runtime.tally import Tally
from smdown.runtime.watcher import Watcher

FAILED = "failed.json"
"""Of a project directory: ``{stage: {task: reason}}`` of the last run; a task that is there is tried again."""
EVERY_S, EVERY_FAR_S = 5.0, 15.0
"""Seconds between two writes of ``run.json`` while a stage goes on, on a file system and in a bucket."""
_PACKAGES = ("numpy", "xarray", "zarr", "dask", "distributed", "torch", "pytorch-lightning", "rasterio", "numba")


class RunLog(Watcher):
    """``run.json`` of a project directory: where a run stands, and what its stages took.

    Stages that are run again replace their entries. While a run goes on, the file is written anew every few seconds,
    so that others can see how far it is; a run that finds all its work done leaves the record of whoever did it.

    Parameters
    ----------
    workdir : str
        The project directory.
    name : str
        Name of the project.
    command : str
        How the user called it; secrets in it are hidden.
    stages : sequence of str
        What it is to do, in order.
    lease : Lease, optional
        The run's hold of the directory, from which the record says who it is.
    """

    def __init__(
        self, workdir: str, name: str, command: str, stages: Sequence[str] = (), lease: Lease | None = None
    ) -> None:
        self._url, self._failed = join(workdir, "run.json"), join(workdir, FAILED)
        self._every_s = EVERY_S if is_local(workdir) else EVERY_FAR_S
        self._lease, self._written, self._doing = lease, 0.0, ""
        before = read_json(self._url)
        self._open = before.get("state", "finished") != "finished"  # then even a run without work ends it
        owner = None if lease is None else lease.owner
        self._data: dict[str, Any] = {
            "name": name,
            "command": redact(command),
            "state": "running",
            "started": _now(),
            "updated": _now(),
            "owner": None if owner is None else {k: v for k, v in asdict(owner).items() if k != "seen"},
            "order": list(stages),
            "versions": versions(),
            "now": None,
            "stages": before.get("stages", {}),
        }

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep how the run ends, where there was anything to do."""
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._data["state"] = status_of(error)
            if error is None:
                self._data["now"] = None
            else:
                self._data["reason"] = redact(" ".join(str(error).split())) or type(error).__name__
                if self._doing and self._data["now"] is None:
                    self._note(Tally(self._doing, 0))
            if error is None and self._open:
                self._write()
            elif error is not None:
                with suppress(Exception):  # the disk or the line may be what it stopped at
                    self._write()

    def begin(self, name: str) -> None:
        """Note which stage is to be done now, should it end before its first task."""
        self._doing = name

    def add(self, name: str, outcome: Outcome, error: BaseException | None = None) -> None:
        """Record a stage; one that found all its work done leaves the record of whoever did it."""
        self._doing = ""
        self._keep_failed(name, outcome.failed)
        if name in self._data["stages"] and not outcome.receipts and outcome.skipped == outcome.total:
            return
        state = "failed" if outcome.failed else status_of(error)
        self._data["stages"][name] = {"state": state, "ended": _now()} | outcome.as_json()
        self._data["now"] = None
        self._open = True
        self._write()

    def began(self, tally: Tally) -> None:
        """See :class:`Watcher`."""
        if tally.done < tally.total:
            self._open = True
            self._note(tally, started=_now())
            self._write_soon(force=True)

    def advanced(self, tally: Tally, receipt: Receipt | None) -> None:
        """See :class:`Watcher`."""
        del receipt
        if time.monotonic() - self._written >= self._every_s:
            self._note(tally)
            self._write_soon()

    def failed(self, tally: Tally, key: str, reason: str) -> None:
        """See :class:`Watcher`."""
        del key, reason
        self.advanced(tally, None)

    def ended(self, tally: Tally, status: Status) -> None:
        """See :class:`Watcher`."""
        del status
        if self._data["now"] is not None:
            self._note(tally)

    def _note(self, tally: Tally, **more: Any) -> None:
        before = self._data["now"] or {}
        kept = {"started": before["started"]} if before.get("stage") == tally.stage else {"started": _now()}
        self._data["now"] = kept | more | tally.as_json() | {"failed": dict(tally.reasons)}

    def _write_soon(self, *, force: bool = False) -> None:
        """Write where a stage stands; nobody's work ends because that did not go well once."""
        if force or time.monotonic() - self._written >= self._every_s:
            with suppress(Exception):
                self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._lease is not None and self._lease.lost_to is not None:
            return  # the file is another's now
        self._data["updated"] = _now()
        put(self._url, json.dumps(self._data, indent=1).encode())

    def _keep_failed(self, name: str, failed: dict[str, str]) -> None:
        """Keep the reason of every failed task by stage and task; a file without any is removed."""
        before = read_json(self._failed)
        now = {stage: tasks for stage, tasks in before.items() if stage != name} | ({name: failed} if failed else {})
        if now:
            put(self._failed, json.dumps(now, indent=1).encode())
        elif exists(self._failed):
            delete(self._failed)


@contextmanager
def watched(progress: Progress, log: RunLog | None) -> Iterator[None]:
    """Let a log, where there is one, hear of a run's stages and of its end."""
    if log is None:
        yield
        return
    progress.add(log)
    try:
        with log.recording():
            yield
    finally:
        progress.remove(log)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


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
