"""Small trainings, for tests of how they run; as a program, one in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from smdown.training import Bundle, TrainingConfig, train
from smdown.training.world import world

CELLS = {"kind": "cell_mean", "source": "smap"}
STATIONS = {"kind": "stations", "source": "stations"}
QUICK: dict[str, Any] = {
    "labels": [CELLS, STATIONS],
    "resolutions": [1000],
    "networks": {"dnn": {"hidden": [8]}, "lstm": {"hidden": 3, "width": 8}},
    "epochs": 5,
    "max_days": 6,
    "batch_pixels": 600,
    "pixels_per_epoch": 6000,
}


def quick(**changes: Any) -> TrainingConfig:
    return TrainingConfig(**(QUICK | changes))


def run(
    region: Any, out: Path, tell: Any = None, devices: Any = None, *, baselines: bool = False, **changes: Any
) -> Bundle:
    """Train on a region."""
    return train(
        quick(**changes),
        region.context(str(out)),
        tell,
        loader=region,
        stations=region.station_data(),
        devices=devices,
        baselines=baselines,
    )


def histories(out: Path) -> dict[str, Any]:
    return json.loads((out / "history.json").read_text())["networks"]


if __name__ == "__main__":
    from tests.training.conftest import Region

    torch.set_num_threads(1)
    bundle = run(Region(), Path(sys.argv[1]), **json.loads(sys.argv[2]))
    if sys.argv[3:]:
        Path(f"{sys.argv[3]}{world().rank}").write_text(bundle.digest)
