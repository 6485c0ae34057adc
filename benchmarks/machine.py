"""What the figures were measured on: processor, memory, bandwidth, versions; nothing that names the machine."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

BYTES = 256 * 2**20
"""Size of the array that is copied: far beyond any cache."""


def facts(packages: tuple[str, ...]) -> dict[str, Any]:
    """Return the facts that a record begins with."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "memcpy_gb_s": round(memcpy_gb_s(), 2),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: found for name in packages if (found := _version(name))} | _bundled(),
    }


def memcpy_gb_s(rounds: int = 7) -> float:
    """Measure the bandwidth of copying memory on one thread, read and written bytes together; the best of some."""
    source = np.ones(BYTES // 8)
    target = np.zeros_like(source)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - start)
    return 2 * BYTES / min(times) / 1e9


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _bundled() -> dict[str, str]:
    """Return the versions of the libraries inside the packages: the two PROJ need not be the same."""
    import pyproj
    import rasterio

    return {
        "GDAL": rasterio.__gdal_version__,
        "PROJ of GDAL": getattr(rasterio, "__proj_version__", "?"),
        "PROJ of pyproj": pyproj.proj_version_str,
    }
