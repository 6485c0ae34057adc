"""Evaluate the first tile of a made-up map in a fresh process; print its peak memory and what was planned."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.evaluation import EvaluateJob, LayerInput, evaluate_plan, task_bytes
from smdown.grid import EASE2_M09, NestedGrid, Window

DAYS = ("2020-05-01", "2020-05-02")
MEMBERS = ("dnn", "cnn", "lstm")


def peak_bytes() -> int:
    """Return this process's own peak; ``ru_maxrss`` would begin with that of whoever spawned it."""
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def forget_peak() -> int:
    """Begin the peak anew, where the kernel allows it, and return what is held now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return peak_bytes()


def cube(url: Path, grid: NestedGrid, names: list[str], margin: int = 0) -> str:
    """Write a cube of noise, one shard at a time."""
    grid = NestedGrid(grid.lattice, grid.cells.expand(margin), grid.ratio)
    variables = tuple(
        Variable(n, ("time", "y", "x"), "int16", 1e-3, valid_range=(0.0, 0.9), attrs={"threshold": 0.5}) for n in names
    )
    side = max(16, grid.ratio)
    made = create_cube(str(url), CubeSpec(grid.raster, variables, DAYS, side, side, nested=grid))
    rng = np.random.default_rng(0)
    whole = made.raster.window
    for y in range(0, whole.y1, side):
        for x in range(0, whole.x1, side):
            window = Window(y, min(y + side, whole.y1), x, min(x + side, whole.x1))
            field = rng.uniform(0.1, 0.5, window.shape).astype(np.float32)
            for day in range(len(DAYS)):
                for name in names:
                    made.write(name, field, window, day)
    made.finish()
    return str(url)


def main(folder: Path, cells: int, cells_per_tile: int, ratio: int) -> None:
    grid = NestedGrid(EASE2_M09, Window(400, 400 + cells, 800, 800 + cells), ratio)
    url = {
        "mosaic": cube(folder / "mosaic.zarr", grid, ["sm", "sm_std", "dissimilarity"]),
        "members": cube(folder / "members.zarr", grid, [f"sm_{m}{s}" for m in MEMBERS for s in ("", "_std")]),
        "truth": cube(folder / "truth.zarr", grid, ["sm"]),
        "coarse": cube(folder / "coarse.zarr", grid.at(1), ["sm"], 3),
    }
    job = EvaluateJob(
        url["mosaic"], grid, (LayerInput("sm", url["coarse"], "sm"),), DAYS, cells_per_tile, str(folder / "out"),
        url["members"], url["truth"],
    )  # fmt: skip
    plan = evaluate_plan(job)
    before = forget_peak()
    plan.run(plan.tasks[0])
    json.dump({"before": before, "peak": peak_bytes(), "planned": task_bytes(job)}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(v) for v in sys.argv[2:5]))
