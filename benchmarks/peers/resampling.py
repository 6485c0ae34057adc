"""Cubic resampling, ours against the field's: speed, truth, seams, memory.

Run it from the top of the repository: ``python -m benchmarks.peers.resampling --json FILE --plot FILE``. Every method
gets the same arrays and one thread unless its name says otherwise; they take turns, and medians are shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks import record
from benchmarks.machine import facts
from benchmarks.peers.claims import make_claims
from benchmarks.peers.jobs import all_jobs
from benchmarks.peers.measure import Contest
from benchmarks.peers.memory import peak_mib
from benchmarks.peers.methods import Method, all_methods, installed
from benchmarks.peers.plots import draw
from benchmarks.peers.tables import print_claims, print_job

PACKAGES = (
    "smdown", "numpy", "numba", "rasterio", "pyproj", "rioxarray", "odc-geo", "dask", "xarray", "xarray-regrid",
    "torch", "opencv-python-headless",
)  # fmt: skip
DIFFERENCE_BAR = 2e-6


def main() -> None:
    """Measure, print, write."""
    asked = _arguments()
    console, log = Console(width=150), Console(stderr=True)
    methods = _take_part(asked.only, log)
    machine = facts(PACKAGES)
    results, patience_s = [], 1.5 if asked.quick else 20.0
    with log.status("starting") as status:
        for job in (j for j in all_jobs(quick=asked.quick) if asked.job in j.name):
            contest = Contest(job, [m for m in methods if m.applies(job)], patience_s, status.update)
            contest.warm_up()
            contest.run(asked.rounds or (3 if asked.quick else 5))
            found = contest.results(machine["memcpy_gb_s"])
            for method, result in zip(contest.methods, found, strict=True):
                result["peak_mib"] = peak_mib(job.name, method, quick=asked.quick) if asked.memory else None
            print_job(console, found, job.megapixels)
            results += found
    claims = make_claims(results)
    print_claims(console, claims)
    if asked.json:
        record.write(asked.json, machine | {"quick": asked.quick}, results, claims)
    if asked.plot:
        draw(asked.plot, results, DIFFERENCE_BAR)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small arrays, three rounds: a minute or two")
    parser.add_argument("--rounds", type=int, help="rounds to take the median of")
    parser.add_argument("--memory", action="store_true", help="measure peak memory too, in a process for each method")
    parser.add_argument("--job", default="", metavar="TEXT", help="only jobs whose name has this in it")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="only methods whose names begin with one of these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the results (PNG)")
    return parser.parse_args()


def _take_part(only: list[str] | None, log: Console) -> list[Method]:
    """Return the methods asked for whose packages are installed; say which are not."""
    asked = [m for m in all_methods() if not only or m.name.startswith(tuple(only))]
    for package in sorted({m.package for m in asked if not installed(m)}):
        log.print(f"{package} is not installed: left out (pip install --group bench)")
    return [m for m in asked if installed(m)]


if __name__ == "__main__":
    main()
