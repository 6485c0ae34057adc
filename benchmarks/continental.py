"""Simulate a continent: its real plan, run by tasks that sleep, on many worker processes of this machine.

``python -m benchmarks.continental --workdir DIR [--quick] [--json FILE] [--plot FILE]``. Tiles, cubes, receipts and the
loop are those of a real run of `configs/conus.yaml`; no pixel is read or computed. What is measured is what planning,
the client and the scheduler cost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from distributed import Client

from benchmarks import machine, record
from benchmarks.scale.body import Sleeping, sleeping, warm
from benchmarks.scale.plans import in_a_process, project_of, tile_plan
from benchmarks.scale.plot import draw
from benchmarks.scale.watch import Watch, resident_bytes
from smdown.cubes import open_cube
from smdown.inference import mosaic
from smdown.plan import Plan
from smdown.runtime import Profile, execute, open_client
from smdown.runtime.attempt import peak_bytes
from smdown.runtime.clusters import LocalCluster

Row = dict[str, Any]
MEMORY_BYTES = 20 * 2**30
"""Shared by all workers."""
IDLE_S = 5.0


@dataclass(frozen=True)
class Size:
    """How much is simulated: tiles, mean seconds of one, worker processes, and tiles that do nothing."""

    tiles: int = 3000
    seconds: float = 1.0
    workers: int = 16
    empty: int = 3000


QUICK = Size(48, 0.2, 4, 200)


def profile_of(size: Size) -> Profile:
    """Return the place: processes of one thread each."""
    cluster = LocalCluster(workers=size.workers, threads=1, memory=MEMORY_BYTES // size.workers)
    return Profile(cluster=cluster)


def planned(workdir: Path) -> list[Row]:
    """Make the plans of the continent and of the globe, each in a process of its own."""
    return [{"job": "plan", "method": name} | _round(in_a_process(workdir, name)) for name in ("conus", "globe")]


def simulated(workdir: Path, size: Size) -> tuple[list[Row], Watch]:
    """Run tiles of the continent's plan; return what it took and what was seen meanwhile."""
    project = project_of(workdir, "conus")
    plan = tile_plan(project)
    held = min(plan.task_bytes, MEMORY_BYTES // size.workers)
    with open_client(profile_of(size)) as client:
        assert client is not None
        client.wait_for_workers(size.workers, timeout=300)
        client.run(warm, project.mosaic_url)
        idle = _idle_cpu()
        rows = [_submitted(plan, client, size, held)]
        watch = Watch()
        rows.append(_slept(sleeping(plan, size.tiles, size.seconds, held), client, size, watch, idle))
    return rows, watch


def _idle_cpu() -> float:
    """Return the share of a core that scheduler and client take while nothing is to do."""
    before = time.process_time()
    time.sleep(IDLE_S)
    return (time.process_time() - before) / IDLE_S


def _submitted(plan: Plan, client: Client, size: Size, held: int) -> Row:
    """Run tiles that do nothing: what is left is the way there and back."""
    cpu, watch = time.process_time(), Watch()
    outcome = execute(sleeping(plan, size.empty, 0.0, held), client, watch)
    spent = time.process_time() - cpu
    count = len(outcome.receipts)
    return {
        "job": "submission", "method": f"{size.workers} workers", "tiles": count, "seconds": round(outcome.seconds, 3),
        "tiles_s": round(count / outcome.seconds, 1), "client_ms_tile": round(1e3 * spent / count, 3),
    }  # fmt: skip


def _slept(plan: Plan, client: Client, size: Size, watch: Watch, idle: float) -> Row:
    """Run tiles that sleep."""
    before, cpu = resident_bytes(), time.process_time()
    outcome = execute(plan, client, watch)
    spent = time.process_time() - cpu
    if outcome.failed:
        raise RuntimeError(next(iter(outcome.failed.values())))
    assert isinstance(plan.tasks, Sleeping)
    work, drawn = sum(r.seconds for r in outcome.receipts), sum(task.seconds for task in plan.tasks)
    written = open_cube(plan.tasks[0].task.job.mosaic_url).written()
    return {
        "job": "simulation", "method": f"{size.workers} workers", "tiles": len(outcome.receipts),
        "receipts": int(written.sum()) - plan.done, "seconds": round(outcome.seconds, 3),
        "ideal_s": round(drawn / size.workers, 3), "tile_s": round(work / len(outcome.receipts), 4),
        "beyond_ideal": round(outcome.seconds * size.workers / drawn - 1, 4),
        "overhead": round(outcome.seconds * size.workers / work - 1, 4), "client_cpu_s": round(spent, 3),
        "client_cpu": round(spent / work, 5), "client_cpu_of_core": round(spent / outcome.seconds, 4),
        "idle_cpu_of_core": round(idle, 4), "client_before_mb": round(before / 1e6, 1),
        "client_after_mb": round(resident_bytes() / 1e6, 1), "client_peak_mb": round(peak_bytes() / 1e6, 1),
        "held_gib": round(plan.task_bytes / 2**30, 3),
    }  # fmt: skip


def resumed(workdir: Path) -> Row:
    """Finish the continent as its tasks would, then take up its plan in a fresh process: nothing is left to do."""
    plan = tile_plan(project_of(workdir, "conus"))
    cube = None
    for task in plan.tasks:
        cube = cube or open_cube(task.job.mosaic_url)  # type: ignore[attr-defined]
        mosaic.commit([cube], task.tile)  # type: ignore[attr-defined]
    return {"job": "resume", "method": "conus"} | _round(in_a_process(workdir, "conus"))


def _round(row: Row) -> Row:
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}


