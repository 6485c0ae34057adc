"""One tile of an evaluation: read what the mosaic, the truth and the stations say there, and add it up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from smdown.evaluation import baselines
from smdown.evaluation.consistency import mass_of, seams_of
from smdown.evaluation.job import EvaluateJob, LayerInput
from smdown.evaluation.matchups import Estimates, Field, matchups
from smdown.evaluation.partials import Partial, partial_url, write_json
from smdown.evaluation.reader import Reader, first_pixel
from smdown.evaluation.stations import Station, in_window
from smdown.evaluation.stats import cell_moments, compare_cells, squared_errors
from smdown.grid import Tile, Window
from smdown.plan import Receipt

BINS = 128
"""Bins of the joint histogram along each axis, over the layer's physical range."""


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
        for layer in job.layers:
            _evaluate(_Slice(reader, out, tile, layer, day), flags, stations)
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

    @property
    def limits(self) -> tuple[float, float] | None:
        return self.reader.mosaic.variables[self.layer.name].valid_range


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
    if not np.isfinite(field).any():
        return
    origin = first_pixel(mosaic, reader.job.grid)
    part.out.seams[layer.name, part.day] += seams_of(wide, core, tile.ratio, mosaic.spec.shard, origin)
    truth = reader.field(reader.truth, layer.name, core, part.day)
    if truth is not None or stations:
        estimates = _estimates(part, field, coarse)
        if truth is not None:
            _compare_truth(part, estimates, truth)
        found = matchups(reader, stations, layer.name, part.day, tile, estimates, lambda cells: _elsewhere(part, cells))
        part.out.matchups.extend(found)


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
        part.out.truth[layer, part.day, member] += compare_cells(cells, estimate, reference, std)
        part.out.errors[layer, member].count(part.tile.cells, cells[..., 0], squared_errors(cells))
    if part.limits is not None:
        counts = joint_histogram(reference[known], estimates["ensemble"][0][known], part.limits)
        for bins, count in counts.items():
            part.out.scatter[layer][bins] += count


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
