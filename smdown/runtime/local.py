"""Worker processes of this machine: started, kept at their number, ended soon."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker

from distributed import Client, LocalCluster, Nanny, Status, Worker, WorkerPlugin

from smdown.runtime import profile as profiles
from smdown.stopping import ignore_stop_signals, undisturbed_children

_LOOK_S = 2.0


@contextmanager
def open_local(profile: profiles.LocalCluster) -> Iterator[Client]:
    """Start worker processes with their nannies, and end them at the end.

    A nanny starts a worker that died anew; one that has ended itself (it does so with a worker that left in good
    order) is replaced.
    """
    ended = threading.Event()
    with undisturbed_children():
        resource_tracker.ensure_running()  # Python's own child, which would die of some of these signals
    with _start(profile) as local, Client(local) as client:
        client.register_plugin(_Undisturbed())
        keeper = threading.Thread(target=_keep, args=(local, len(local.workers), ended), name="keeper", daemon=True)
        keeper.start()
        try:
            yield client
        finally:
            ended.set()
            keeper.join()
            local.sync(_end_workers, local)


class _Undisturbed(WorkerPlugin):
    """Ctrl-C, and what a batch system sends, reaches every process; workers leave it to the client to end them."""

    name = "undisturbed"

    def setup(self, worker: Worker) -> None:
        del worker
        if threading.current_thread() is threading.main_thread():
            ignore_stop_signals()


def _start(profile: profiles.LocalCluster) -> LocalCluster:
    workers = (os.cpu_count() or 1) if profile.workers == "auto" else profile.workers
    dashboard = None if profile.dashboard is None else f"127.0.0.1:{profile.dashboard}"
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=profile.threads,
        processes=True,
        memory_limit=profile.memory,
        host="127.0.0.1",
        dashboard_address=dashboard,
        scheduler_kwargs={"dashboard_address": dashboard or "127.0.0.1:0"},  # its HTTP server takes any free port then
        local_directory=profile.scratch,
        silence_logs=logging.CRITICAL,
    )


def _keep(local: LocalCluster, number: int, ended: threading.Event) -> None:
    while not ended.wait(_LOOK_S):
        with suppress(Exception):  # whatever it is, the next look may fare better
            local.sync(_replace_ended, local, number)


async def _replace_ended(local: LocalCluster, number: int) -> None:
    workers: dict[object, Nanny] = local.workers
    for name in [name for name, nanny in workers.items() if nanny.status in {Status.closed, Status.failed}]:
        del workers[name]
    if len(workers) < number:
        local.scale(number)


async def _end_workers(local: LocalCluster) -> None:
    """End the workers within two seconds, even those whose tasks were given up."""
    nannies = [nanny.close(timeout=1) for nanny in local.workers.values()]
    await asyncio.gather(*nannies, return_exceptions=True)
