"""Peak memory of a method: what one call adds, in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.jobs import all_jobs, make_field
from benchmarks.peers.methods import Method, all_methods

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_mib(job: str, method: Method, *, quick: bool) -> float | None:
    """Return the MiB that a call adds at its worst, result included; None where there is no way to know."""
    if not _RESET.exists() or method.in_processes:
        return None
    command = [sys.executable, "-m", "benchmarks.peers.memory", job, method.name, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def _kib(name: str) -> int:
    """Return a figure of this process, in KiB."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1])


def main() -> None:
    """Print the MiB of one method on one job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("method")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    method = next(m for m in all_methods() if m.name == asked.method)
    small, real = (next(j for j in all_jobs(quick=q) if j.name == asked.job) for q in (True, asked.quick))
    field = make_field(small.raster.shape, missing=method.knows_nan)
    method.prepare(small, field)()  # loads the code
    field = make_field(real.raster.shape, missing=method.knows_nan)
    call = method.prepare(real, field)
    _RESET.write_text("5")  # the highest mark begins anew
    before = _kib("VmRSS")
    out = call()
    print(round((_kib("VmHWM") - before) / 1024, 1) if out.size else 0.0)


if __name__ == "__main__":
    main()
