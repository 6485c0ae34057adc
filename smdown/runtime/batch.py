"""Workers as jobs of a batch system; the scheduler runs in this process."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distributed import Client, Status
from distributed.security import Security

from smdown.errors import ConfigError, ResourceError
from smdown.runtime.clusters import Adaptive, PbsCluster, SlurmCluster
from smdown.runtime.settings import exported

if TYPE_CHECKING:
    from smdown.runtime.profile import Profile

_LONGEST_NOTICE_S = 300
_AGAIN_S = 30.0
"""Seconds after which a job is submitted again that the batch system refused."""


@contextmanager
def open_batch(cluster: SlurmCluster | PbsCluster, profile: Profile) -> Iterator[Client]:
    """Submit jobs of workers, replace those that end, and cancel them at the end.

    Parameters
    ----------
    cluster : SlurmCluster or PbsCluster
        How.
    profile : Profile
        The rest of it.

    Raises
    ------
    ConfigError
        If what talks to batch systems is not installed.
    ResourceError
        If no job can be submitted.
    """
    with make_batch(cluster, profile) as jobs, Client(jobs) as client:
        _submit_first(jobs, cluster.kind)
        # Even a fixed number is kept by adapting: only so is a job replaced that reached its walltime.
        fewest, most = cluster.fewest_workers, cluster.most_workers
        jobs.adapt(minimum=fewest, maximum=most, wait_count=30 if isinstance(cluster.workers, Adaptive) else 1)
        yield client


def make_batch(cluster: SlurmCluster | PbsCluster, profile: Profile) -> Any:
    """Return the cluster object of dask-jobqueue, without any job yet; see `open_batch`."""
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ConfigError('batch systems need dask-jobqueue; pip install "smdown[cluster]"') from error
    made = dask_jobqueue.SLURMCluster if isinstance(cluster, SlurmCluster) else dask_jobqueue.PBSCluster
    try:
        return made(job_cls=_tried_again(made.job_cls), **job_options(cluster, profile))
    except (OSError, RuntimeError, ValueError) as error:
        raise ResourceError(f"got {' '.join(str(error).split())} from the batch system {cluster.kind}") from error


def _tried_again(job: Any) -> Any:
    """Return a class of jobs one of which that is refused fails for itself, and makes room for another after a while.

    Left alone it would count as a worker that is to come, and break the end of a run that was done without it.
    """

    class Job(job):
        async def start(self) -> None:
            try:
                await super().start()
            except Exception:
                self.status = Status.failed
                asyncio.get_running_loop().call_later(_AGAIN_S, self.forget)
                raise

        def forget(self) -> None:
            cluster = self._cluster() if self._cluster is not None else None
            if cluster is not None and cluster.workers.get(self.name) is self:
                del cluster.workers[self.name]
                cluster.worker_spec.pop(self.name, None)

    return Job


def _submit_first(jobs: Any, kind: str) -> None:
    """Submit one job, so that a place that takes none says so: to wait for its workers would last for ever."""
    jobs.worker_spec.update(jobs.new_worker_spec())
    try:
        jobs.sync(jobs._correct_state)  # noqa: SLF001 - what scale() calls, without its answer
    except (OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ResourceError(
            f"got no job from the batch system {kind} ({said}); correct the profile (queue, account, directives), and "
            "run the command where jobs can be submitted"
        ) from error


def job_options(cluster: SlurmCluster | PbsCluster, profile: Profile) -> dict[str, Any]:
    """Return what dask-jobqueue is told: whatever could come from its own configuration files is stated."""
    more = {"resource_spec": cluster.resources} if isinstance(cluster, PbsCluster) else {}
    exports = [f"export {name}={shlex.quote(value)}" for name, value in exported(profile).items()]
    dashboard = "127.0.0.1:0" if cluster.dashboard is None else f"127.0.0.1:{cluster.dashboard}"
    return {
        "n_workers": 0,
        "cores": cluster.per_job * cluster.threads,
        "processes": cluster.per_job,
        "memory": f"{cluster.per_job * cluster.memory}B",
        "queue": cluster.queue,
        "account": cluster.account,
        "walltime": walltime_text(cluster.walltime),
        "interface": cluster.interface,
        "local_directory": cluster.scratch,
        "log_directory": cluster.logs,
        "python": cluster.python,
        "job_name": "smdown",
        "job_extra_directives": list(cluster.directives),
        "job_script_prologue": [*exports, *cluster.prologue],
        "worker_extra_args": lifetime(cluster.walltime),
        "death_timeout": 120,
        "scheduler_options": {"dashboard_address": dashboard},
        "security": Security() if profile.tls is not None else None,
        "silence_logs": logging.CRITICAL,
        **more,
    }


def lifetime(walltime: int) -> list[str]:
    """Return the options by which a worker leaves in good order before its job is ended, each at its own time."""
    notice = min(_LONGEST_NOTICE_S, walltime // 10)
    return ["--lifetime", f"{walltime - 2 * notice}s", "--lifetime-stagger", f"{notice}s"]


def walltime_text(seconds: int) -> str:
    """Return seconds as hours, minutes and seconds."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
