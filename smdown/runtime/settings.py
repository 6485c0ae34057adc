"""How Dask is set for our kind of work, in this process and in those that it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smdown.runtime.security import tls_config

if TYPE_CHECKING:
    from smdown.runtime.profile import Profile

RETRIES, THREAD_BYTES = "smdown.retries", "smdown.thread-bytes"
"""Our own settings: of the open profile, how often a failed task is tried again, and the memory of a worker's thread
where the profile states it."""
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS", "NUMBA_NUM_THREADS")

WORKER = {
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.pause": False,  # a paused worker whose memory stays high would never go on
    "distributed.worker.memory.terminate": 0.98,
    # Processes that look at themselves a hundred times a second take a twentieth of the cores that compute.
    "distributed.worker.memory.monitor-interval": "200ms",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.comm.timeouts.connect": "60s",
}
"""What a worker needs, wherever it runs."""


def dask_config(profile: Profile) -> dict[str, Any]:
    """Return Dask's settings for a profile, to be held while its client is open."""
    threads = getattr(profile.cluster, "threads", 1)
    memory = getattr(profile.cluster, "memory", None)
    return {
        **WORKER,
        RETRIES: profile.retries,
        "scheduler": None,  # a client that cannot connect leaves its own here; with the rest it is put right
        THREAD_BYTES: memory // threads if isinstance(memory, int) else None,
        "distributed.nanny.pre-spawn-environ": environment(profile),
        "distributed.scheduler.worker-saturation": float(max(1, threads)),
        "distributed.scheduler.allowed-failures": 0,  # what was lost with a worker is sent again from here
        # The scheduler keeps the last messages to each worker for developers, whole tasks, a thousand by default.
        "distributed.admin.low-level-log-length": 10,
        # Of a scheduler started by SSH Dask learns the address from its log.
        "logging": {"distributed": "info" if profile.cluster.kind == "ssh" else "critical"},
        **(tls_config(profile.tls) if profile.tls is not None else {}),
    }


def environment(profile: Profile) -> dict[str, str]:
    """Return the environment of the workers of a profile: one thread for each numeric library, and what it says."""
    own = dict.fromkeys(_ONE_THREAD, "1") | {"ZARR_THREADING__MAX_WORKERS": "1", "GDAL_CACHEMAX": "128"}
    return own | profile.environment


def exported(profile: Profile) -> dict[str, str]:
    """Return the same and the workers' settings, as environment variables of a ``dask worker`` that others start."""
    settings = {f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(value) for key, value in WORKER.items()}
    return environment(profile) | settings
