"""Measure the map: its throughput beside the bare networks and beside a user's own program, workers, memory.

``python -m benchmarks.prediction --workdir DIR [--quick] [--json FILE]``. Whatever is compared takes turns in each
round; the median of the rounds counts. The folder keeps a synthetic region and its ensemble, which are made once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import xarray as xr
from distributed import Client

from benchmarks import machine, record
from benchmarks.mapping import ours
from benchmarks.mapping.region import Size, from_sources, job_on, make_project, with_larger_cnn
from smdown import open_project
from smdown.inference import PredictJob
from smdown.inference.constraint import Kind
from smdown.project import Project
from smdown.runtime import Profile, open_client
from smdown.runtime.attempt import peak_bytes
from smdown.runtime.clusters import LocalCluster
from smdown.runtime.profile import ALLOCATOR

OURS, FRESH, BARE, LEAN, PEER = (
    "smdown",
    "smdown, drivers from their sources",
    "networks alone",
    "networks alone, as the map runs them",
    "xarray, odc-geo, Dask, torch",
)
PEER_CELLS = (2, 2)
JOBS = ("throughput", "peer", "constraints", "workers", "memory")
Row = dict[str, Any]


class Bench:
    """A project, and a folder for mosaics that come and go."""

    def __init__(self, project: Project, folder: Path, rounds: int) -> None:
        self.project, self.folder, self.rounds = project, folder, rounds

    def job(self, cells: tuple[int, int], name: str = "map") -> PredictJob:
        return job_on(self.project, cells, str(self.folder / f"{name}.zarr"))

    def turns(self, methods: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Let methods take turns, after one that does not count; return all that each said."""
        for method in methods.values():
            method()
        found: dict[str, list[float]] = {name: [] for name in methods}
        for n in range(self.rounds):
            for name, method in methods.items():
                found[name].append(method())
                print(f"  round {n + 1}: {name} {found[name][-1]:.3f}", file=sys.stderr, flush=True)
        return found

    # -- throughput --------------------------------------------------------------------------------------------------

    def throughput(self, cells: tuple[int, int]) -> list[Row]:
        """Set the whole map beside the bare networks, on one thread: the usual ones, and larger ones."""
        job = self.job(cells)
        larger = replace(job, bundle_url=with_larger_cnn(job.bundle_url, self.folder))
        usual = {OURS: ours.map_rate(job), FRESH: ours.map_rate(from_sources(self.job(cells, "fresh")))}
        rows = self._beside_bare("throughput", usual, job)
        return rows + self._beside_bare("throughput, larger CNN", {OURS: ours.map_rate(larger)}, larger)

    def _beside_bare(self, name: str, methods: dict[str, Callable[[], float]], job: PredictJob) -> list[Row]:
        side = ours.fastest_side(job.bundle_url, job.grid.ratio, job.cells_per_tile)
        bare = ours.bare_rate(job.bundle_url, job.grid.ratio, job.cells_per_tile, side)
        lean = ours.lean_rate(job.bundle_url, job.grid.ratio, job.cells_per_tile)
        found = self.turns({**methods, BARE: bare, LEAN: lean})
        mpx = job.grid.raster.height * job.grid.raster.width * len(job.days) / 1e6
        rows = [row(name, method, rates, mpx=mpx, window=side) for method, rates in found.items()]
        for one in rows:
            for key, other in (("of_bare", BARE), ("of_lean", LEAN)):
                one[key] = round(median(a / b for a, b in zip(found[one["method"]], found[other], strict=True)), 3)
        return rows

    def beside_peer(self) -> list[Row]:
        """Set the whole map beside the same as a user would write it, on one thread; the same day of both."""
        from benchmarks.mapping.peer import peer_rate

        job = self.job(PEER_CELLS)
        job = replace(job, days=job.days[-1:])
        out = str(self.folder / "peer.zarr")
        methods = {FRESH: ours.map_rate(from_sources(job)), PEER: peer_rate(job, job.days[-1], out)}
        found = self.turns(methods)
        rows = [row("beside a peer", name, rates) for name, rates in found.items()]
        rows[0]["of_peer"] = round(median(a / b for a, b in zip(found[FRESH], found[PEER], strict=True)), 2)
        return rows + self._answers(job, out)

    def _answers(self, job: PredictJob, out: str) -> list[Row]:
        """Compare the two answers, ours without the constraint, which the peer does not have."""
        ours.cleared(job)
        ours.mapped(replace(from_sources(job), constraint="none"))
        own, other = xr.open_zarr(job.mosaic_url).isel(time=-1), xr.open_zarr(out)
        rows = []
        for layer in (y.name for y in job.layers):
            difference = (own[layer].values - other[layer].values)[8:-8, 8:-8]
            rms = float(np.sqrt(np.nanmean(difference**2)))
            spread = float(np.nanstd(own[layer].values))
            rows.append(
                {"job": "answers", "method": layer, "rms_difference": round(rms, 6), "std_of_map": round(spread, 6)}
            )
        return rows

    # -- constraints -------------------------------------------------------------------------------------------------

    def constraints(self, cells: tuple[int, int]) -> list[Row]:
        """Map with every constraint: what it costs, and which borders it leaves to be seen."""
        jobs = {kind: replace(self.job(cells, kind), constraint=kind) for kind in get_args(Kind)}
        found = self.turns({kind: ours.map_rate(job) for kind, job in jobs.items()})
        rows = []
        for kind, rates in found.items():
            cost = median(a / b for a, b in zip(found["none"], rates, strict=True)) - 1
            one = row("constraint", kind, rates, extra_time=round(cost, 4))
            whole = replace(self.job(cells, "whole"), constraint=kind, cells_per_tile=max(cells))
            ours.cleared(whole)
            ours.mapped(whole)
            rows.append(one | ours.borders(jobs[kind], whole))
        return rows

    # -- workers -----------------------------------------------------------------------------------------------------

    def workers(self, cells: tuple[int, int]) -> list[Row]:
        """Map with one and with two workers of one thread each, on clusters that wait for each other."""
        rows = []
        with open_client(_profile(1)) as one, open_client(_profile(2)) as two:
            assert one is not None
            assert two is not None
            clients = {"1 worker": one, "2 workers": two}
            took: dict[str, list[Row]] = {name: [] for name in clients}
            methods = {name: partial(self._worked, cells, client, took[name]) for name, client in clients.items()}
            found = self.turns(methods)
        for name, rates in found.items():
            some = took[name][1:]
            rows.append(
                row("workers", name, rates)
                | {
                    key: round(median(r[key] for r in some), 4)
                    for key in ("idle", "client_cpu", "idle_cpu", "peak_gib")
                }
                | {"planned_gib": some[0]["planned_gib"]}
            )
        rows[1]["of_one"] = round(median(b / a for a, b in zip(found["1 worker"], found["2 workers"], strict=True)), 3)
        return rows

    def _worked(self, cells: tuple[int, int], client: Client, took: list[Row]) -> float:
        took.append(self._timed(cells, client))
        return float(took[-1]["mpx_s"])

    def _timed(self, cells: tuple[int, int], client: Client) -> Row:
        job = self.job(cells, "workers")
        n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
        ours.cleared(job)
        plan, idle = ours.planned(job), _idle_cpu()
        start, cpu = time.perf_counter(), time.process_time()
        outcome = ours.executed(plan, client)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        busy = sum(receipt.seconds for receipt in outcome.receipts)
        return {
            "mpx_s": outcome.pixels / 1e6 / wall,
            "idle": 1 - busy / (n_workers * wall),
            "client_cpu": max(0.0, cpu / wall - idle) / n_workers,
            "idle_cpu": idle,
            "peak_gib": max(receipt.peak_bytes for receipt in outcome.receipts) / 2**30,
            "planned_gib": round(outcome.bytes_planned / 2**30, 3),
        }

    # -- memory ------------------------------------------------------------------------------------------------------

    def memory(self, whole: tuple[int, int]) -> list[Row]:
        """Map a quarter, a half and the whole of the region, each in a process of its own."""
        rows = []
        for parts in (4, 2, 1):
            cells = (whole[0], whole[1] // parts)
            command = [sys.executable, "-m", "benchmarks.prediction", "--peak", *map(str, cells)]
            command += ["--workdir", str(self.folder), "--project", self.project.source, self.project.workdir]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            rows.append(
                {"job": "memory", "method": f"{4 // parts} x", "mpx": found["mpx"], "peak_gib": found["peak_gib"]}
            )
        return rows


def _idle_cpu() -> float:
    """Return the share of a core that this process, its scheduler included, takes while nothing is to do."""
    start, cpu = time.perf_counter(), time.process_time()
    time.sleep(3)
    return (time.process_time() - cpu) / (time.perf_counter() - start)


def _profile(workers: int) -> Profile:
    return Profile(cluster=LocalCluster(workers=workers))


def row(job: str, method: str, rates: list[float], **more: Any) -> Row:
    return {"job": job, "method": method, "mpx_s": round(median(rates), 4), "all": [round(r, 4) for r in rates]} | more


def peak(project: Project, cells: tuple[int, int], folder: Path) -> None:
    """Map some cells in this process, and print the memory that it took."""
    job = job_on(project, cells, str(folder / "peak.zarr"))
    ours.cleared(job)
    outcome = ours.mapped(job)
    print(json.dumps({"mpx": outcome.pixels / 1e6, "peak_gib": round(peak_bytes() / 2**30, 4)}))


def claims(rows: list[Row]) -> list[dict[str, Any]]:
    by = {(r["job"], r["method"]): r for r in rows}
    found = [
        record.claim(f"{method}, {job}: of that of its networks alone", by[job, method]["of_bare"], "", ">=", 0.8)
        for job, method in by
        if job.startswith("throughput") and method not in {BARE, LEAN}
    ]
    ratio = by.get(("beside a peer", FRESH), {}).get("of_peer")
    found.append(record.claim("throughput against a user's own program", ratio, "times", ">=", 10))
    for name in ("sm_surface", "sm_rootzone"):
        if ("answers", name) in by:
            one = by["answers", name]
            share = one["rms_difference"] / one["std_of_map"]
            found.append(
                record.claim(f"{name}: difference of the two answers, of the map's spread", share, "", "<=", 0.1)
            )
    tiles = [r["tile_seam"] for r in rows if r["job"] == "constraint"]
    two = by["workers", "2 workers"]
    peaks = [r["peak_gib"] for r in rows if r["job"] == "memory"]
    return [
        *found,
        record.claim(
            "mean step across edges of tiles, of that at the same places of one tile", max(tiles), "", "<=", 1.01
        ),
        record.claim("two workers against one", two["of_one"], "times", ">=", 1.8),
        record.claim("processor time of scheduler and client, of a worker's", two["client_cpu"], "", "<=", 0.02),
        record.claim("one worker's time outside its tasks", by["workers", "1 worker"]["idle"], "", "<=", 0.02),
        record.claim("memory of four times the region over that of one", round(peaks[-1] / peaks[0], 3), "", "<=", 1.1),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True, help="folder that keeps the region and its ensemble")
    parser.add_argument("--quick", action="store_true", help="a small region and few rounds")
    parser.add_argument("--json", type=Path, help="file to write the record to")
    parser.add_argument("--only", nargs="+", choices=JOBS, help="some of the jobs")
    parser.add_argument("--peak", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--project", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not ALLOCATOR.items() <= os.environ.items():  # as in a worker: memory that is freed stays with the process
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.prediction", *sys.argv[1:]], os.environ | ALLOCATOR
        )
    if options.peak:
        path, workdir = options.project
        peak(open_project(path, workdir=workdir), tuple(options.peak), options.workdir)
        return
    size = Size((4, 8), 45) if options.quick else Size()
    home = options.workdir / ("quick" if options.quick else "full")
    home.mkdir(parents=True, exist_ok=True)
    project = make_project(home, size)
    facts = machine.facts(("smdown", "torch", "numpy", "numba", "dask", "distributed", "odc-geo", "xarray"))
    half = (size.cells[0], size.cells[1] // 2)
    with tempfile.TemporaryDirectory(dir=home) as name:
        bench = Bench(project, Path(name), 2 if options.quick else 5)
        jobs = {
            "throughput": lambda: bench.throughput((half[0] // 2, half[1])),
            "peer": bench.beside_peer,
            "constraints": lambda: bench.constraints((half[0] // 2, half[1])),
            "workers": lambda: bench.workers(half),
            "memory": lambda: bench.memory(size.cells),
        }
        rows = []
        for job, run in jobs.items():
            if not options.only or job in options.only:
                print(job, file=sys.stderr, flush=True)
                rows += run()
    for one in rows:
        print("  ".join(f"{key} {value}" for key, value in one.items() if key != "all"))
    if options.only:
        return
    promises = claims(rows)
    for promise in promises:
        verdict = "holds" if promise["holds"] else "FAILS"
        print(f"{verdict:<6} {promise['value']} {promise['unit']} ({promise['bar']})  {promise['claim']}")
    if options.json:
        record.write(options.json, facts, rows, promises)


if __name__ == "__main__":
    main()
