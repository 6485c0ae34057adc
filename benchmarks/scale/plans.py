"""The real plan of an extent, in a process of its own: seconds of each step, and the most memory that it held.

``python -m benchmarks.scale.plans WORKDIR NAME`` prints them as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from smdown import open_project
from smdown.cubes import create_cube
from smdown.inference.memory import task_bytes
from smdown.inference.mosaic import mosaic_spec
from smdown.inference.predict import predict_tasks, run_predict
from smdown.plan import Plan
from smdown.planning.stages import needs
from smdown.project import Project
from smdown.runtime import load_profile
from smdown.runtime.attempt import peak_bytes

CONFIG = Path(__file__).parents[2] / "configs" / "conus.yaml"
EXTENTS = {"conus": None, "globe": "extent={cells: [0, 1624, 0, 3856]}"}
DAY = "2020-07-15"
_THRESHOLD = 1.0


def project_of(workdir: Path, name: str) -> Project:
    """Return the project of an extent, one day of it."""
    chosen = EXTENTS[name]
    return open_project(
        CONFIG, workdir=str(workdir / name), overrides=(f"prediction.days=[{DAY}]", *([chosen] if chosen else []))
    )


def tile_plan(project: Project) -> Plan:
    """Create the mosaic or take up what is there, and return its plan, without networks, which do not exist."""
    job = project.predict_job
    cube = create_cube(job.mosaic_url, mosaic_spec(job, "benchmark", {}, _THRESHOLD), resume=True)
    written = cube.written()
    tasks = predict_tasks(job, "benchmark", written)
    return Plan("predict", tasks, run_predict, task_bytes(job, needs(project)), int(written.sum()))


def measured(workdir: Path, name: str) -> dict[str, Any]:
    """Make the costs and the tasks of an extent, once through all of them."""
    before = peak_bytes()
    start = time.perf_counter()
    project = project_of(workdir, name)
    found = project.plan(load_profile("serial"), calibrate=False)
    costs = time.perf_counter()
    plan = tile_plan(project)
    created = time.perf_counter()
    listed = sum(1 for _ in plan.tasks)
    end = time.perf_counter()
    return {
        "tiles": plan.total, "to_do": listed, "mpx": project.config.grid.window.size / 1e6, "seconds": end - start,
        "costs_s": costs - start, "create_s": created - costs, "tasks_s": end - created, "peak_mb": peak_bytes() / 1e6,
        "imports_mb": before / 1e6, "task_bytes": plan.task_bytes, "planned_s": found.seconds,
    }  # fmt: skip


def in_a_process(workdir: Path, name: str) -> dict[str, Any]:
    """Return what :func:`measured` finds in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scale.plans", str(workdir), name]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("name", choices=EXTENTS)
    options = parser.parse_args()
    print(json.dumps(measured(options.workdir, options.name)))
