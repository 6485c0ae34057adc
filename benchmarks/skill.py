"""Measure skill where the 30 m truth is known: kinds of label, training resolutions and seeds, on synthetic regions.

``python -m benchmarks.skill --workdir DIR [--seeds 0 1 2] [--only TEXT ...] [--every] [--quick] [--json FILE]``. Every
run is a whole project: networks, ensemble, linear regression and gradient boosting on the same samples, mapped and
compared with the truth. What is finished is kept in the folder and not run again; ``--only`` takes the runs whose name
has one of the texts in it. A run takes some minutes on two cores with nothing else on them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from benchmarks import machine, record
from benchmarks.skill_table import claims, print_table, rows_of
from smdown.demo import project_of
from smdown.twin import make_twin

LABELS: dict[str, list[dict[str, Any]]] = {
    "cell_mean+stations": [{"kind": "cell_mean", "source": "smap"}, {"kind": "stations", "source": "stations"}],
    "cell_mean": [{"kind": "cell_mean", "source": "smap"}],
    "cubic+stations": [{"kind": "cubic", "source": "smap"}, {"kind": "stations", "source": "stations"}],
    "gridded": [
        {"kind": "gridded", "source": "finer", "variables": {y: y for y in ("sm_surface", "sm_rootzone")}}
    ],
}  # fmt: skip
"""Labels by name; the first is what a user has who has SMAP and stations."""
RESOLUTIONS = {"all": [1000, 100, 50], "1000": [1000], "100": [100], "50": [50]}
TRUTH_EVERY = 5
"""Days between truths: every other one is mapped and judged, the ones between give the finer product."""
FINER, FINER_NOISE = 10, 0.015
"""Pixels of the finer product along a cell, and its error."""
MAPS = ("mosaic.zarr", "members.zarr", "baselines.zarr")


@dataclass(frozen=True)
class Region:
    """Size of the synthetic regions."""

    cells: tuple[int, int] = (6, 6)
    days: int = 120
    stations: int = 60


@dataclass(frozen=True)
class Run:
    """One project."""

    labels: str
    resolutions: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.labels} at {self.resolutions}, seed {self.seed}"

    @property
    def folder(self) -> str:
        return f"{self.labels}-{self.resolutions}"


def matrix(seeds: list[int], only: list[str], *, every: bool, quick: bool) -> list[Run]:
    """Return the runs: all labels at all resolutions, and the user's at each alone; all combinations if `every`.

    With `only`, those of all combinations whose name has one of the texts in it.
    """
    user = next(iter(LABELS))
    found = [Run(labels, where, seed) for seed in seeds for labels, where in product(LABELS, RESOLUTIONS)]
    if only:
        return [run for run in found if any(text in run.name for text in only)]
    if quick:
        found = [run for run in found if (run.labels, run.resolutions) == (user, "all")]
    elif not every:
        found = [run for run in found if run.resolutions == "all" or run.labels == user]
    return found


def make_inputs(folder: Path, region: Region, seed: int) -> Path:
    """Make a region's input files, and a finer product from those truths that are not judged; once for each seed."""
    inputs = folder / "inputs"
    make_twin(inputs, region.cells, region.days, region.stations, seed, truth_every=TRUTH_EVERY)
    finer = folder / "finer.nc"
    if not finer.exists():
        write_finer(inputs / "truth.zarr", finer, seed)
    return inputs


def write_finer(truth: Path, out: Path, seed: int, per_cell: int = FINER) -> None:
    """Write a product of some 900 m: means of the truth with noise, on every other of its days, beginning late."""
    rng = np.random.default_rng(seed)
    with xr.open_zarr(truth, consolidated=False) as data:
        names = [str(name) for name in data.data_vars if data[name].dims == ("time", "y", "x")]
        step = 300 // per_cell
        some = data[names].isel(time=slice(1, None, 2)).coarsen(y=step, x=step).mean().load()
    for name in names:
        noisy = some[name] + FINER_NOISE * rng.standard_normal(some[name].shape)
        some[name] = noisy.astype(np.float32).assign_attrs(units="m3 m-3")
    for axis in ("y", "x"):
        some[axis].attrs = {"standard_name": f"projection_{axis}_coordinate", "units": "m"}
    partial = out.with_suffix(".part")
    plain = some.drop_vars("spatial_ref", errors="ignore").drop_attrs(deep=False)
    plain.to_netcdf(partial, engine="h5netcdf")
    partial.rename(out)


