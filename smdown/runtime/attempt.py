"""One task, wherever it runs: tried again where it fails by accident, its failure a result like any other."""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smdown.errors import SmdownError, is_disk_full
from smdown.plan import Receipt, TileTask
from smdown.redact import redact


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed every time, in one line.

    Parameters
    ----------
    reason : str
        For people.
    ends_all : bool
        Whether no other task can do better, as on a full disk.
    """

    reason: str
    ends_all: bool = False


def attempt(run: Callable[..., Receipt], task: TileTask, retries: int) -> Receipt | Failure:
    """Run one task, again where it fails by accident; add wall time and peak memory to its receipt.

    The failure is returned, not raised: it is a result like any other, and the rest of the plan goes on.
    """
    start = time.perf_counter()
    for left in range(retries, -1, -1):
        try:
            receipt = run(task)
        except Exception as error:  # noqa: BLE001 - a task may fail in any way
            if is_disk_full(error):
                return Failure(one_line(error), ends_all=True)
            if isinstance(error, SmdownError):
                return Failure(one_line(error))
            if left == 0:
                return Failure(f"{type(error).__name__}: {one_line(error)}")
        else:
            return dataclasses.replace(receipt, seconds=time.perf_counter() - start, peak_bytes=peak_bytes())
    raise AssertionError


def peak_bytes() -> int:
    """Return the most memory that this process has held since it began.

    ``ru_maxrss`` is a fallback only: on Linux a process that was spawned begins with its parent's.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line and without secrets."""
    return redact(" ".join(str(error).split()))[:400] or type(error).__name__
