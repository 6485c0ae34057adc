"""One tile of an evaluation: read what the mosaic, the truth and the stations say there, and add it up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.evaluation import baselines
from smdown.evaluation.applicability import DISSIMILARITY, area_of, profile, threshold_of
from smdown.evaluation.calibration import NOMINAL, calibrate_field, span_of
from smdown.evaluation.consistency import mass_of, seams_of
from smdown.evaluation.job import EvaluateJob, LayerInput
from smdown.evaluation.matchups import Estimates, Field, matchups
from smdown.evaluation.partials import Partial, partial_url, write_json
from smdown.evaluation.reader import Reader, first_pixel
from smdown.evaluation.space.cells import CellErrors
from smdown.evaluation.space.tile import compare_products, skipped_spectra, tile_spectra
from smdown.evaluation.stations import Station, in_window
from smdown.evaluation.stats import cell_moments, compare_cells, squared_errors
from smdown.grid import Tile, Window
from smdown.plan import Receipt

BINS = 128
"""Bins of the joint histogram along each axis, over the layer's physical range."""

MAPPED = ("ensemble", "coarse_nearest")
"""Estimates whose errors are mapped by cell, and sorted by dissimilarity."""


@dataclass(frozen=True, slots=True)
class EvaluateTask:
    """Evaluate one tile, all days and layers.

    Parameters
    ----------
    job : EvaluateJob
        What it is part of.
    tile : Tile
        Its cells.
    folder : str
        Where it leaves its result.
    """

    job: EvaluateJob
    tile: Tile
    folder: str

    @property
    def key(self) -> str:
        """Name of the task, unique in its plan."""
        return f"evaluate/{self.tile.row}/{self.tile.col}"


def run_evaluate(task: EvaluateTask) -> Receipt:
    """Evaluate a tile and leave its partial result.

    Returns
    -------
    Receipt
        With the pixels of the mosaic that were read.
    """
    job, tile = task.job, task.tile
    reader, out = Reader(job), Partial()
    stations = [] if reader.stations is None else in_window(reader.stations.on(job.grid), tile.core)
    for day in job.days:
        flags = reader.field(reader.mosaic, "flags", tile.core, day)
        index = reader.field(reader.mosaic, DISSIMILARITY, tile.core, day)
        for layer in job.layers:
            _evaluate(_Slice(reader, out, tile, layer, day, index), flags, stations)
    write_json(partial_url(task.folder, tile.row, tile.col), out.as_json())
    return Receipt(task.key, pixels=tile.core.size * len(job.days) * len(job.layers))


@dataclass(frozen=True, slots=True)
class _Slice:
    """One layer on one day of one tile, and where its results go."""

    reader: Reader
    out: Partial
    tile: Tile
    layer: LayerInput
    day: str
    index: Field | None

    @property
    def limits(self) -> tuple[float, float] | None:
        return self.reader.mosaic.variables[self.layer.name].valid_range

    @property
    def threshold(self) -> float:
        return threshold_of(self.reader.mosaic)


def _evaluate(part: _Slice, flags: npt.NDArray[np.uint8] | None, stations: list[Station]) -> None:
    reader, tile, layer, core = part.reader, part.tile, part.layer, part.tile.core
    mosaic = reader.mosaic
    wide = reader.field(mosaic, layer.name, Window(core.y0, core.y1 + 1, core.x0, core.x1 + 1), part.day)
    if wide is None:
        return
    field: Field = np.ascontiguousarray(wide[:-1, :-1])
    coarse = reader.coarse(layer, tile.cells.expand(baselines.MARGIN), part.day)
    inner = coarse[baselines.MARGIN : -baselines.MARGIN, baselines.MARGIN : -baselines.MARGIN]
    part.out.mass[layer.name, part.day] += mass_of(field, inner, flags, tile.ratio, part.limits)
    if not np.isfinite(field).any() and not stations:  # a window of it would be skipped, a station may see beyond it
        part.out.tallies.put("spectra", (layer.name, part.day, "ensemble"), skipped_spectra(tile, reader.job.grid))
        return
    origin = first_pixel(mosaic, reader.job.grid)
    part.out.seams[layer.name, part.day] += seams_of(wide, core, tile.ratio, mosaic.spec.shard, origin)
    if part.index is not None and layer is reader.job.layers[0]:
        part.out.tallies.put("area", (part.day,), area_of(part.index, field, part.threshold))
    truth = reader.field(reader.truth, layer.name, core, part.day)
    for name, spectrum in tile_spectra(reader, tile, layer, part.day, (field, truth, coarse)).items():
        part.out.tallies.put("spectra", (layer.name, part.day, name), spectrum)
    if truth is not None or stations or reader.job.references:
        estimates = _estimates(part, field, coarse)
        if truth is not None:
            _compare_truth(part, estimates, truth)
        found = compare_products(reader, tile, layer, part.day, {m: estimate for m, (estimate, _) in estimates.items()})
        for (product, member), comparison in found.items():
            part.out.tallies.put("references", (product, layer.name, part.day, member), comparison)
        seen = matchups(reader, stations, layer.name, part.day, tile, estimates, lambda cells: _elsewhere(part, cells))
        part.out.matchups.extend(seen)
        part.out.samples.extend(_samples(part, stations))


