"""Worker processes of this machine: started, kept at their number, ended soon."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any, ClassVar

from distributed import Client, LocalCluster, Nanny, Status, Worker, WorkerPlugin

from smdown.errors import ResourceError
from smdown.runtime import clusters
from smdown.stopping import ignore_stop_signals, undisturbed_children

_LOOK_S = 2.0


@contextmanager
def open_local(profile: clusters.LocalCluster) -> Iterator[Client]:
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


class _Tidy(Nanny):
    """A nanny that takes back what it put into this process's environment for its worker to be born with.

    Left there, it would be inherited by whatever the user starts next, and Numba refuses to compile in a process that
    has its threads and is told of another number of them.
    """

    _starting = 0
    _before: ClassVar[dict[str, str | None]] = {}

    async def instantiate(self) -> Status:
        """Start the worker; the last of those that start at once puts the environment right."""
        if not _Tidy._starting:
            _Tidy._before = {}
        _Tidy._starting += 1
        for name in self.pre_spawn_env:
            _Tidy._before.setdefault(name, os.environ.get(name))
        try:
            return await super().instantiate()
        finally:
            _Tidy._starting -= 1
            if not _Tidy._starting:
                for name, value in _Tidy._before.items():
                    if value is None:
                        os.environ.pop(name, None)
                    else:
                        os.environ[name] = value


class _Spread(LocalCluster):
    """Workers that each see one of so many GPUs, always the same one."""

    gpus = 1

    def new_worker_spec(self) -> dict[Any, Any]:
        """Return the next worker, named by its number."""
        made: dict[Any, Any] = super().new_worker_spec()
        for name, spec in list(made.items()):  # which all workers share
            env = {**spec["options"].get("env", {}), "CUDA_VISIBLE_DEVICES": str(int(name) % self.gpus)}
            made[name] = {**spec, "options": {**spec["options"], "env": env}}
        return made


def gpus_of(profile: clusters.LocalCluster) -> int:
    """Return how many GPUs a profile spreads its workers over; 0 for none.

    Raises
    ------
    ResourceError
        If it asks for all of them and there is none.
    """
    if profile.gpus is None:
        return 0
    if profile.gpus != "auto":
        return profile.gpus
    import torch

    found = torch.cuda.device_count()
    if not found:
        raise ResourceError("got gpus: auto in the profile, but PyTorch sees no GPU here; leave it out")
    return found


def _start(profile: clusters.LocalCluster) -> LocalCluster:
    gpus = gpus_of(profile)
    workers = (gpus or os.cpu_count() or 1) if profile.workers == "auto" else profile.workers
    dashboard = None if profile.dashboard is None else f"127.0.0.1:{profile.dashboard}"
    made = (_Spread if gpus else LocalCluster)(
        n_workers=0 if gpus else workers,
        threads_per_worker=profile.threads,
        processes=True,
        worker_class=_Tidy,
        memory_limit=profile.memory,
        host="127.0.0.1",
        dashboard_address=dashboard,
        scheduler_kwargs={"dashboard_address": dashboard or "127.0.0.1:0"},  # its HTTP server takes any free port then
        local_directory=profile.scratch,
        silence_logs=logging.CRITICAL,
    )
    if isinstance(made, _Spread):
        made.gpus = gpus
        made.scale(workers)
        made.sync(_all_there, made, workers)
    return made


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


async def _all_there(local: LocalCluster, number: int) -> None:
    """Wait for the workers, as Dask does of those that it starts at once."""
    await local
    while len(local.scheduler.workers) < number:
        await asyncio.sleep(0.05)


async def _end_workers(local: LocalCluster) -> None:
    """End the workers within two seconds, even those whose tasks were given up."""
    nannies = [nanny.close(timeout=1) for nanny in local.workers.values()]
    await asyncio.gather(*nannies, return_exceptions=True)
