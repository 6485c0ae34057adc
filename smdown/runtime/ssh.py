"""Workers on machines that are reached by SSH; the scheduler runs on the first of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distributed import Client, SSHCluster

from smdown.errors import ConfigError, ResourceError
from smdown.runtime.security import is_loopback

if TYPE_CHECKING:
    from smdown.runtime import clusters


@contextmanager
def open_ssh(cluster: clusters.SshCluster, *, tls: bool) -> Iterator[Client]:
    """Start a scheduler and workers, and end them at the end.

    Parameters
    ----------
    cluster : clusters.SshCluster
        Where.
    tls : bool
        Whether they show each other certificates, which lie on every machine at the same path.

    Raises
    ------
    ConfigError
        If what speaks SSH is not installed.
    ResourceError
        If a machine cannot be reached, or nothing can be started there.
    """
    try:
        import asyncssh
    except ImportError as error:
        raise ConfigError('SSH needs asyncssh; pip install "smdown[cluster]"') from error
    try:
        made = SSHCluster(**ssh_options(cluster, tls=tls))
    except (OSError, asyncssh.Error, RuntimeError) as error:
        hosts = ", ".join(cluster.hosts)
        raise ResourceError(
            f"got no workers on {hosts} ({' '.join(str(error).split()) or type(error).__name__}); see that ssh HOST "
            f"{cluster.python or 'python'} -c 'import smdown' works there without a question"
        ) from error
    with made, Client(made) as client:
        yield client


def ssh_options(cluster: clusters.SshCluster, *, tls: bool) -> dict[str, Any]:
    """Return what Dask's own SSH cluster is told."""
    login = {
        "username": cluster.user, "port": cluster.port, "client_keys": cluster.key, "known_hosts": cluster.known_hosts,
    }  # fmt: skip
    dashboard = f"127.0.0.1:{cluster.dashboard or 0}"
    scheduler: dict[str, Any] = {"port": 0, "dashboard_address": dashboard, "protocol": "tls" if tls else "tcp"}
    if is_loopback(cluster.hosts[0]):
        scheduler["host"] = cluster.hosts[0]
    return {
        "hosts": [cluster.hosts[0], *cluster.hosts],
        "connect_options": {name: value for name, value in login.items() if value is not None},
        "worker_options": {
            "nthreads": cluster.threads,
            "n_workers": cluster.workers,
            "memory_limit": cluster.memory,
            "local_directory": cluster.scratch,
        },
        "scheduler_options": scheduler,
        "remote_python": cluster.python,
        "silence_logs": logging.CRITICAL,
    }
