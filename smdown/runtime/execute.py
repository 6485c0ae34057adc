"""The only loop that runs a plan: bounded work in flight, retries, progress, a clean stop."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client, Future, as_completed

from smdown.errors import IncompleteError, SmdownError
from smdown.plan import Plan, Receipt, TileTask
from smdown.runtime.client import check_memory
from smdown.runtime.progress import Progress


@dataclass
class Outcome:
    """What became of a plan.

    Parameters
    ----------
    stage : str
        Name of the stage.
    total, skipped : int
        Tasks of the whole, and those that an earlier run had finished.
    receipts : list of Receipt
        Of the tasks that finished now.
    failed : dict
        Reason in one line, by task, of those that failed every time.
    seconds : float
        Wall time.
    bytes_planned : int
        Memory of one task, as planned.
    """

    stage: str
    total: int
    skipped: int
    bytes_planned: int
    receipts: list[Receipt] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def pixels(self) -> int:
        """Pixels written now."""
        return sum(r.pixels for r in self.receipts)

    @property
    def notes(self) -> list[str]:
        """What the tasks want the user to hear."""
        return [note for r in self.receipts for note in r.notes]

    def as_json(self) -> dict[str, float | int | dict[str, str]]:
        """Return the stage's entry of ``run.json``."""
        return {
            "seconds": round(self.seconds, 3),
            "pixels": self.pixels,
            "mpx_s": round(self.pixels / 1e6 / self.seconds, 4) if self.seconds > 0 else 0.0,
            "bytes_planned": self.bytes_planned,
            "bytes_peak": max((r.peak_bytes for r in self.receipts), default=0),
            "tiles_total": self.total,
            "tiles_done": len(self.receipts),
            "tiles_skipped": self.skipped,
            "tiles_failed": len(self.failed),
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed every time, in one line."""

    reason: str


def attempt(run: Callable[..., Receipt], task: TileTask, retries: int) -> Receipt | Failure:
    """Run one task, again where it fails by accident; add wall time and peak memory to its receipt.

    The failure is returned, not raised: it is a result like any other, and the rest of the plan goes on.
    """
    start = time.perf_counter()
    for left in range(retries, -1, -1):
        try:
            receipt = run(task)
        except SmdownError as error:
            return Failure(_one_line(error))
        except Exception as error:  # noqa: BLE001 - a task may fail in any way
            if left == 0:
                return Failure(f"{type(error).__name__}: {_one_line(error)}")
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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


def execute(plan: Plan, client: Client | None, progress: Progress, *, retries: int = 2) -> Outcome:
    """Run every task of a plan.

    Parameters
    ----------
    plan : Plan
        What to run.
    client : distributed.Client, optional
        Where; None runs the tasks here, one after another.
    progress : Progress
        Who hears of it.
    retries : int
        How often a failed task is tried again.

    Returns
    -------
    Outcome
        Receipts, failures and times. A failed task does not stop the others.

    Raises
    ------
    ResourceError
        If a task may need more memory than a worker has.
    IncompleteError
        If the user interrupts: tasks in flight on workers have been finished by then; one that ran here has left no
        receipt and is done again.
    """
    check_memory(plan, client)
    outcome = Outcome(plan.stage, plan.total, plan.done, plan.task_bytes)
    start = time.perf_counter()
    with progress.stage(plan.stage, plan.total, plan.done) as bar:
        recorded: set[str] = set()

        def record(task: TileTask, result: Receipt | Failure) -> None:
            if task.key in recorded:  # Ctrl-C came between its record and its landing
                return
            recorded.add(task.key)
            if isinstance(result, Receipt):
                outcome.receipts.append(result)
                bar.advance(result)
            else:
                outcome.failed[task.key] = result.reason
                bar.fail(task.key, result.reason)

        try:
            if client is None:
                for task in plan.tasks:
                    record(task, attempt(plan.run, task, retries))
            else:
                _on_cluster(plan, client, retries, record)
        except KeyboardInterrupt:
            left = len(plan.tasks) - len(outcome.receipts)
            raise IncompleteError(
                f"stopped in stage {plan.stage} with {left} of {plan.total} tasks left; "
                "run the same command again to go on"
            ) from None
        finally:
            outcome.seconds = time.perf_counter() - start
    return outcome


_Record = Callable[[TileTask, Receipt | Failure], None]


def _on_cluster(plan: Plan, client: Client, retries: int, record: _Record) -> None:
    flight = _Flight(plan.run, client, retries, record)
    waiting = iter(plan.tasks)
    try:
        flight.fill(waiting)
        for future in flight.finished:
            flight.land(future)
            flight.fill(waiting)
    except KeyboardInterrupt:
        flight.land_all()
        raise


class _Flight:
    """The tasks that the cluster has now: two a thread, so that none is idle while the client thinks."""

    def __init__(self, run: Callable[..., Receipt], client: Client, retries: int, record: _Record) -> None:
        self._run, self._client, self._retries, self._record = run, client, retries, record
        self._aloft: dict[str, tuple[TileTask, Future]] = {}
        self.finished = as_completed()

    def fill(self, waiting: Iterator[TileTask]) -> None:
        """Submit tasks until enough are in flight."""
        free = 2 * max(1, sum(self._client.nthreads().values())) - len(self._aloft)
        for task in itertools.islice(waiting, max(0, free)):
            future = self._client.submit(attempt, self._run, task, self._retries, pure=False)
            self._aloft[future.key] = task, future
            self.finished.add(future)

    def land(self, future: Future) -> None:
        """Record what became of a task; until then it counts as in flight."""
        self._record(self._aloft[future.key][0], _result(future))
        del self._aloft[future.key]

    def land_all(self) -> None:
        """Wait for what is in flight, so that no tile is left half done."""
        for _, future in list(self._aloft.values()):
            self.land(future)


def _result(future: Future) -> Receipt | Failure:
    """Fetch what the task returned; as an attempt raises nothing, whatever is raised here is the cluster's doing."""
    try:
        result: Receipt | Failure = future.result()
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - one lost worker must not end the plan
        return Failure(f"its worker was lost ({type(error).__name__}: {_one_line(error)})")
    return result
