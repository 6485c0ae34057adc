"""The demonstration: a synthetic region as input files, and the project file that downscales it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from smdown.cubes.store import is_local, local_path, make_folder
from smdown.errors import ConfigError
from smdown.runtime import Progress
from smdown.training.extras import baselines_available
from smdown.twin import make_twin

STATIONS = 60
MAPPED_DAYS = 4
_TRUTH_EVERY = 10


def inputs_home(workdir: str) -> Path:
    """Return the folder for a demonstration's input files: the project directory, or one of its name here if remote."""
    return local_path(workdir) if is_local(workdir) else Path(workdir.rstrip("/").rsplit("/", 1)[-1])


def write_demo(workdir: Path, cells: tuple[int, int], days: int, seed: int, progress: Progress) -> Path:
    """Make the region's input files and its project file, or find those of an earlier call.

    Parameters
    ----------
    workdir : Path
        Folder of the demonstration; inputs go to ``inputs`` in it.
    cells : tuple of int
        Rows and columns of coarse cells.
    days : int
        Days from 2020-04-01 on.
    seed : int
        Which region.
    progress : Progress
        Who hears of it.

    Returns
    -------
    Path
        The project file.
    """
    inputs = workdir / "inputs"
    wanted = {"cells": list(cells), "days": days, "seed": seed, "stations": STATIONS}
    _check_same(workdir, wanted)
    make_folder(workdir)
    if not (inputs / "demo.json").exists():
        with progress.stage("twin", 1) as bar:
            make_twin(
                inputs, cells, days, STATIONS, seed, truth_every=_TRUTH_EVERY,
                progress=lambda text, done, total: bar.update(done, total, text),
            )  # fmt: skip
        (inputs / "demo.json").write_text(json.dumps(wanted))
    project = workdir / "project.yaml"
    project.write_text(yaml.safe_dump(project_of(inputs), sort_keys=False))
    return project


def _check_same(workdir: Path, wanted: dict[str, Any]) -> None:
    marker = workdir / "inputs" / "demo.json"
    if marker.exists() and (found := json.loads(marker.read_text())) != wanted:
        raise ConfigError(
            f"{workdir} holds a demonstration of {found}, got {wanted}; name another --workdir or remove it"
        )


def project_of(inputs: Path) -> dict[str, Any]:
    """Return the project file of a synthetic region, as plain data."""
    twin = json.loads((inputs / "twin.json").read_text())
    first, last = date.fromisoformat(twin["start"]), date.fromisoformat(twin["end"])
    known = [first + timedelta(days=n) for n in range(0, (last - first).days + 1, _TRUTH_EVERY)]
    late = [day for day in known if (day - first).days >= 30]
    step = max(1, len(late) // MAPPED_DAYS)
    project: dict[str, Any] = yaml.safe_load(template())
    project["inputs"] = str(inputs)
    project["extent"] = {"cells": twin["cells"]}
    project["period"] = {"start": first, "end": last}
    project["prediction"] = project["prediction"] | {"days": late[::-step][:MAPPED_DAYS][::-1]}
    project["prediction"].pop("every", None)
    project["evaluation"] = project["evaluation"] | {"truth": str(inputs / "truth.zarr")}
    if not baselines_available():
        project["evaluation"]["baselines"] = False
    return project


def template() -> str:
    """Return ``configs/demo.yaml``, from the checkout or from the installed package."""
    checkout = Path(__file__).parent.parent / "configs" / "demo.yaml"
    if checkout.exists():
        return checkout.read_text(encoding="utf-8")
    return resources.files("smdown").joinpath("demo.yaml").read_text(encoding="utf-8")
