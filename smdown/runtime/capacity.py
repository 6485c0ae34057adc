"""What a place has: tasks at a time, and the memory that each may use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dask
from distributed.system import MEMORY_LIMIT

from smdown.runtime import clusters
from smdown.runtime.local import gpus_of
from smdown.runtime.settings import THREAD_BYTES

if TYPE_CHECKING:
    from distributed import Client

    from smdown.runtime.profile import Profile


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a place has.

    Parameters
    ----------
    kind : str
        That of the profile: ``serial``, ``local``, ``slurm``, ...
    workers, threads : int
        Worker processes, and tasks at a time in each.
    thread_bytes : int, optional
        Memory that one task may use; None where it is not limited, or not known.
    """

    kind: str
    workers: int = 1
    threads: int = 1
    thread_bytes: int | None = None

    @property
    def slots(self) -> int:
        """Tasks at a time."""
        return self.workers * self.threads


def capacity_of(profile: Profile) -> Capacity:
    """Return what a profile will have, without starting it; of a scheduler that runs already only that it is one."""
    cluster = profile.cluster
    match cluster:
        case clusters.SerialCluster():
            return Capacity("serial", thread_bytes=MEMORY_LIMIT)
        case clusters.ExistingCluster():
            return Capacity("existing")
        case clusters.LocalCluster():
            return _of_this_machine(cluster)
    return Capacity(cluster.kind, cluster.most_workers, cluster.threads, cluster.memory // cluster.threads)


def _of_this_machine(cluster: clusters.LocalCluster) -> Capacity:
    cores = os.cpu_count() or 1
    workers = cluster.workers if cluster.workers != "auto" else gpus_of(cluster) or cores
    if cluster.memory == "auto":  # as Dask shares the machine's among workers, by their threads
        memory = int(MEMORY_LIMIT * min(1.0, cluster.threads / cores))
    else:
        memory = min(cluster.memory, MEMORY_LIMIT)
    return Capacity("local", workers, cluster.threads, memory // cluster.threads)


def capacity_at(client: Client | None) -> Capacity:
    """Return what the workers of a client have; of unlike ones the least memory counts."""
    if client is None:
        return Capacity("serial", thread_bytes=MEMORY_LIMIT)
    workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
    slots = sum(max(1, w["nthreads"]) for w in workers)
    limits = [w["memory_limit"] // max(1, w["nthreads"]) for w in workers if w["memory_limit"]]
    count = max(1, len(workers))
    if not workers:  # batch systems take their time; what the profile states will come true
        limits = [dask.config.get(THREAD_BYTES, None)]
    return Capacity("existing", count, max(1, slots // count), min(limits) if limits else None)


def slots_of(client: Client) -> dict[str, int]:
    """Return the tasks at a time of every worker, by its address."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {str(address): max(1, worker["nthreads"]) for address, worker in sorted(workers.items())}


def memory_problem(stage: str, task_bytes: int, capacity: Capacity) -> str | None:
    """Say, with both numbers and the ways out, that a task may need more memory than it can have; None if not."""
    have = capacity.thread_bytes
    if have is None or have >= task_bytes:
        return None
    numbers = f"stage {stage} needs {task_bytes / 2**30:.2f} GiB a task"
    if capacity.kind == "serial":
        return f"{numbers}, this machine has {have / 2**30:.2f} GiB; make tiles smaller (prediction.cells_per_tile)"
    return (
        f"{numbers}, a worker thread has {have / 2**30:.2f} GiB; "
        "give workers more memory or fewer threads in the profile, or make tiles smaller (prediction.cells_per_tile)"
    )
