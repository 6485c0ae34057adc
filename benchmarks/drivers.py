"""Do the methods of the sensitivity analysis find what made the truth? On a synthetic region, with a driver of noise.

``python -m benchmarks.drivers --workdir DIR [--seeds 0 1 2] [--quick] [--json FILE]``. A whole project with four
drivers of the pixel: sand and clay, from which the region's own water balance takes all properties of the soil, and
hollows, where water gathers, make most of the pattern; a field of noise in patches of some hundred metres makes
nothing of it. Labels are a product of 90 m, so that there is enough to learn from; the recurrent network sees the
rain too. Inputs are kept, runs taken up.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml

from benchmarks import machine, record
from benchmarks.skill import LABELS, smdown, write_finer
from smdown.demo import project_of
from smdown.twin import make_twin
from smdown.twin.fields import Component, gaussian_field

CELLS, DAYS, TRUTH_EVERY, PER_CELL = (4, 4), 60, 2, 100
DRIVERS = ("sand", "clay", "tpi_500m", "noise")
TEXTURE, NOISE = ("sand", "clay"), "noise"
PATCHES = (Component(350.0, 1.0),)
TRAINING = {"epochs": 40, "pixels_per_epoch": 100_000, "resolutions": [1000, 100, 50]}
QUICK = {"epochs": 12, "max_days": 12}


def make_inputs(folder: Path, seed: int) -> Path:
    """Make the region, its finer product and the noise; once."""
    inputs = folder / "inputs"
    make_twin(inputs, CELLS, DAYS, 4, seed, truth_every=TRUTH_EVERY)
    if not (folder / "finer.nc").exists():
        write_finer(inputs / "truth.zarr", folder / "finer.nc", seed, PER_CELL)
    if (folder / "noise.tif").exists():
        return inputs
    with rasterio.open(inputs / "soil" / "sand.tif") as sand:
        profile, metres = sand.profile, 2 * math.pi * 6371e3 / 360 * abs(sand.transform.e)  # a file in degrees
        spacing = (metres, metres * math.cos(math.radians(sand.lnglat()[1])))
    drawn = gaussian_field(np.random.default_rng(seed), (profile["height"], profile["width"]), spacing, PATCHES)
    with rasterio.open(folder / "noise.tif", "w", **profile | {"dtype": "float32", "nodata": -9999.0}) as out:
        out.write(drawn, 1)
    return inputs


def write_project(folder: Path, inputs: Path, seed: int, changes: dict[str, Any]) -> Path:
    """Write the project: the twin's own, with the drivers that made it, the noise, and labels that suffice."""
    project = project_of(inputs)
    project["sources"] |= {
        "finer": {
            "kind": "netcdf", "path": str(folder / "finer.nc"), "crs": "EPSG:6933", "valid_range": [0.0, 0.9],
            "variables": {y: y for y in project["layers"]},
        },
        "chance": {
            "kind": "raster", "path": str(folder / "noise.tif"), "variables": {NOISE: 1}, "units": {NOISE: "1"},
        },
    }  # fmt: skip
    drivers = project["features"]["drivers"]
    drivers.append({"name": NOISE, "kind": "source", "source": "chance", "variable": NOISE})
    project["features"]["drivers"] = [driver for driver in drivers if driver["name"] in DRIVERS]
    project["training"] |= {"labels": LABELS["gridded"], "seed": seed} | TRAINING | changes
    project["evaluation"] |= {"sensitivity": True, "baselines": False}
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump(project, sort_keys=False))
    return path


def rows_of(found: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """Return, by layer, resolution, method and member, the drivers' importance as shares of that of sand."""
    rows = []
    for layer, resolutions in found["layers"].items():
        for resolution, members in resolutions.items():
            for member, entry in members.items():
                for method in found["methods"]:
                    values = importance(entry, method)
                    shares = {name: round(values[name] / values[TEXTURE[0]], 5) for name in DRIVERS}
                    row = {"job": f"seed {seed}, {layer} at {resolution} m", "method": f"{method}, {member}"}
                    rows.append(row | {"order": sorted(DRIVERS, key=lambda name: -shares[name]), "shares": shares})
    return rows


def importance(entry: dict[str, Any], method: str) -> dict[str, float]:
    if method == "permutation":
        return {name: value["pattern"] for name, value in entry["drivers"].items()}
    key = {"sobol": "total", "ale": "importance"}.get(method)
    values = entry[method]["drivers"]
    return {name: value[key] if key else value for name, value in values.items()}


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say how often texture comes first and the noise last, and what share of texture's importance the noise has."""
    several = f"share of {len(rows)} rankings (regions, layers, resolutions, methods, networks)"
    first = 100 * float(np.mean([row["order"][0] in TEXTURE for row in rows]))
    last = 100 * float(np.mean([row["order"][-1] == NOISE for row in rows]))
    noise = max(row["shares"][NOISE] for row in rows)
    return [
        record.claim(f"sand or clay first, {several}", first, "%", ">=", 100),
        record.claim(f"noise last, {several}", last, "%", ">=", 100),
        record.claim("noise, largest share of sand's importance", noise, "", "<=", 0.1),
    ]


def print_table(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        shares = "  ".join(f"{name} {row['shares'][name]:.3f}" for name in row["order"])
        print(f"{row['job']:<32}{row['method']:<24}{shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True, help="folder that keeps the region and the run")
    parser.add_argument("--seeds", type=int, nargs="+", help="regions (default: 0 1 2; 0 if quick)")
    parser.add_argument("--quick", action="store_true", help="little training")
    parser.add_argument("--json", type=Path, help="file to write the record to")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds or ([0] if options.quick else [0, 1, 2]):
        folder = options.workdir.resolve() / f"seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        project = write_project(folder, make_inputs(folder, seed), seed, QUICK if options.quick else {})
        smdown("run", project, "--workdir", folder / "run")
        rows += rows_of(json.loads((folder / "run" / "evaluation" / "sensitivity.json").read_text()), seed)
    print_table(rows)
    promises = claims(rows)
    for promise in promises:
        verdict = "holds" if promise["holds"] else "FAILS"
        print(f"{verdict:<6} {promise['value']} {promise['unit']} ({promise['bar']})  {promise['claim']}")
    if options.json:
        record.write(options.json, machine.facts(("smdown", "torch", "SALib", "captum")), rows, promises)


if __name__ == "__main__":
    main()
