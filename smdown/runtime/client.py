"""The only door to a cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster, Worker, WorkerPlugin

from smdown.errors import ResourceError
from smdown.plan import Plan
from smdown.runtime import profile as profiles

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")


@contextmanager
def open_client(profile: profiles.Profile) -> Iterator[Client | None]:
    """Start or join the cluster of a profile, and leave or end it at the end.

    Parameters
    ----------
    profile : Profile
        Where to run.

    Yields
    ------
    distributed.Client or None
        None where tasks run in this process.

    Raises
    ------
    ResourceError
        If the cluster cannot be reached.
    """
    cluster = profile.cluster
    if isinstance(cluster, profiles.SerialCluster):
        yield None
        return
    with dask.config.set(_dask_config(profile)):
        if isinstance(cluster, profiles.ExistingCluster):
            with _connect(cluster.address) as client:
                yield client
            return
        with _local(cluster) as local, Client(local) as client:
            client.register_plugin(_Undisturbed())
            yield client


class _Undisturbed(WorkerPlugin):
    """Ctrl-C on a terminal reaches every process of the group; workers leave it to the client to end them."""

    name = "undisturbed"

    def setup(self, worker: Worker) -> None:
        del worker
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _dask_config(profile: profiles.Profile) -> dict[str, Any]:
    threads = getattr(profile.cluster, "threads", 1)
    environment = dict.fromkeys(_ONE_THREAD, "1") | {"ZARR_THREADING__MAX_WORKERS": "1", "GDAL_CACHEMAX": "128"}
    return {
        "distributed.nanny.pre-spawn-environ": environment | profile.environment,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.pause": 0.95,
        "distributed.worker.memory.terminate": 0.98,
        "distributed.scheduler.worker-saturation": float(max(1, threads)),
        "distributed.scheduler.allowed-failures": profile.retries,
        "distributed.comm.timeouts.connect": "60s",
        "logging": {"distributed": "critical"},  # failures reach the user through the outcome, once and in one line
    }


def _local(cluster: profiles.LocalCluster) -> LocalCluster:
    workers = (os.cpu_count() or 1) if cluster.workers == "auto" else cluster.workers
    dashboard = None if cluster.dashboard is None else f"127.0.0.1:{cluster.dashboard}"
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=cluster.threads,
        processes=True,
        memory_limit=cluster.memory,
        host="127.0.0.1",
        dashboard_address=dashboard,
        scheduler_kwargs={"dashboard_address": dashboard or "127.0.0.1:0"},  # its HTTP server takes any free port then
        local_directory=cluster.scratch,
        silence_logs=40,
    )


def _connect(address: str) -> Client:
    try:
        return Client(address, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:
        raise ResourceError(
            f"got no answer from the scheduler at {address} ({error}); start it, or correct the address in the profile"
        ) from error


def check_memory(plan: Plan, client: Client | None) -> None:
    """Raise ResourceError where a task may need more memory than a worker thread has."""
    if client is None:
        return
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [w["memory_limit"] // max(1, w["nthreads"]) for w in workers if w["memory_limit"]]
    if limits and min(limits) < plan.task_bytes:
        have, need = min(limits) / 2**30, plan.task_bytes / 2**30
        raise ResourceError(
            f"stage {plan.stage} needs {need:.2f} GiB a task, a worker thread has {have:.2f} GiB; "
            "give workers more memory or fewer threads in the profile, or make tiles smaller (cells_per_tile)"
        )
