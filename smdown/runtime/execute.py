"""The only loop that runs a plan: bounded work in flight, retries, progress, a clean stop."""

from __future__ import annotations

import time
from collections.abc import Sequence

from distributed import Client

from smdown.plan import Plan, Receipt, TileTask
from smdown.redact import redact
from smdown.runtime.attempt import Failure, attempt
from smdown.runtime.client import check_memory, current_retries
from smdown.runtime.flight import Flight, Record, SchedulerLostError
from smdown.runtime.outcome import Outcome, StoppedError
from smdown.runtime.progress import Bar, Progress


class _EndOfAllError(Exception):
    """A task met what every other would meet too."""


def execute(
    plan: Plan,
    client: Client | None,
    progress: Progress,
    *,
    retries: int | None = None,
    workers: Sequence[str] | None = None,
) -> Outcome:
    """Run every task of a plan.

    Parameters
    ----------
    plan : Plan
        What to run.
    client : distributed.Client, optional
        Where; None runs the tasks here, one after another.
    progress : Progress
        Who hears of it.
    retries : int, optional
        How often a failed task is tried again; by default as the profile of the client says.
    workers : sequence of str, optional
        Addresses of the workers that may be used; all of them by default.

    Returns
    -------
    Outcome
        Receipts, failures and times. A failed task does not stop the others.

    Raises
    ------
    ResourceError
        If a task may need more memory than a worker has.
    StoppedError
        If the user interrupts (tasks in flight on workers have a few seconds to be finished; one that ran here has
        left no receipt and is done again), the disk is full, or the scheduler is lost.
    """
    check_memory(plan, client)
    outcome = Outcome(plan.stage, plan.total, plan.done, plan.task_bytes)
    start = time.perf_counter()
    retries = current_retries() if retries is None else retries
    with progress.stage(plan.stage, plan.total, plan.done, plan.task_bytes) as bar:
        record = _recorder(outcome, bar)
        try:
            if client is None:
                for task in plan.tasks:
                    record(task, attempt(plan.run, task, retries))
            else:
                _on_cluster(Flight(plan.run, client, retries, record, workers), plan, outcome)
        except KeyboardInterrupt:
            raise _stopped("stopped", plan, outcome) from None
        except _EndOfAllError as error:
            raise _stopped(f"stopped ({error})", plan, outcome, "free some space, then ") from None
        except SchedulerLostError as error:
            raise _stopped(str(error), plan, outcome, "start one, then ") from None
        finally:
            outcome.seconds = time.perf_counter() - start
    return outcome


def _recorder(outcome: Outcome, bar: Bar) -> Record:
    """Return what records the result of a task, once, in the outcome and on the bar."""
    recorded: set[str] = set()

    def record(task: TileTask, result: Receipt | Failure) -> None:
        if task.key in recorded:  # Ctrl-C came between its record and its landing
            return
        if isinstance(result, Failure) and result.ends_all:
            raise _EndOfAllError(redact(result.reason))
        recorded.add(task.key)
        if isinstance(result, Receipt):
            outcome.receipts.append(result)
            bar.advance(result)
        else:
            outcome.failed[task.key] = redact(result.reason)
            bar.fail(task.key, result.reason)

    return record


def _stopped(what: str, plan: Plan, outcome: Outcome, first: str = "") -> StoppedError:
    left = len(plan.tasks) - len(outcome.receipts)
    message = f"{what} in stage {plan.stage} with {left} of {plan.total} tasks left; {first}run the same command again"
    return StoppedError(f"{message} to go on", outcome)


def _on_cluster(flight: Flight, plan: Plan, outcome: Outcome) -> None:
    try:
        flight.run_all(plan.tasks)
    except (KeyboardInterrupt, _EndOfAllError):
        flight.land_all()
        raise
    finally:
        outcome.workers_lost = flight.workers_lost