def _estimates(part: _Slice, field: Field, coarse: Field) -> Estimates:
    """Return all fields to be judged: the map, every model alone, and the coarse product at the same pixels.

    With two networks or more their plain mean is one of them: it agrees with the coarse product where they do.
    """
    reader, tile, layer = part.reader, part.tile, part.layer
    out: Estimates = {"ensemble": (field, reader.field(reader.mosaic, f"{layer.name}_std", tile.core, part.day))}
    for cube, member in reader.models_of(layer):
        found = reader.field(cube, f"{layer.name}_{member}", tile.core, part.day)
        if found is not None:
            out[member] = found, reader.field(cube, f"{layer.name}_{member}_std", tile.core, part.day)
    networks = [out[member] for member in reader.networks_of(layer) if member in out]
    if len(networks) > 1:
        out["mean"] = _mean(networks)
    margin = baselines.MARGIN
    out["coarse_nearest"] = baselines.nearest(coarse[margin:-margin, margin:-margin], tile.ratio), None
    out["coarse_cubic"] = baselines.cubic(coarse, tile.ratio), None
    return out


def _mean(networks: list[tuple[Field, Field | None]]) -> tuple[Field, Field | None]:
    """Return the networks' mean with equal weights, and the standard deviation of their mixture."""
    total = sum((mean for mean, _ in networks), start=np.float32(0))
    mean = np.asarray(total / np.float32(len(networks)), dtype=np.float32)
    variance = np.zeros_like(mean)
    for one, std in networks:
        if std is None:
            return mean, None
        variance += (std**2 + (one - mean) ** 2) / np.float32(len(networks))
    return mean, np.sqrt(variance)


def _compare_truth(part: _Slice, estimates: Estimates, truth: Field) -> None:
    """Compare every estimate with the truth over the pixels that all of them have."""
    known = np.isfinite(truth)
    for estimate, _ in estimates.values():
        known &= np.isfinite(estimate)
    if not known.any():
        return
    reference = np.where(known, truth, np.float32(np.nan))
    layer, ratio = part.layer.name, part.tile.ratio
    for member, (estimate, std) in estimates.items():
        cells = cell_moments(estimate, reference, ratio)
        score = None if std is None else _calibrated(part, member, (estimate, reference, std), int(cells[..., 0].sum()))
        part.out.truth[layer, part.day, member] += compare_cells(cells, estimate, reference, std, score)
        part.out.errors[layer, member].count(part.tile.cells, cells[..., 0], squared_errors(cells))
        if member in MAPPED:
            part.out.tallies.put("cells", (layer, member), CellErrors({part.tile.cells: cells}))
            if part.index is not None:
                by_index = profile(estimate, reference, std, part.index, part.threshold)
                part.out.tallies.put("profiles", (layer, member), by_index)
    if part.limits is not None:
        counts = joint_histogram(reference[known], estimates["ensemble"][0][known], part.limits)
        for bins, count in counts.items():
            part.out.scatter[layer][bins] += count


def _calibrated(
    part: _Slice, member: str, fields: tuple[Field, Field, Field], pairs: int
) -> tuple[float, float, float] | None:
    """Count how right a stated uncertainty is; return hits, intervals and score where that is of all pairs."""
    found = calibrate_field(*fields, span_of(part.limits))
    part.out.tallies.put("calibration", (part.layer.name, member), found)
    return (found.hits[NOMINAL.index(0.9)], found.n, found.crps) if found.n == pairs else None


def _samples(part: _Slice, stations: list[Station]) -> list[dict[str, Any]]:
    """Return one row per station: the dissimilarity index, and the independent products at its pixel."""
    rows: list[dict[str, Any]] = []
    for station in stations:
        row: dict[str, Any] = {}
        if part.index is not None:
            row[DISSIMILARITY] = float(part.index[station.y - part.tile.core.y0, station.x - part.tile.core.x0])
        for product in part.reader.job.products:
            place = Window(station.y, station.y + 1, station.x, station.x + 1)
            found = part.reader.product(product, part.layer.name, place, part.day)
            if found is not None:
                row[product.name] = float(found[0, 0])
        if row:
            rows.append({"station": station.name, "layer": part.layer.name, "day": part.day} | row)
    return rows


def joint_histogram(truth: Field, estimate: Field, limits: tuple[float, float]) -> dict[str, int]:
    """Return the filled bins of the joint histogram over the physical range, as ``"<truth>,<estimate>": count``."""
    low, high = limits
    scale = BINS / (high - low)
    i, j = (np.clip((v - low) * scale, 0, BINS - 1).astype(np.int64) for v in (truth, estimate))
    counts = np.bincount(i * BINS + j, minlength=BINS * BINS)
    return {f"{k // BINS},{k % BINS}": int(counts[k]) for k in np.flatnonzero(counts)}


def _elsewhere(part: _Slice, tile: Tile) -> Estimates | None:
    """Return the estimates of cells beyond the tile, which a station at its edge sees."""
    field = part.reader.field(part.reader.mosaic, part.layer.name, tile.core, part.day)
    if field is None:
        return None
    coarse = part.reader.coarse(part.layer, tile.cells.expand(baselines.MARGIN), part.day)
    return _estimates(replace(part, tile=tile), np.ascontiguousarray(field), coarse)
