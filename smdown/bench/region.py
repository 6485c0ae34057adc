"""A synthetic region with its trained ensemble: the data that is measured with, made once and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from smdown.demo import project_of
from smdown.project import Project, open_project
from smdown.twin import make_twin

if TYPE_CHECKING:
    from distributed import Client

    from smdown.runtime import Progress

DRIVERS = (
    *("elevation", "slope", "sand", "clay", "organic", "ndvi", "ndwi_gao"),
    *(f"precipitation_{n}d" for n in (1, 7, 30)),
)
"""Ten drivers of all kinds, which a user gets with a few lines of xarray, too."""
DAYS = 6
STAGES = ("ingest", "features", "train")


@dataclass(frozen=True)
class Size:
    """Extent of the region, in coarse cells, and how long its record is."""

    cells: tuple[int, int] = (4, 8)
    days: int = 60


def make_project(folder: Path, size: Size, client: Client | None, progress: Progress) -> Project:
    """Return the project of a region, its cubes made and its ensemble trained a little.

    Parameters
    ----------
    folder : Path
        Keeps everything; workers must see it at the same path. What is there is not made again.
    size : Size
        Of the region.
    client : distributed.Client, optional
        Where the cubes are made.
    progress : Progress
        Who hears of it.
    """
    inputs = folder / "inputs"
    with progress.stage("region", 1) as bar:
        make_twin(
            inputs, size.cells, size.days, 40, 0, truth_every=10,
            progress=lambda text, done, total: bar.update(done, total, text),
        )  # fmt: skip
    path = folder / "project.yaml"
    text = yaml.safe_dump(settings(inputs), sort_keys=False)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    project = open_project(path, workdir=str(folder / "work"))
    project.run(STAGES, client=client, progress=progress, command="smdown bench")
    return project


def settings(inputs: Path) -> dict[str, Any]:
    """Return the project file of a region: the demonstration's with little training, as speed needs no more."""
    project = project_of(inputs)
    project["features"]["drivers"] = [d for d in project["features"]["drivers"] if d["name"] in DRIVERS]
    training = {"epochs": 4, "pixels_per_epoch": 100_000, "max_days": 10, "hold_out_stations": 0.2}
    project["training"] |= training
    project["prediction"] |= {"days": project["prediction"]["days"][-DAYS:], "members": False}
    project["evaluation"] = {"baselines": False, "sensitivity": False}
    return project