def claims(rows: list[Row]) -> list[Row]:
    """Set each promise beside the figure of this run."""
    plans = {row["method"]: row for row in rows if row["job"] == "plan"}
    found = {row["job"]: row for row in rows}
    run, again = found["simulation"], found["resume"]
    peaks = [run["client_peak_mb"], *(row["peak_mb"] for row in (*plans.values(), again))]
    return [
        record.claim("Making the plan of the conterminous United States", plans["conus"]["seconds"], "s", "<=", 10),
        record.claim("Making the plan of the globe", plans["globe"]["seconds"], "s", "<=", 60),
        record.claim("Taking up a finished plan of the continent", again["seconds"], "s", "<=", 5),
        record.claim("Tiles that a finished plan does again", again["to_do"], "tiles", "<=", 0),
        record.claim("Client, scheduler and planning: most memory", max(peaks), "MB", "<=", 500),
        record.claim("Time beyond that of the tiles themselves, scheduler's overhead", run["overhead"], "", "<=", 0.02),
        record.claim("Processor time of scheduler and client, of the tiles' time", run["client_cpu"], "", "<=", 0.02),
        record.claim("Tiles without a receipt", run["tiles"] - run["receipts"], "tiles", "<=", 0),
    ]


def measure(workdir: Path, size: Size) -> tuple[list[Row], Watch]:
    """Plan, run and resume."""
    rows = planned(workdir)
    for part in rows:
        print(part, file=sys.stderr, flush=True)
    more, watch = simulated(workdir, size)
    return [*rows, *more, resumed(workdir)], watch


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write the record and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True, help="folder for cubes, which are removed at the end")
    parser.add_argument("--quick", action="store_true", help="few tiles on four workers, to try it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record to")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a PNG")
    options = parser.parse_args(arguments)
    options.workdir.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(1, get_context("spawn")) as other:  # its arrays are not to count as the client's memory
        facts = other.submit(machine.facts, ("smdown", "numpy", "zarr", "dask", "distributed")).result()
    with tempfile.TemporaryDirectory(dir=options.workdir) as name:
        rows, watch = measure(Path(name), QUICK if options.quick else Size())
    for one in rows:
        print("  ".join(f"{key} {value}" for key, value in one.items()))
    promises = claims(rows)
    for promise in promises:
        verdict = "holds" if promise["holds"] else "FAILS"
        print(f"{verdict:<6} {promise['value']} {promise['unit']} ({promise['bar']})  {promise['claim']}")
    if options.json:
        record.write(options.json, facts, rows, promises)
    if options.plot:
        draw(options.plot, rows, watch)


if __name__ == "__main__":
    main()
