"""What tiles add up to beyond ``metrics.json``: space, calibration, applicability, and triple collocation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from smdown.cubes import delete, exists, join, open_cube
from smdown.evaluation.applicability import DISSIMILARITY, Area, profile, threshold_of
from smdown.evaluation.calibration import NOMINAL, Calibration, calibrate, span_of
from smdown.evaluation.collocation import MINIMUM, collocations
from smdown.evaluation.job import EvaluateJob
from smdown.evaluation.partials import Partial, write_json, write_text
from smdown.evaluation.space.summary import space
from smdown.evaluation.stations import comparable, members_of
from smdown.evaluation.tile import MAPPED
from smdown.kernels.scores import PIT_BINS

COLLOCATED = "triple_collocation.csv"


def write_findings(job: EvaluateJob, whole: Partial, matchups: pd.DataFrame) -> None:
    """Write ``space.json``, ``calibration.json``, ``applicability.json``, ``triple_collocation.json`` and its table.

    Parameters
    ----------
    job : EvaluateJob
        What was evaluated.
    whole : Partial
        The sum of all tiles.
    matchups : DataFrame
        Estimates and observations at stations; may be empty.
    """
    samples = pd.DataFrame(whole.samples)
    write_json(join(job.out_url, "space.json"), space(job, whole.tallies))
    write_json(join(job.out_url, "calibration.json"), calibration(job, whole, matchups))
    write_json(join(job.out_url, "applicability.json"), applicability(job, whole, matchups, samples))
    products = {product.name: [layer for layer, _ in product.variables] for product in job.products}
    found, table = collocations(matchups, samples, products, job.anomaly_days)
    settings = {"minimum": MINIMUM, "anomaly_days": job.anomaly_days, "held_out_only": True}
    write_json(join(job.out_url, "triple_collocation.json"), settings | {"layers": found})
    place = join(job.out_url, COLLOCATED)
    if len(table):
        write_text(place, table.to_csv(index=False))
    elif exists(place):
        delete(place)


def calibration(job: EvaluateJob, whole: Partial, matchups: pd.DataFrame) -> dict[str, Any]:
    """Return how right the stated uncertainty is, by layer, reference and member."""
    mosaic = open_cube(job.mosaic_url)
    layers: dict[str, Any] = {}
    for layer in job.layers:
        span = span_of(mosaic.variables[layer.name].valid_range)
        found = {"truth": {m: sums for (name, m), sums in whole.tallies.calibration.items() if name == layer.name}}
        for reference, rows in at_stations(matchups, layer.name).items():
            found[reference] = _at_stations(rows, span)
        layers[layer.name] = {
            reference: {member: sums.metrics(span) for member, sums in members.items() if sums.n}
            for reference, members in found.items()
            if any(sums.n for sums in members.values())
        }
    edges = [k / PIT_BINS for k in range(PIT_BINS + 1)]
    return {"nominal": list(NOMINAL), "pit_edges": edges, "layers": layers}


def at_stations(matchups: pd.DataFrame, layer: str) -> dict[str, pd.DataFrame]:
    """Return the matchups of a layer of stations that training never saw, and of the others; only such as compare."""
    if matchups.empty:
        return {}
    own = matchups[matchups["layer"] == layer]
    unseen = own["held_out"].astype(bool)
    parts = {"stations": own[unseen], "stations_training": own[~unseen]}
    return {name: comparable(rows.dropna(axis="columns", how="all")) for name, rows in parts.items() if len(rows)}


def _std_column(member: str) -> str:
    return "std" if member == "ensemble" else f"{member}_std"


def _at_stations(rows: pd.DataFrame, span: float) -> dict[str, Calibration]:
    stated = [member for member in members_of(rows) if _std_column(member) in rows]
    return {m: calibrate(rows[m], rows["observed"], rows[_std_column(m)], span) for m in stated}


def applicability(job: EvaluateJob, whole: Partial, matchups: pd.DataFrame, samples: pd.DataFrame) -> dict[str, Any]:
    """Return errors by dissimilarity index, and the share of the area that is outside; empty without an index."""
    threshold = threshold_of(open_cube(job.mosaic_url))
    if not math.isfinite(threshold):
        return {}
    total = Area()
    for area in whole.tallies.area.values():
        total = total + area
    layers: dict[str, Any] = {}
    for layer in job.layers:
        found = {"truth": {m: sums for (name, m), sums in whole.tallies.profiles.items() if name == layer.name}}
        if DISSIMILARITY in samples:
            index = samples[["station", "layer", "day", DISSIMILARITY]]
            for reference, rows in at_stations(matchups, layer.name).items():
                joined = rows.merge(index, on=["station", "layer", "day"], how="inner")
                found[reference] = {
                    m: profile(joined[m], joined["observed"], _std(joined, m), joined[DISSIMILARITY], threshold)
                    for m in MAPPED
                    if m in joined
                }
        layers[layer.name] = _without_empty(
            {ref: {m: sums.metrics(threshold) for m, sums in members.items()} for ref, members in found.items()}
        )
    return {
        "threshold": threshold,
        "pixels": total.pixels,
        "share_outside": total.share,
        "share_outside_by_day": {key[0]: area.share for key, area in sorted(whole.tallies.area.items())},
        "layers": layers,
    }


def _std(rows: pd.DataFrame, member: str) -> pd.Series[float] | None:
    return rows.get(_std_column(member))


def _without_empty(references: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    kept = {ref: {m: figures for m, figures in members.items() if figures} for ref, members in references.items()}
    return {ref: members for ref, members in kept.items() if members}
