"""Memory of a feature tile against its plan, from sources of one, two and four times the memory that it may use.

Each tile is made in a process of its own whose data segment the kernel limits to the planned bytes: one that wanted
more would die. Run it with ``python -m benchmarks.memory``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import machine, record
from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.features import FeaturesConfig, build_spec, features_plan, task_bytes
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window
from smdown.runtime.attempt import peak_bytes

BASE = NestedGrid(EASE2_M09, Window(344, 352, 876, 884), 300)
CELLS_PER_TILE = 4
SHARD = 4096


def make_source(folder: Path, crs: str, gigabytes: float) -> None:
    """Write a cube of float32 values around the region, finer the larger it is; shard by shard."""
    side = int(np.sqrt(gigabytes * 2**30 / 4))
    x0, y0, width = (-99.3, 35.7, 1.3) if crs == "EPSG:4326" else (460_000.0, 3_950_000.0, 120_000.0)
    raster = RasterGrid(crs, x0, y0, width / side, -width / side, side, side)
    cube = create_cube(str(folder / "dem.zarr"), CubeSpec(raster, (Variable("elevation"),), (), SHARD, 512))
    block = np.random.default_rng(0).normal(500, 50, (64, 64)).astype(np.float32)
    block = np.tile(block, (SHARD // 64, SHARD // 64))
    for y in range(0, side, SHARD):
        for x in range(0, side, SHARD):
            part = Window(y, min(y + SHARD, side), x, min(x + SHARD, side))
            cube.write("elevation", block[: part.height, : part.width], part)
    cube.finish()


def spec_of(folder: Path):
    """Return the drivers: elevation and its slope, at all scales."""
    drivers = (
        {"name": "elevation", "kind": "source", "source": "dem", "variable": "elevation"},
        {"name": "slope", "kind": "terrain", "measure": "slope", "source": "dem"},
    )
    config = FeaturesConfig(drivers=drivers, resolutions=(1000, 30))
    return build_spec(config, BASE, sources_url=str(folder), features_url=str(folder / "features"))


def run_tile(folder: Path, resolution: int) -> None:
    """Make one tile under the limit of its plan, and print what it took."""
    spec = spec_of(folder)
    planned = task_bytes(spec, CELLS_PER_TILE)
    resource.setrlimit(resource.RLIMIT_DATA, (planned, planned))
    plan = features_plan(spec, (resolution,), CELLS_PER_TILE, "benchmark")
    started = time.perf_counter()
    plan.run(plan.tasks[0])
    taken = {
        "peak_gib": peak_bytes() / 2**30,
        "planned_gib": planned / 2**30,
        "median_s": time.perf_counter() - started,
    }
    print(json.dumps(taken))


def measure(crs: str, gigabytes: float) -> list[dict[str, float | str]]:
    """Return one row for each resolution."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_source(folder, crs, gigabytes)
        for resolution in (1000, 30):
            command = [sys.executable, "-m", "benchmarks.memory", "--tile", name, "--resolution", str(resolution)]
            found = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(
                {
                    "job": f"{crs} to {resolution} m",
                    "method": "smdown",
                    "source_gib": gigabytes,
                    **json.loads(found.stdout),
                }
            )
    return rows


def main() -> None:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="sources of a sixteenth of the size")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tile", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--resolution", type=int, default=1000, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.tile:
        run_tile(args.tile, args.resolution)
        return
    cap = task_bytes(spec_of(Path("nowhere")), CELLS_PER_TILE) / 2**30
    rows: list[dict[str, float | str]] = []
    for crs in ("EPSG:4326", "EPSG:32614"):
        for times in (1, 2, 4):
            rows += measure(crs, times * cap / (16 if args.quick else 1))
            for row in rows[-2:]:
                source, planned, peak = (f"{row[k]:.2f} GiB" for k in ("source_gib", "planned_gib", "peak_gib"))
                print(f"{row['job']:22} source {source}, planned {planned}, peak {peak}, {row['median_s']:.1f} s")
    if args.json:
        record.write(args.json, machine.facts(("smdown", "numpy", "zarr", "numba")), rows, claims(rows))


def claims(rows: list[dict[str, float | str]]) -> list[dict[str, object]]:
    """Set the figures beside what is promised."""
    over = max(float(r["peak_gib"]) / float(r["planned_gib"]) for r in rows)
    return [record.claim("peak of a task over its plan, sources up to four times the memory", over, "", "<=", 1.0)]


if __name__ == "__main__":
    main()