def write_project(folder: Path, inputs: Path, run: Run, changes: dict[str, Any]) -> Path:
    """Write the project file of a run; all runs of a seed have the same sources and drivers."""
    project = project_of(inputs)
    finer = {"kind": "netcdf", "path": str(folder.parent / "finer.nc"), "crs": "EPSG:6933", "valid_range": [0.0, 0.9]}
    project["sources"]["finer"] = finer | {"variables": {y: y for y in project["layers"]}}
    resolutions = RESOLUTIONS[run.resolutions]
    project["training"] |= {"labels": LABELS[run.labels], "resolutions": resolutions, "seed": run.seed} | changes
    project["evaluation"] |= {"sensitivity": False, "baselines": True}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump(project, sort_keys=False))
    return path


def execute(run: Run, workdir: Path, region: Region, changes: dict[str, Any], *, keep: bool) -> dict[str, Any]:
    """Run a project, or find what an earlier call left of it; return its metrics."""
    home = workdir / f"seed{run.seed}"
    folder = home / run.folder
    result = folder / "skill.json"
    recipe = {"region": list(vars(region).values()), "changes": changes, "labels": LABELS[run.labels]}
    recipe = json.loads(json.dumps(recipe))
    if result.exists() and (found := json.loads(result.read_text()))["recipe"] == recipe:
        return dict(found)
    started = time.perf_counter()
    path = write_project(folder, make_inputs(home, region, run.seed), run, changes)
    share(home, folder)
    smdown("run", path, "--workdir", folder)
    found = {"recipe": recipe, "seconds": round(time.perf_counter() - started, 1)}
    found |= {"metrics": json.loads((folder / "evaluation" / "metrics.json").read_text())["layers"]}
    bundle = json.loads((folder / "models" / "demo" / "bundle.json").read_text())
    found |= {"weights": bundle["weights"], "variance_scale": bundle["variance_scale"], "held_out": bundle["metrics"]}
    result.write_text(json.dumps(found))
    if not keep:
        for name in MAPS:
            shutil.rmtree(folder / name, ignore_errors=True)
    return found


def share(home: Path, folder: Path) -> None:
    """Let all runs of a seed read the same cubes of sources and drivers: whoever comes first makes them."""
    for name in ("sources", "features"):
        common, own = home / name, folder / name
        common.mkdir(exist_ok=True)
        if not own.exists():
            own.symlink_to(common.resolve(), target_is_directory=True)


def smdown(*args: object) -> None:
    """Run a command of the package in a process of its own."""
    subprocess.run([sys.executable, "-m", "smdown.cli", *map(str, args)], check=True)


def collect(runs: list[Run], options: argparse.Namespace, region: Region) -> Iterator[dict[str, Any]]:
    changes = dict(yaml.safe_load(f"{{{', '.join(options.training)}}}") or {})
    if options.quick:
        changes = {"epochs": 3, "pixels_per_epoch": 8000, "max_days": 12} | changes
    for n, run in enumerate(runs, 1):
        print(f"[{n}/{len(runs)}] {run.name}", file=sys.stderr, flush=True)
        found = execute(run, options.workdir, region, changes, keep=options.keep)
        yield from rows_of(run.labels, run.resolutions, run.seed, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True, help="folder that keeps regions and finished runs")
    parser.add_argument("--seeds", type=int, nargs="+", help="regions and networks (default: 0 1 2; 0 if quick)")
    parser.add_argument("--only", nargs="+", default=[], help="take runs whose name has one of these texts in it")
    parser.add_argument("--every", action="store_true", help="all labels at all resolutions, each alone too")
    parser.add_argument("--quick", action="store_true", help="a small region, little training, one run")
    parser.add_argument("--keep", action="store_true", help="keep the maps of finished runs")
    parser.add_argument("--json", type=Path, help="file to write the record to")
    parser.add_argument(
        "--training", nargs="+", default=[], metavar="KEY: VALUE", help="other settings of training, as 'epochs: 40'"
    )
    options = parser.parse_args()
    seeds = options.seeds or ([0] if options.quick else [0, 1, 2])
    region = Region((3, 3), 60, 24) if options.quick else Region()
    runs = matrix(seeds, options.only, every=options.every, quick=options.quick)
    if not runs:
        parser.error(f"got --only {' '.join(options.only)}, which no run has in its name")
    facts = machine.facts(("smdown", "torch", "scikit-learn", "numpy"))
    rows = list(collect(runs, options, region))
    print_table(rows)
    promises = claims(rows, next(iter(LABELS)))
    for promise in promises:
        verdict = "holds" if promise["holds"] else "FAILS"
        print(f"{verdict:<6} {promise['value']} {promise['unit']} ({promise['bar']})  {promise['claim']}")
    if options.json:
        record.write(options.json, facts, rows, promises)


if __name__ == "__main__":
    main()
