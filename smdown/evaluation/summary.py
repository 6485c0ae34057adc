"""The plan of an evaluation, and what its tiles add up to: ``metrics.json``, and what stations say of it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from smdown.cubes import delete, exists, join, open_cube
from smdown.cubes.store import names
from smdown.errors import IncompleteError
from smdown.evaluation import partials
from smdown.evaluation.consistency import Mass, Seams
from smdown.evaluation.findings import write_findings
from smdown.evaluation.job import EvaluateJob, LayerInput
from smdown.evaluation.partials import Partial
from smdown.evaluation.resampled import add_intervals, errors_at_stations
from smdown.evaluation.space.windows import window_side
from smdown.evaluation.stations import load_stations
from smdown.evaluation.stats import Comparison
from smdown.evaluation.tile import BINS, EvaluateTask, run_evaluate
from smdown.plan import Plan

BASELINE = "coarse_nearest"
_PROCESS_BYTES = 700_000_000  # interpreter and libraries, PyTorch among them
_BYTES_PER_PIXEL = 160  # some fifteen float32 fields of a tile at once, and float64 temporaries
_BYTES_PER_MODEL = 8  # value and standard deviation of a pixel
_USUAL_MODELS = 4
_BYTES_PER_TILE = 24  # map, truth, index and flags, while windows are read
_BYTES_PER_WAVE = 120  # a pixel of a window with its spectra: four fields, each in waves as well, and the bands


def task_bytes(job: EvaluateJob, models: int | None = None) -> int:
    """Return the memory that evaluating one tile needs at most, with so many models (those there, by default)."""
    height, width = (min(job.cells_per_tile, side) * job.grid.ratio for side in job.grid.cells.shape)
    tile, window = height * width, window_side(job.grid) * job.grid.ratio
    pixel = _BYTES_PER_PIXEL + _BYTES_PER_MODEL * max(0, (_models(job) if models is None else models) - _USUAL_MODELS)
    return _PROCESS_BYTES + max(pixel * tile, _BYTES_PER_TILE * tile + _BYTES_PER_WAVE * window * window)


def _models(job: EvaluateJob) -> int:
    """Return how many networks and baselines have maps of their own."""
    urls = [url for url in (job.members_url, job.baselines_url) if url is not None and exists(url)]
    maps = sum(name.endswith("_std") for url in urls for name in open_cube(url).variables)
    return int(maps / max(1, len(job.layers)))


def evaluate_plan(job: EvaluateJob) -> Plan:
    """Return one task per tile of the mosaic that has not been evaluated in its present state.

    Raises
    ------
    CubeError
        If the mosaic, the truth or the members are not there.
    """
    for url in filter(None, (job.mosaic_url, job.truth_url, job.members_url)):
        open_cube(url)
    folder = job.partials_url
    there = partials.finished(folder)
    tiles = list(job.grid.tiles(job.cells_per_tile))
    todo = [t for t in tiles if partials.partial_url("", t.row, t.col).strip("/") not in there]
    tasks = tuple(EvaluateTask(job, tile, folder) for tile in todo)
    return Plan("evaluate", tasks, run_evaluate, task_bytes(job), done=len(tiles) - len(todo))


def summarise(job: EvaluateJob) -> dict[str, Any]:
    """Merge all tiles; write ``metrics.json``, ``job.json``, and of stations two tables and their summary.

    Returns
    -------
    dict
        What ``metrics.json`` holds, with NaN where it has null.

    Raises
    ------
    IncompleteError
        If tiles are missing.
    """
    folder = job.partials_url
    expected = sum(1 for _ in job.grid.tiles(job.cells_per_tile))
    found = len(partials.finished(folder))
    if found < expected:
        raise IncompleteError(f"got {found} of {expected} evaluated tiles; run evaluate again to finish the rest")
    whole = partials.read_all(folder)
    table, figures = _stations(job, pd.DataFrame(whole.matchups))
    metrics = {
        "layers": {layer.name: _references(layer, whole, table, figures) for layer in job.layers},
        "consistency": {layer.name: _consistency(layer, whole) for layer in job.layers},
        "by_day": {layer.name: _by_day(layer, whole) for layer in job.layers},
        "scatter": {layer: {"bins": BINS, "counts": dict(counts)} for layer, counts in whole.scatter.items()},
        "days": list(job.days),
        "units": {layer.name: layer.units for layer in job.layers},
    }
    partials.write_json(join(job.out_url, "metrics.json"), metrics)
    partials.write_json(join(job.out_url, "job.json"), job.as_json())
    _write_tables(job, table, figures)
    write_findings(job, whole, table)
    _forget_other_jobs(job)
    return metrics


def _references(
    layer: LayerInput, whole: Partial, table: pd.DataFrame, figures: pd.DataFrame
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the figures of a layer by reference and member."""
    from smdown.evaluation.station_pool import pooled_metrics  # what it needs takes half a second to import

    out: dict[str, dict[str, dict[str, Any]]] = {}
    if truth := _truth(layer, whole):
        add_intervals(truth, {member: blocks for (name, member), blocks in whole.errors.items() if name == layer.name})
        out["truth"] = truth
    if len(table):
        own = table[table["layer"] == layer.name]
        for reference, held_out in (("stations", True), ("stations_training", False)):
            rows = own[own["held_out"] == held_out]
            if len(rows):
                known = rows.dropna(axis="columns", how="all")
                mine = figures[(figures["layer"] == layer.name) & (figures["held_out"] == held_out)]
                out[reference] = pooled_metrics(known, mine)
                add_intervals(out[reference], errors_at_stations(known))
    for members in out.values():
        _add_gain(members)
    return out


