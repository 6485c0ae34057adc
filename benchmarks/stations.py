"""Leave stations out: train without those of some cells, map, compare there, and join the folds into one table.

``python -m benchmarks.stations CONFIG --workdir DIR [--days N] [--quick] [--json FILE] [--set A.B=C ...]``. The
project file says how many folds there are (``training.folds``); stations that share a coarse cell share a fold, so no
station is judged by a network that saw its cell. Every fold is mapped twice, with the project's constraint and without
any: with it the map keeps the coarse product's mean, which need not be that of the stations. Finished folds are kept.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks import machine, record
from benchmarks.skill import smdown
from smdown import open_project
from smdown.evaluation.metrics import median_intervals
from smdown.evaluation.metrics.groups import drawn_counts, statistic_interval
from smdown.evaluation.station_summary import drawn_groups

FIGURES = ("rmse", "ubrmse", "r", "anomaly_r", "bias", "slope", "gdown")
GAINS = {"rmse": -1, "ubrmse": -1, "r": 1}
SHARED = ("sources", "features")
QUICK = ("training.epochs=2", "training.max_days=40")


def mapped_days(project: Any, count: int) -> list[str]:
    """Return days, evenly spread, on which the coarse product of the first layer has values."""
    layer = next(iter(project.config.layers.values()))
    with xr.open_zarr(project.url("sources", f"{layer.source}.zarr")) as data:
        field = data[layer.variable]
        known = data.time.values[np.asarray(field.notnull().any(["y", "x"]))]
    days = [str(day)[:10] for day in known if str(day)[:10] in set(project.config.period.days)]
    return [days[k] for k in np.unique(np.linspace(0, len(days) - 1, min(count, len(days))).round().astype(int))]


def run_fold(config: Path, workdir: Path, fold: int, days: list[str], sets: list[str]) -> Iterator[pd.DataFrame]:
    """Train and map one fold with and without the constraint; yield its table of stations for each."""
    common = [*sets, f"training.fold={fold}", f"prediction.days=[{','.join(days)}]", "evaluation.sensitivity=false"]
    first = workdir / f"fold{fold}"
    for folder, shared, more in (
        (first, SHARED, []),
        (workdir / f"fold{fold}-free", (*SHARED, "models"), ["prediction.constraint=none"]),
    ):
        link(workdir / "base" if shared is SHARED else first, folder, shared)
        if not (folder / "evaluation" / "stations.csv").exists():
            smdown("run", config, "--workdir", folder, *(part for one in [*common, *more] for part in ("--set", one)))
        table = pd.read_csv(folder / "evaluation" / "stations.csv")
        yield table[table.held_out].assign(fold=fold, constraint="none" if more else "as configured")


def link(home: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Let a run use what another has made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (home / name).mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            (folder / name).symlink_to((home / name).resolve(), target_is_directory=True)


def members_of(table: pd.DataFrame) -> list[str]:
    return [str(name).removesuffix("_ubrmse") for name in table.columns if str(name).endswith("_ubrmse")]


def summary(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, by layer, constraint and estimate, medians over stations and the error over all matchups.

    All with 95 % intervals from drawing coarse cells with all of their stations, or stations where cells are few;
    ``gain_`` is the median of what stations gain over the coarse cell, station by station.
    """
    rows = []
    for (layer, constraint), some in table.groupby(["layer", "constraint"], sort=True):
        for member in members_of(some):
            row = {
                "job": f"{layer}, constraint {constraint}",
                "layer": layer,
                "constraint": constraint,
                "method": member,
            }
            row |= {"stations": len(some), "matchups": int(some["n"].sum())}
            row |= {"networks": int(some["network"].nunique()), "cells": int(some["cell"].nunique())}
            row |= error_of_all(some, member)
            columns = {f"median_{f}": some[f"{member}_{f}"] for f in FIGURES}
            base = {f: some[f"coarse_nearest_{f}"] for f in GAINS}
            columns |= {f"gain_{f}": sign * (some[f"{member}_{f}"] - base[f]) for f, sign in GAINS.items()}
            ends = median_intervals(pd.DataFrame(columns).to_numpy(dtype=float), drawn_groups(some))
            for (name, values), (low, high) in zip(columns.items(), ends, strict=True):
                row |= {name: float(values.median()), f"{name}_low": float(low), f"{name}_high": float(high)}
            row |= {"better_than_coarse": share_better(some, member)}
            rows.append(row)
    return rows


