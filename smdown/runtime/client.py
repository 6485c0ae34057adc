"""The only door to a cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client

from smdown.errors import ResourceError
from smdown.plan import Plan
from smdown.runtime import profile as profiles
from smdown.runtime.capacity import capacity_at, memory_problem
from smdown.runtime.local import open_local

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")
_RETRIES = "smdown.retries"


@contextmanager
def open_client(profile: profiles.Profile, *, profiling: bool = False) -> Iterator[Client | None]:
    """Start or join the cluster of a profile, and leave or end it at the end.

    Parameters
    ----------
    profile : Profile
        Where to run.
    profiling : bool
        Whether workers that are started here look at what they do, for a performance report.

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
    _silence()
    with dask.config.set(_dask_config(profile) | {"distributed.worker.profile.enabled": profiling}):
        if isinstance(cluster, profiles.SerialCluster):
            yield None
            return
        if isinstance(cluster, profiles.ExistingCluster):
            with _connect(cluster.address) as client:
                yield client
            return
        with open_local(cluster) as client:
            yield client


def _silence() -> None:
    """Let failures reach the user once, through the outcome: Dask's own loggers each have a level."""
    for name in [name for name in logging.Logger.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _dask_config(profile: profiles.Profile) -> dict[str, Any]:
    threads = getattr(profile.cluster, "threads", 1)
    environment = dict.fromkeys(_ONE_THREAD, "1") | {"ZARR_THREADING__MAX_WORKERS": "1", "GDAL_CACHEMAX": "128"}
    return {
        _RETRIES: profile.retries,
        "distributed.nanny.pre-spawn-environ": environment | profile.environment,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.pause": False,  # a paused worker whose memory stays high would never go on
        "distributed.worker.memory.terminate": 0.98,
        # Processes that look at themselves a hundred times a second take a twentieth of the cores that compute.
        "distributed.worker.memory.monitor-interval": "200ms",
        "distributed.admin.tick.interval": "500ms",
        "distributed.admin.system-monitor.interval": "2s",
        "distributed.scheduler.worker-saturation": float(max(1, threads)),
        "distributed.scheduler.allowed-failures": 0,  # what was lost with a worker is sent again from here
        "distributed.comm.timeouts.connect": "60s",
        "logging": {"distributed": "critical"},
    }


def dashboard_link(profile: profiles.Profile, client: Client | None) -> str | None:
    """Return the address of the dashboard, None where nobody asked for one or the scheduler says of none."""
    asked = getattr(profile.cluster, "dashboard", None) is not None or profile.cluster.kind not in ("local", "serial")
    if client is None or not asked:
        return None
    served = client.scheduler_info(n_workers=0).get("services", {}).get("dashboard")
    return str(client.dashboard_link) if served else None


def _connect(address: str) -> Client:
    try:
        return Client(address, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:
        raise ResourceError(
            f"got no answer from the scheduler at {address} ({error}); start it, or correct the address in the profile"
        ) from error


def current_retries() -> int:
    """Return how often the profile of the open client has a failed task tried again."""
    return int(dask.config.get(_RETRIES, profiles.Profile().retries))


def check_memory(plan: Plan, client: Client | None) -> None:
    """Raise ResourceError where a task may need more memory than a worker thread has."""
    if client is None:
        return
    problem = memory_problem(plan.stage, plan.task_bytes, capacity_at(client))
    if problem:
        raise ResourceError(problem)
