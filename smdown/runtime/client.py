"""The only door to a cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext

import dask
from distributed import Client, Security
from distributed.comm import connect

from smdown.errors import ResourceError
from smdown.plan import Plan
from smdown.runtime import clusters
from smdown.runtime.batch import open_batch
from smdown.runtime.capacity import capacity_at, memory_problem
from smdown.runtime.kubernetes import open_kubernetes
from smdown.runtime.local import open_local
from smdown.runtime.profile import Profile
from smdown.runtime.security import check_encrypted, check_started, is_loopback
from smdown.runtime.settings import RETRIES, dask_config
from smdown.runtime.ssh import open_ssh

PATIENCE_S = 20
"""Seconds that a scheduler is given to answer."""


@contextmanager
def open_client(profile: Profile, *, insecure: bool = False, profiling: bool = False) -> Iterator[Client | None]:
    """Start or join the cluster of a profile, and leave or end it at the end.

    Parameters
    ----------
    profile : Profile
        Where to run.
    insecure : bool
        Speak to other machines without certificates.
    profiling : bool
        Whether workers that are started here look at what they do, for a performance report.

    Yields
    ------
    distributed.Client or None
        None where tasks run in this process.

    Raises
    ------
    ResourceError
        If the cluster cannot be reached or started, or is on other machines without TLS.
    ConfigError
        If something that its kind needs is not installed, or its certificates are not as they should be.
    """
    _silence()
    settings = dask_config(profile) | {"distributed.worker.profile.enabled": profiling}
    with dask.config.set(settings), _opened(profile, insecure) as client:
        yield client


def _opened(profile: Profile, insecure: bool) -> AbstractContextManager[Client | None]:
    cluster = profile.cluster
    match cluster:
        case clusters.SerialCluster():
            return nullcontext()
        case clusters.LocalCluster():
            return open_local(cluster)
        case clusters.ExistingCluster():
            check_encrypted(cluster.address, profile.tls, insecure=insecure)
            return _connect(cluster.address)
        case clusters.SshCluster():
            if not all(is_loopback(host) for host in cluster.hosts):
                check_started(cluster.kind, profile.tls, insecure=insecure)
            return open_ssh(cluster, tls=profile.tls is not None)
        case clusters.KubernetesCluster():
            check_started(cluster.kind, None, insecure=insecure)
            return open_kubernetes(cluster, profile)
        case _:
            check_started(cluster.kind, profile.tls, insecure=insecure)
            return open_batch(cluster, profile)


def _silence() -> None:
    """Let failures reach the user once, through the outcome: Dask's own loggers each have a level."""
    for name in [name for name in logging.Logger.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def dashboard_link(profile: Profile, client: Client | None) -> str | None:
    """Return the address of the dashboard, None where nobody asked for one or the scheduler says of none."""
    asked = getattr(profile.cluster, "dashboard", None) is not None or profile.cluster.kind not in ("local", "serial")
    if client is None or not asked:
        return None
    served = client.scheduler_info(n_workers=0).get("services", {}).get("dashboard")
    if served and profile.cluster.kind in ("slurm", "pbs"):  # the scheduler is here, and shows it to this machine alone
        return f"http://127.0.0.1:{served}/status"
    return str(client.dashboard_link) if served else None


def _connect(address: str) -> Client:
    try:
        with ThreadPoolExecutor(1) as apart:  # a notebook has a loop of its own in this thread
            apart.submit(asyncio.run, _greet(address)).result()
        return Client(address, timeout=PATIENCE_S)
    except (OSError, TimeoutError, ValueError) as error:
        why = str(error) or f"silent for {PATIENCE_S} s"
        raise ResourceError(
            f"got no answer from the scheduler at {address} ({why}); start it, or correct the address in the "
            "profile (port 8786 unless told otherwise; the dashboard has another)"
        ) from error
    except (MemoryError, EOFError, TypeError, AttributeError, LookupError) as error:  # another protocol, taken for ours
        raise ResourceError(
            f"got an answer from {address} that is no Dask scheduler's ({type(error).__name__}); name the address that "
            f"the scheduler says when it starts (port 8786 unless told otherwise; that of its dashboard is another)"
        ) from error


async def _greet(address: str) -> None:
    """Ask for the scheduler's name: what takes a connection and says nothing would hold a client for ever."""
    async with asyncio.timeout(PATIENCE_S):
        comm = await connect(address, timeout=PATIENCE_S, **Security().get_connection_args("client"))
        try:
            await comm.write({"op": "identity", "reply": True, "n_workers": 0})
            await comm.read()
        finally:
            comm.abort()


def current_retries() -> int:
    """Return how often the profile of the open client has a failed task tried again."""
    return int(dask.config.get(RETRIES, Profile().retries))


def check_memory(plan: Plan, client: Client | None) -> None:
    """Raise ResourceError where a task may need more memory than a worker thread has."""
    if client is None:
        return
    problem = memory_problem(plan.stage, plan.task_bytes, capacity_at(client))
    if problem:
        raise ResourceError(problem)