def _truth(layer: LayerInput, whole: Partial) -> dict[str, dict[str, Any]]:
    members = list(dict.fromkeys(member for name, _, member in whole.truth if name == layer.name))
    out = {}
    for member in members:
        keys = [key for key in whole.truth if key[0] == layer.name and key[2] == member]
        comparison: Comparison = partials.total(keys, whole.truth, Comparison())
        out[member] = comparison.metrics()
    return out


def _add_gain(members: dict[str, dict[str, Any]]) -> None:
    """Add to each member by what share its RMSE is below that of the coarse value taken as it is."""
    base = members.get(BASELINE, {}).get("rmse", math.nan)
    for metrics in members.values():
        metrics["rmse_gain"] = 1 - metrics["rmse"] / base if base > 0 else math.nan


def _consistency(layer: LayerInput, whole: Partial) -> dict[str, float]:
    mass: Mass = partials.total([k for k in whole.mass if k[0] == layer.name], whole.mass, Mass())
    seams: Seams = partials.total([k for k in whole.seams if k[0] == layer.name], whole.seams, Seams())
    return mass.metrics() | seams.metrics()


def _by_day(layer: LayerInput, whole: Partial) -> dict[str, Any]:
    days: dict[str, Any] = {day: {"valid_fraction": 0.0} for name, day in whole.mass if name == layer.name}
    for name, day in whole.mass:
        if name == layer.name:
            days[day] = {"valid_fraction": whole.mass[name, day].metrics()["valid_fraction"]}
    for (name, day, member), comparison in whole.truth.items():
        if name == layer.name:
            days[day].setdefault("truth", {})[member] = comparison.metrics()
    return {day: days[day] for day in sorted(days)}


def _stations(job: EvaluateJob, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the matchups in order, and one row of figures per station and layer."""
    if table.empty or job.stations_url is None:
        return pd.DataFrame(), pd.DataFrame(columns=["layer", "held_out"])
    from smdown.evaluation.station_table import station_table

    stations = load_stations(job.stations_url, ())
    longitudes, latitudes = stations.longitude.tolist(), stations.latitude.tolist()
    places = dict(zip(stations.names, zip(longitudes, latitudes, strict=True), strict=True))
    ordered = table.sort_values(["layer", "station", "day"], ignore_index=True)
    figures = station_table(ordered, places)
    return ordered, figures if len(figures) else pd.DataFrame(columns=["layer", "held_out"])


def _write_tables(job: EvaluateJob, table: pd.DataFrame, figures: pd.DataFrame) -> None:
    """Write the matchups, one row per station and layer, and their summary; remove older ones where there are none."""
    if table.empty:
        for name in ("stations.csv", "matchups.csv", "station_summary.json"):
            if exists(join(job.out_url, name)):
                delete(join(job.out_url, name))
        return
    from smdown.evaluation.station_summary import station_summary

    for name, frame in (("stations.csv", figures), ("matchups.csv", table)):
        partials.write_text(join(job.out_url, name), frame.to_csv(index=False))
    partials.write_json(join(job.out_url, "station_summary.json"), station_summary(figures))


def _forget_other_jobs(job: EvaluateJob) -> None:
    """Remove partial results of earlier jobs and of earlier states of the mosaic."""
    keep = job.partials_url.rsplit("/", 1)[-1]
    parent = join(job.out_url, "partials")
    for name in names(parent):
        if name != keep:
            delete(join(parent, name))
