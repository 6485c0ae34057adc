"""Tasks that fail, dawdle or die on demand, for tests of the loop that runs plans."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from smdown.errors import InputError
from smdown.plan import Receipt


@dataclass(frozen=True, slots=True)
class TrialTask:
    """A task that leaves a file, after some trouble.

    Parameters
    ----------
    key : str
        Name of the task, and of its file.
    folder : str
        Where the file goes; the attempts are counted beside it.
    fails : int
        Attempts that raise OSError before one succeeds.
    deaths : int
        Attempts that kill their own process before one succeeds.
    refuses : bool
        Whether it raises InputError, which no second attempt can mend.
    seconds : float
        How long it sleeps.
    hoards : int
        Bytes that it takes and keeps while it sleeps.
    full : bool
        Whether it finds the disk full.
    """

    key: str
    folder: str
    fails: int = 0
    deaths: int = 0
    refuses: bool = False
    seconds: float = 0.0
    hoards: int = 0
    full: bool = False


def run_trial(task: TrialTask) -> Receipt:
    """Run a :class:`TrialTask`."""
    with (Path(task.folder) / f"{task.key}.attempts").open("ab") as log:
        log.write(b".")
    count = attempts(task)
    if task.refuses:
        raise InputError(f"got {task.key},\nwhich cannot be read; mend it")
    if count <= task.deaths:
        time.sleep(0.5)  # results of its neighbours have left this worker by then
        os.kill(os.getpid(), signal.SIGKILL)
    if count <= task.fails:
        raise OSError(f"attempt {count} of {task.key} met [a bad sector]")
    if task.full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), task.key)
    hoard = b"x" * task.hoards
    time.sleep(task.seconds)
    del hoard
    (Path(task.folder) / task.key).write_text(f"content of {task.key}")
    return Receipt(task.key, pixels=10)


def attempts(task: TrialTask) -> int:
    """Return how often a task was begun."""
    log = Path(task.folder) / f"{task.key}.attempts"
    return log.stat().st_size if log.exists() else 0