def error_of_all(some: pd.DataFrame, member: str) -> dict[str, float]:
    """Return the error over all matchups, with its interval."""
    codes, counts = drawn_counts(drawn_groups(some))
    terms = (some["n"], some["n"] * some[f"{member}_rmse"] ** 2)
    sums = np.stack([np.bincount(codes, t.to_numpy(dtype=float), counts.shape[1]) for t in terms], axis=1)
    low, high = statistic_interval(sums, counts, lambda s: np.sqrt(s[:, 1] / s[:, 0]))
    return {"rmse": math.sqrt(sums[:, 1].sum() / sums[:, 0].sum()), "rmse_low": low, "rmse_high": high}


def share_better(some: pd.DataFrame, member: str) -> float:
    """Return the share of stations whose error is below that of the coarse cell."""
    return float((some[f"{member}_rmse"] < some["coarse_nearest_rmse"]).mean())


def print_table(rows: list[dict[str, Any]]) -> None:
    for job in dict.fromkeys(row["job"] for row in rows):
        some = [row for row in rows if row["job"] == job]
        first = some[0]
        print(f"\n{job} ({first['stations']} stations in {first['cells']} cells, {first['matchups']} matchups)")
        names = ("rmse", *(f"median_{f}" for f in FIGURES), *(f"gain_{f}" for f in GAINS))
        print(f"  {'':<20}" + "".join(f"{name:>28}" for name in names) + f"{'better_than_coarse':>20}")
        for row in some:
            cells = "".join(f"{with_interval(row, name):>28}" for name in names)
            print(f"  {row['method']:<20}{cells}{row['better_than_coarse']:>20.4f}")


def with_interval(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.4f}" + (f" [{low:.4f}, {high:.4f}]" if math.isfinite(low) else "")


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Set the ensemble's error beside that of the coarse product."""
    found = []
    for job in dict.fromkeys(row["job"] for row in rows):
        errors = {row["method"]: row["rmse"] for row in rows if row["job"] == job}
        gain = 100 * (1 - errors["ensemble"] / errors["coarse_nearest"])
        found.append(
            record.claim(f"{job}: RMSE of the ensemble at stations left out", round(gain, 1), "% less", ">=", 0)
        )
        own = next(row for row in rows if row["job"] == job and row["method"] == "ensemble")
        text = f"{job}: gain in RMSE of the median station, lower end of its 95 % interval"
        found.append(record.claim(text, own["gain_rmse_low"], "", ">=", 0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="project file with stations and training.folds")
    parser.add_argument("--workdir", type=Path, required=True, help="folder that keeps finished folds")
    parser.add_argument("--days", type=int, default=25, help="days that are mapped and compared (default: 25)")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="A.B=C", help="as in smdown run")
    parser.add_argument("--quick", action="store_true", help="little training, three days")
    parser.add_argument("--json", type=Path, help="file to write the record to")
    options = parser.parse_args()
    sets = [*options.sets, *(QUICK if options.quick else ())]
    base = options.workdir / "base"
    for stage in ("ingest", "features"):
        smdown(stage, options.config, "--workdir", base, *(part for one in sets for part in ("--set", one)))
    project = open_project(options.config, workdir=str(base), overrides=sets)
    days = mapped_days(project, 3 if options.quick else options.days)
    folds = range(project.config.training.folds)
    table = pd.concat(t for k in folds for t in run_fold(options.config, options.workdir, k, days, sets))
    table.to_csv(options.workdir / "stations.csv", index=False)
    rows = summary(table)
    print_table(rows)
    promises = claims(rows)
    for promise in promises:
        print(f"{promise['value']} {promise['unit']}  {promise['claim']}")
    if options.json:
        record.write(options.json, machine.facts(("smdown", "torch", "numpy")), rows, promises)


if __name__ == "__main__":
    main()
