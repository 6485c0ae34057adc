"""What is written of space: ``space.json`` and the cube of errors by coarse cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.cubes import CubeSpec, Variable, create_cube, delete, exists, join
from smdown.evaluation.job import EvaluateJob, LayerInput
from smdown.evaluation.space.cells import MEASURES, CellErrors, measures
from smdown.evaluation.space.resolution import Scales, figures
from smdown.evaluation.space.spectrum import MIN_VALID, Spectrum, bands
from smdown.evaluation.space.windows import window_side
from smdown.evaluation.stats import Comparison
from smdown.evaluation.tallies import Tallies

ERROR_MAPS = "error_maps.zarr"
_SHARD = 256
_WORDS = {
    "bias": "Mean error",
    "rmse": "Root mean square error",
    "ubrmse": "Root mean square error less the mean error",
    "r": "Correlation of pixels and days with the truth",
}
F64 = npt.NDArray[np.float64]


def space(job: EvaluateJob, tallies: Tallies) -> dict[str, Any]:
    """Return what ``space.json`` holds; write the cube of errors beside it, or remove an older one."""
    spectra = {layer.name: _spectra(job, layer.name, tallies) for layer in job.layers}
    return {
        "spectra": {name: found for name, found in spectra.items() if found},
        "error_maps": _error_maps(job, tallies),
        "references": _references(job, tallies),
    }


def _spectra(job: EvaluateJob, layer: str, tallies: Tallies) -> dict[str, Any]:
    by_day: dict[str, dict[str, Spectrum]] = {}
    for (name, day, field), spectrum in sorted(tallies.spectra.items()):
        if name == layer:
            by_day.setdefault(day, {})[field] = spectrum
    reference = "truth" if any(_taken(fields, "truth") for fields in by_day.values()) else None
    used = {day: fields for day, fields in by_day.items() if _taken(fields, reference or "ensemble")}
    if not used:
        return {}
    total: dict[str, Spectrum] = {}
    for fields in used.values():
        for field, spectrum in fields.items():
            total[field] = total.get(field, Spectrum()) + spectrum
    scales = Scales(window_side(job.grid) * job.grid.ratio, job.grid.pixel, job.grid.lattice.cell)
    return {
        "pixel_m": scales.pixel_m,
        "window_px": scales.side,
        "window_m": scales.side * scales.pixel_m,
        "cell_m": scales.cell_m,
        "windows": total["ensemble"].windows,
        "skipped": total["ensemble"].skipped,
        "min_valid": MIN_VALID,
        "days": list(used),
        "reference": reference,
        "wavelength_m": scales.wavelength_m.tolist(),
        "modes": bands(scales.side).modes.tolist(),
        "slope_band_m": list(scales.slope_band_m),
        "fields": figures(scales, total, reference),
        "by_day": {day: _of_day(scales, fields) for day, fields in by_day.items() if _taken(fields, "ensemble")},
    }


def _taken(fields: dict[str, Spectrum], name: str) -> bool:
    return name in fields and fields[name].windows > 0


def _of_day(scales: Scales, fields: dict[str, Spectrum]) -> dict[str, Any]:
    found = figures(scales, fields, "truth" if _taken(fields, "truth") else None)
    return {
        "windows": fields["ensemble"].windows,
        "fields": {name: {"slope": f["slope"]} | f.get("effective_resolution", {}) for name, f in found.items()},
    }


def _references(job: EvaluateJob, tallies: Tallies) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for product in job.references:
        sums: dict[str, dict[str, Comparison]] = {}
        days = set()
        for (name, layer, day, member), comparison in sorted(tallies.references.items()):
            if name == product.name:
                members = sums.setdefault(layer, {})
                members[member] = members.get(member, Comparison()) + comparison
                days.add(day)
        layers = {layer: {m: c.metrics() for m, c in members.items()} for layer, members in sums.items()}
        for figures_of in layers.values():
            base = figures_of.get("coarse_nearest", {}).get("rmse", math.nan)
            for found in figures_of.values():
                found["rmse_gain"] = 1 - found["rmse"] / base if base > 0 else math.nan
        pixel = job.grid.at(product.ratio).pixel
        out[product.name] = {"pixel_m": pixel, "ratio": product.ratio, "days": len(days), "layers": layers}
    return out


def _error_maps(job: EvaluateJob, tallies: Tallies) -> dict[str, Any]:
    url = join(job.out_url, ERROR_MAPS)
    known = {key: errors for key, errors in tallies.cells.items() if errors.pieces}
    if not known:
        if exists(url):
            delete(url)
        return {}
    layers = [layer for layer in job.layers if any(name == layer.name for name, _ in known)]
    members = list(dict.fromkeys(member for _, member in known))
    grid = job.grid.at(1)
    variables = tuple(v for layer in layers for v in (_count_variable(layer), *_variables(layer, members)))
    attrs = {"title": "Errors of maps by coarse cell, over all pixels and days that were compared with the truth"}
    cube = create_cube(url, CubeSpec(grid.raster, variables, (), _SHARD, _SHARD, "", attrs, grid), overwrite=True)
    out: dict[str, Any] = {}
    for layer in layers:
        fields: dict[str, dict[str, F64]] = {}
        for member in members:
            table = known.get((layer.name, member), CellErrors({})).dense(grid.cells)
            fields[member] = measures(table)
            for measure, values in fields[member].items():
                _write(cube, _name(layer, member, measure), values)
        _write(cube, f"{layer.name}_n", table[..., 0])
        out[layer.name] = {member: _in_short(layer, member, fields) for member in members}
    cube.finish()
    return {"path": ERROR_MAPS, "cell_m": job.grid.lattice.cell, "reference": "truth", "layers": out}


def _name(layer: LayerInput, member: str, measure: str) -> str:
    return f"{layer.name}_{member}_{measure}"


def _variables(layer: LayerInput, members: list[str]) -> list[Variable]:
    return [
        Variable(
            _name(layer, member, measure),
            units="1" if measure == "r" else layer.units,
            long_name=f"{_WORDS[measure]}: {layer.title}, {member.replace('_', ' ')}",
        )
        for member in members
        for measure in MEASURES
    ]


def _count_variable(layer: LayerInput) -> Variable:
    return Variable(f"{layer.name}_n", units="1", long_name=f"Pixels and days compared: {layer.title}")


def _write(cube: Any, name: str, values: F64) -> None:
    whole = cube.raster.window
    cube.write(name, values.astype(np.float32), whole)


def _in_short(layer: LayerInput, member: str, fields: dict[str, dict[str, F64]]) -> dict[str, Any]:
    own = fields[member]
    rmse = own["rmse"][np.isfinite(own["rmse"])]
    better = math.nan
    if member != "coarse_nearest" and "coarse_nearest" in fields:
        base = fields["coarse_nearest"]["rmse"]
        both = np.isfinite(base) & np.isfinite(own["rmse"])
        better = float((own["rmse"][both] < base[both]).mean()) if both.any() else math.nan
    return {
        "variables": {measure: _name(layer, member, measure) for measure in MEASURES},
        "cells": int(rmse.size),
        "median_rmse": float(np.median(rmse)),
        "p90_rmse": float(np.percentile(rmse, 90)),
        "worst_rmse": float(rmse.max()),
        "median_abs_bias": float(np.nanmedian(np.abs(own["bias"]))),
        "better_than_coarse": better,
    }
