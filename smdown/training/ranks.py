"""Processes that train together, one a device: who they are, what they add up, and how they are started.

A process belongs to a group if ``torchrun`` or ``srun`` started several of it, or if `run_ranks` did, which makes the
same environment as ``torchrun``. Alone, a process is rank 0 of 1 and every function here does nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from torch import Tensor
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException, start_processes

from smdown.errors import IncompleteError, SmdownError
from smdown.training.context import Progress
from smdown.training.world import World

_LOOK_S = 0.2


@contextmanager
def joined(group: World, accelerator: str) -> Iterator[None]:
    """Connect the processes of a group for a while: NCCL on GPUs, gloo on CPUs."""
    if group.size == 1 or dist.is_initialized():
        yield
        return
    os.environ |= group.variables()
    if group.launcher == "slurm":
        nodes = os.environ.get("SLURM_STEP_NODELIST", os.environ.get("SLURM_NODELIST", "127.0.0.1"))
        os.environ.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
        os.environ.setdefault("MASTER_PORT", str(15_000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 10_000))
    if accelerator == "gpu":
        torch.cuda.set_device(group.local_rank)
    backend = "nccl" if accelerator == "gpu" else "gloo"
    dist.init_process_group(backend, rank=group.rank, world_size=group.size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def size() -> int:
    """Return how many processes are connected."""
    return dist.get_world_size() if dist.is_initialized() else 1


def total(values: Tensor) -> Tensor:
    """Return the sum over all processes; every one must call this, with the same shape."""
    if size() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def wait() -> None:
    """Wait until every process came here."""
    if size() > 1:
        dist.barrier()


def run_ranks(count: int, work: Callable[..., object], args: tuple[Any, ...], tell: Progress) -> None:
    """Run ``work(*args, tell)`` in so many new processes of this machine, and return when all have ended.

    As with any worker process of Python, a script that calls this must guard itself by ``__name__ == "__main__"``.

    Parameters
    ----------
    count : int
        Processes.
    work : callable
        A function of a module; `args` are pickled, tensors among them shared.
    tell : callable
        Hears what rank 0 tells.

    Raises
    ------
    SmdownError
        Whatever the first process that failed said; `IncompleteError` if one was killed.
    """
    queue = mp.get_context("spawn").SimpleQueue()
    context = start_processes(  # type: ignore[no-untyped-call]
        _rank, args=(count, _free_port(), work, args, queue), nprocs=count, join=False, start_method="spawn"
    )
    assert context is not None
    try:
        while not context.join(timeout=_LOOK_S):
            _drain(queue, tell)
    except ProcessException as error:
        _drain(queue, tell)
        if isinstance(error, ProcessExitedException):
            how = error.signal_name or f"exit status {error.exit_code}"
            raise IncompleteError(
                f"a training process was ended by {how} (perhaps for want of memory); the same command goes on after "
                "its last whole epoch"
            ) from error
        raise
    _drain(queue, tell)


def _drain(queue: Any, tell: Progress) -> None:
    """Pass on what was told; raise what a process raised for the user."""
    while not queue.empty():
        said = queue.get()
        if isinstance(said, SmdownError):
            raise said
        tell(*said)


def _rank(rank: int, count: int, port: int, work: Callable[..., object], args: tuple[Any, ...], queue: Any) -> None:
    os.environ |= World(rank, count, rank, count, "torchrun").variables()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    try:
        work(*args, _teller(queue) if rank == 0 else _silence)
    except SmdownError as error:
        queue.put(error)
        raise


def _teller(queue: Any) -> Progress:
    return lambda name, done, total_: queue.put((name, done, total_))


def _silence(name: str, done: int, total_: int) -> None:
    del name, done, total_


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
