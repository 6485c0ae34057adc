"""Predict one tile with networks of real size in a fresh process; print its peak memory and what was planned."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from smdown.cubes import create_cube
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.inference import LayerJob, PredictJob, PredictTask
from smdown.inference.engine import Engine
from smdown.inference.memory import task_bytes
from smdown.inference.mosaic import members_spec, mosaic_spec
from smdown.inference.opening import TrainedEnsemble
from smdown.inference.outline import Outline
from smdown.inference.predict import predict_tile
from smdown.networks import CNNConfig, DNNConfig, LSTMConfig
from tests.inference.bundles import untrained
from tests.inference.fakes import noise

STATIC, DYNAMIC, LAYERS, DAYS = 10, 4, ("sm_surface", "sm_rootzone"), ("2020-05-01", "2020-05-02")


class Noise:
    """Drivers that cost nothing but their arrays."""

    def static(self, grid, window):
        return np.stack([noise(window, n) for n in range(STATIC)])

    def dynamic(self, grid, window, day):
        return np.stack([noise(window, 20 + n) for n in range(DYNAMIC)])

    def sequence(self, cells, day):
        return np.stack([noise(cells.refine(9).expand(1), 40 + n) for n in range(30)])[:, None]

    def coarse(self, source, variable, cells, day):
        return 0.1 + 0.3 * noise(cells, 7)


def peak_bytes() -> int:
    """Return this process's own peak; ``ru_maxrss`` would begin with that of whoever spawned it."""
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def main(folder: Path, cells_per_tile: int, members: bool) -> None:
    side = cells_per_tile
    job = PredictJob(
        None, "", str(folder / "mosaic.zarr"), NestedGrid(EASE2_M09, Window(400, 400 + side, 800, 800 + side), 300),
        side, tuple(LayerJob(name, "smap", name) for name in LAYERS), DAYS,
        members_url=str(folder / "members.zarr") if members else None,
    )  # fmt: skip
    names = tuple(f"d{n}" for n in range(STATIC + DYNAMIC))
    networks = {"dnn": DNNConfig(), "cnn": CNNConfig(), "lstm": LSTMConfig()}
    bundle = untrained(networks, dict.fromkeys(names, ("", 0.5, 0.3)), LAYERS, {"rain": ("", 0.5, 0.3)})
    ensemble = TrainedEnsemble(bundle, LAYERS, job.threads)
    engine = Engine(Noise(), ensemble, names, names[:STATIC], names[STATIC:], (True,) * len(names), 9, (30, 1))
    create_cube(job.mosaic_url, mosaic_spec(job, "f", {}))
    if job.members_url:
        create_cube(job.members_url, members_spec(job, ensemble.members, "f", {}))
    before = peak_bytes()
    (tile,) = job.grid.tiles(side)
    predict_tile(PredictTask(job, tile), engine)
    peak = peak_bytes()
    json.dump({"before": before, "peak": peak, "planned": task_bytes(job, Outline.of(job, engine).needs)}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "members")
