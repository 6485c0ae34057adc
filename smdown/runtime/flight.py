"""The tasks that a cluster has now: submitted, landed, and what becomes of those whose worker died."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed

from smdown.errors import IncompleteError
from smdown.plan import Receipt, TileTask
from smdown.runtime.attempt import Failure, attempt, one_line

Record = Callable[[TileTask, Receipt | Failure], None]
GRACE_S = 5.0
"""How long a run that is asked to end waits for tasks under way; what takes longer is done again by the next."""


class SchedulerLostError(IncompleteError):
    """The scheduler does not answer any more; what it knew of this run is gone."""


class Flight:
    """Two tasks a thread, so that none is idle while the client thinks.

    A worker that dies takes with it whatever it had, and nobody can tell which task was to blame. So each is sent
    again; one that has met `retries` deaths more is sent once with nothing beside it, at the end, and is to blame if
    its worker dies even then.

    Parameters
    ----------
    run : callable
        ``run(task) -> Receipt``.
    client : distributed.Client
        Of the cluster.
    retries : int
        How often a failed or lost task is tried again.
    record : callable
        Hears what became of each task.
    workers : sequence of str, optional
        Addresses of those that may be used, and are waited for; all by default.
    """

    def __init__(
        self,
        run: Callable[..., Receipt],
        client: Client,
        retries: int,
        record: Record,
        workers: Sequence[str] | None = None,
    ) -> None:
        self._workers = None if workers is None else list(workers)
        self._run, self._client, self._retries, self._record = run, client, retries, record
        self._aloft: dict[str, tuple[TileTask, Future]] = {}
        self._again: deque[TileTask] = deque()
        self._suspects: deque[TileTask] = deque()
        self._deaths: Counter[str] = Counter()
        self._alone = ""
        self._landed = as_completed()

    @property
    def workers_lost(self) -> bool:
        """Whether a worker died, and may have left temporary files."""
        return bool(self._deaths)

    def run_all(self, tasks: Iterable[TileTask]) -> None:
        """Run every task; what became of each is recorded."""
        waiting = iter(tasks)
        self._fill(waiting)
        for future in self._landed:
            self._land(future)
            self._fill(waiting)

    def land_all(self, seconds: float = GRACE_S) -> None:
        """Wait a while for what is in flight, so that little is left half done; the rest is given up."""
        deadline = time.monotonic() + seconds
        for task, future in list(self._aloft.values()):
            try:
                self._record(task, future.result(timeout=max(0.01, deadline - time.monotonic())))
            except (Exception, asyncio.CancelledError):  # noqa: BLE001, S112 - whatever it is, a rerun sees to it
                continue
        self._client.cancel([future for _, future in self._aloft.values()], force=True)

    def _fill(self, waiting: Iterator[TileTask]) -> None:
        """Submit tasks until enough are in flight; suspects one at a time, when there is nothing else."""
        try:
            known = self._client.nthreads()
            threads = sum(known[name] for name in known if self._workers is None or name in self._workers)
        except Exception as error:
            raise self._lost_scheduler() from error
        for _ in range(2 * max(1, threads) - len(self._aloft)):
            task = self._again.popleft() if self._again else next(waiting, None)
            if task is None:
                break
            self._submit(task)
        if not self._aloft and self._suspects:
            task = self._suspects.popleft()
            self._alone = task.key
            self._submit(task)

    def _submit(self, task: TileTask) -> None:
        future = self._client.submit(attempt, self._run, task, self._retries, pure=False, workers=self._workers)
        self._aloft[future.key] = task, future
        self._landed.add(future)

    def _land(self, future: Future) -> None:
        """Record what became of a task, or send it again; until then it counts as in flight."""
        task = self._aloft[future.key][0]
        try:
            result = future.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - an attempt raises nothing: it is the cluster
            self._mourn(task, error)
        else:
            self._record(task, result)
        del self._aloft[future.key]

    def _mourn(self, task: TileTask, error: BaseException) -> None:
        """See to a task whose result did not come."""
        if self._client.status != "running" or getattr(error, "reason", "") == "scheduler-connection-lost":
            raise self._lost_scheduler() from error
        if not isinstance(error, KilledWorker | asyncio.CancelledError):
            self._record(task, Failure(f"no worker could take it ({type(error).__name__}: {one_line(error)})"))
            return
        self._deaths[task.key] += 1 + getattr(error, "allowed_failures", 0)
        if task.key == self._alone:
            self._record(task, Failure(self._blame(task, error)))
        elif self._deaths[task.key] > self._retries:
            self._suspects.append(task)
        else:
            self._again.append(task)

    def _blame(self, task: TileTask, error: Any) -> str:
        limit = getattr(getattr(error, "last_worker", None), "memory_limit", 0)
        memory = f" of {limit / 2**30:.2f} GiB" if limit else ""
        return (
            f"its worker died {self._deaths[task.key]} times, the last time with no other task beside it: most likely "
            f"it needs more memory than a worker has{memory}"
        )

    def _lost_scheduler(self) -> SchedulerLostError:
        where = getattr(getattr(self._client, "scheduler", None), "address", None) or "its address"
        return SchedulerLostError(f"lost the scheduler at {where}")
