"""How far a run has come, by the small files of its directory: from another process, or another machine."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from smdown.cubes import exists, get, join
from smdown.cubes.lease import NAME as LEASE
from smdown.cubes.lease import Owner
from smdown.errors import ConfigError
from smdown.redact import redact, redact_all
from smdown.runlog import FAILED, read_json
from smdown.runtime.attempt import one_line

RESULTS = (("report", "report.html"), ("map", "mosaic.zarr"), ("metrics", "evaluation/metrics.json"),
           ("performance", "performance"))  # fmt: skip
"""What a finished run leaves to look at."""
ORDER = ("ingest", "features", "train", "predict", "baselines", "evaluate")
"""Stages in the order in which one needs another."""
REASONS_TOLD = 5


@dataclass(frozen=True)
class StageStatus:
    """How far one stage has come.

    Parameters
    ----------
    name : str
        Its name.
    state : str
        ``waiting``, ``running``, ``finished``, ``failed``, ``stopped`` or ``died``.
    total, done, failed : int
        Its tasks, those that are finished (by whichever run), and those that failed every time.
    pixels : int
        Pixels written by the last run that had something to do.
    mpx_s, seconds : float
        Million pixels a second, and wall time, of that run.
    eta_s : float, optional
        Seconds that are left, while it is under way.
    bytes_peak, bytes_planned : int
        Largest memory of a worker, and of one task as planned; 0 where unknown.
    reasons : mapping
        Why tasks failed, by task; the first few.
    """

    name: str
    state: str
    total: int = 0
    done: int = 0
    failed: int = 0
    pixels: int = 0
    mpx_s: float = 0.0
    seconds: float = 0.0
    eta_s: float | None = None
    bytes_peak: int = 0
    bytes_planned: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunStatus:
    """How far a run has come.

    Parameters
    ----------
    workdir, name, command : str
        Where it is, what it is called, and how the user called it.
    state : str
        ``running``, ``finished``, ``failed``, ``stopped``, or ``died``: its process is gone and could not say so.
    started, updated : str
        When it began and when its record was last written, ISO, UTC.
    reason : str
        Why it did not finish, in one line.
    holder : str
        Which process writes in the directory now; empty where none does.
    seen_s : float, optional
        Seconds since the holder's last sign of life.
    stages : tuple of StageStatus
        In the order of the run.
    results : mapping
        What there is to look at, and where.
    """

    workdir: str
    name: str
    command: str
    state: str
    started: str
    updated: str
    reason: str = ""
    holder: str = ""
    seen_s: float | None = None
    stages: tuple[StageStatus, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        data: dict[str, Any] = redact_all(asdict(self))
        return data


def read_status(workdir: str) -> RunStatus:
    """Read how far a run has come, from a few small files.

    Parameters
    ----------
    workdir : str
        Its project directory, a folder or fsspec URL.

    Raises
    ------
    ConfigError
        If no run is there, or its record is damaged.
    """
    try:
        return _read_status(workdir)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # not the shape of a record
        if isinstance(error, ConfigError):
            raise
        place = redact(join(workdir, "run.json"))
        raise ConfigError(f"got {place}, which is damaged ({type(error).__name__}: {error}); remove it") from error


def _read_status(workdir: str) -> RunStatus:
    record, owner = _read(workdir, "run.json"), Owner.decode(get(join(workdir, LEASE)) or b"")
    living = owner is not None and not owner.gone
    if not record and not living:
        raise ConfigError(f"got {redact(workdir)}, which holds no run; name the --workdir of one")
    state = _state(record, owner if living else None)
    return RunStatus(
        workdir,
        str(record.get("name", "")),
        str(record.get("command", "")),
        state,
        str(record.get("started", owner.started if owner and not record else "")),
        str(record.get("updated", "")),
        str(record.get("reason", "")),
        str(owner) if living else "",
        round(max(0.0, time.time() - owner.seen), 1) if owner is not None and living else None,
        _stages(record, _read(workdir, FAILED), state),
        {what: join(workdir, name) for what, name in RESULTS if exists(join(workdir, name))},
    )


def _read(workdir: str, name: str) -> dict[str, Any]:
    place = join(workdir, name)
    try:
        found: object = read_json(place)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"got {redact(place)}, which is damaged ({error}); remove it") from error
    except Exception as error:  # a bucket or server answers in its own ways
        raise ConfigError(f"got {redact(place)}, which cannot be read ({one_line(error)}); correct it") from error
    if not isinstance(found, dict):
        raise ConfigError(f"got {redact(place)}, which is damaged (it holds no keys); remove it")
    return found


def _state(record: Mapping[str, Any], holder: Owner | None) -> str:
    """Return a run's state: one that says that it runs does so only while its own process holds the directory."""
    if not record:
        return "running"  # it has not begun its first stage
    state = str(record.get("state", "finished"))
    if state != "running":
        return state
    token = (record.get("owner") or {}).get("token")
    return "running" if holder is not None and holder.token == token else "died"


def _stages(record: Mapping[str, Any], failed: Mapping[str, Any], state: str) -> tuple[StageStatus, ...]:
    entries, now = record.get("stages", {}), record.get("now") or {}
    order = list(record.get("order", ()))
    current = now.get("stage")
    names = sorted({*entries, *order, *([current] if current else [])}, key=_place)
    return tuple(
        _current(now, state)
        if name == current
        else _ended(name, entries.get(name), failed.get(name, {}), _waits(name, record, state))
        for name in names
    )


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _waits(name: str, record: Mapping[str, Any], state: str) -> bool:
    """Whether a run under way has this stage still before it, whatever an earlier run made of it."""
    entry, current = record.get("stages", {}).get(name, {}), (record.get("now") or {}).get("stage")
    order = list(record.get("order", ()))
    if state != "running" or name not in order or current not in order:
        return False
    return order.index(name) > order.index(current) and entry.get("ended", "") < record.get("started", "")


def _current(now: Mapping[str, Any], state: str) -> StageStatus:
    return StageStatus(
        now["stage"],
        state,
        now["tiles_total"],
        now["tiles_done"] + now["tiles_skipped"],
        now["tiles_failed"],
        now["pixels"],
        now["mpx_s"],
        now["seconds"],
        _left(now) if state == "running" else None,
        now["bytes_peak"],
        now["bytes_planned"],
        _first(now.get("failed", {})),
    )


def _left(now: Mapping[str, Any]) -> float | None:
    return None if now.get("eta_s") is None else float(now["eta_s"])


def _ended(name: str, entry: Mapping[str, Any] | None, failed: Mapping[str, str], waits: bool) -> StageStatus:
    if entry is None or waits:
        return StageStatus(name, "waiting")
    done = entry["tiles_done"] + entry["tiles_skipped"]
    complete = "finished" if done >= entry["tiles_total"] or name == "train" else "stopped"
    return StageStatus(
        name,
        entry.get("state") or ("failed" if entry["tiles_failed"] else complete),
        entry["tiles_total"],
        done,
        entry["tiles_failed"],
        entry["pixels"],
        entry["mpx_s"],
        entry["seconds"],
        None,
        entry["bytes_peak"],
        entry["bytes_planned"],
        _first(failed or entry.get("failed", {})),
    )


def _first(reasons: Mapping[str, str]) -> dict[str, str]:
    return dict(list(reasons.items())[:REASONS_TOLD])
