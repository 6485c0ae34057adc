"""The mosaic's cube: its variables, flags and CF attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntFlag
from typing import Any

import smdown
from smdown.cubes import Cube, CubeSpec, Variable
from smdown.grid import Tile
from smdown.inference.job import LayerJob, PredictJob

FLAGS = "flags"
DISSIMILARITY = "dissimilarity"
FARTHEST = 30.0
"""Largest dissimilarity index that is kept."""
_DIMS = ("time", "y", "x")


class Flag(IntFlag):
    """Why a pixel is missing or less certain than its neighbours; 0 where nothing is to be said."""

    COARSE_MISSING = 1
    DRIVER_MISSING = 2
    MEAN_NOT_MET = 4
    DRIVER_IMPUTED = 8
    EXTRAPOLATED = 16


_MEANINGS = {
    Flag.COARSE_MISSING: "coarse_value_missing",
    Flag.DRIVER_MISSING: "required_driver_missing",
    Flag.MEAN_NOT_MET: "cell_mean_not_met",
    Flag.DRIVER_IMPUTED: "optional_driver_imputed",
    Flag.EXTRAPOLATED: "outside_area_of_applicability",
}


def std_name(layer: str) -> str:
    """Return the name of a layer's standard deviation."""
    return f"{layer}_std"


def member_name(layer: str, member: str) -> str:
    """Return the name of one network's own map of a layer."""
    return f"{layer}_{member}"


def unfinished_days(cubes: Sequence[Cube], tile: Tile) -> list[int]:
    """Return the positions of the days that a tile lacks in some of the cubes, which have the same days."""
    return sorted({index for cube in cubes for batch in _unfinished(cube, tile) for index in cube.days_of(batch)})


def commit(cubes: Sequence[Cube], tile: Tile) -> None:
    """Record that a tile is wholly written, all of its days, in one cube after the other."""
    for cube in cubes:
        for batch in _unfinished(cube, tile):
            cube.commit(tile.row, tile.col, batch)


def _unfinished(cube: Cube, tile: Tile) -> list[int]:
    return [batch for batch in range(len(cube.batches)) if not cube.has_receipt((tile.row, tile.col), batch)]


def mosaic_spec(
    job: PredictJob, fingerprint: str, attrs: Mapping[str, Any], threshold: float | None = None
) -> CubeSpec:
    """Return the cube of the mosaic: one shard a tile, one chunk a coarse cell.

    With the `threshold` of the area of applicability it holds the dissimilarity index too.
    """
    variables = [v for layer in job.layers for v in (_layer(layer), _std(layer))]
    if threshold is not None:
        variables.append(_dissimilarity(threshold))
    title = "Downscaled " + " and ".join(layer.long_name or layer.name for layer in job.layers)
    return _spec(job, (*variables, _flags()), fingerprint, {"title": title, **_provenance(job), **attrs})


def members_spec(job: PredictJob, members: tuple[str, ...], fingerprint: str, attrs: Mapping[str, Any]) -> CubeSpec:
    """Return the cube that holds each member's own map and its error, on the mosaic's grid and days."""
    variables = tuple(v for layer in job.layers for member in members for v in _member(layer, member))
    return _spec(job, variables, fingerprint, {"title": "Single models", **_provenance(job), **attrs})


def _spec(job: PredictJob, variables: tuple[Variable, ...], fingerprint: str, attrs: Mapping[str, Any]) -> CubeSpec:
    shard = job.cells_per_tile * job.grid.ratio
    return CubeSpec(job.grid.raster, variables, job.days, shard, job.grid.ratio, fingerprint, attrs, job.grid)


def _provenance(job: PredictJob) -> dict[str, str]:
    products = sorted({f"{layer.source}/{layer.variable}" for layer in job.layers})
    return {
        "source": f"smdown {smdown.__version__}",
        "constraint": job.constraint,
        "coarse_product": ", ".join(products),
    }


def _layer(layer: LayerJob) -> Variable:
    low, high = layer.bounds
    attrs = {
        "cell_methods": "time: mean area: mean",
        "ancillary_variables": f"{std_name(layer.name)} {FLAGS}",
        "valid_min": round(low / layer.scale),
        "valid_max": round(high / layer.scale),
    }
    return Variable(
        layer.name, _DIMS, "int16", layer.scale, layer.units, layer.long_name or layer.name, layer.standard_name,
        layer.valid_range, attrs=attrs,
    )  # fmt: skip


def _std(layer: LayerJob) -> Variable:
    attrs = {"comment": "Error of the ensemble and of the coarse product together"}
    standard = f"{layer.standard_name} standard_error" if layer.standard_name else ""
    long_name = f"Standard deviation of {layer.long_name or layer.name}"
    return Variable(std_name(layer.name), _DIMS, "int16", layer.scale, layer.units, long_name, standard, attrs=attrs)


def _member(layer: LayerJob, member: str) -> tuple[Variable, Variable]:
    name, long_name = member_name(layer.name, member), f"{layer.long_name or layer.name}, {member} alone"
    value = Variable(
        name, _DIMS, "int16", layer.scale, layer.units, long_name, layer.standard_name, layer.valid_range,
    )  # fmt: skip
    return value, Variable(
        std_name(name), _DIMS, "int16", layer.scale, layer.units, f"Standard deviation of {long_name}"
    )


def _flags() -> Variable:
    attrs = {
        "flag_masks": [int(flag) for flag in _MEANINGS],
        "flag_meanings": " ".join(_MEANINGS.values()),
    }
    return Variable(FLAGS, _DIMS, "uint8", long_name="Quality flags", standard_name="quality_flag", attrs=attrs)


def _dissimilarity(threshold: float) -> Variable:
    attrs = {
        "comment": f"Beyond {threshold:.3f} the drivers are unlike those of the training (Meyer and Pebesma 2021)",
        "threshold": round(threshold, 6),
    }
    return Variable(DISSIMILARITY, _DIMS, "int16", 1e-3, "1", "Dissimilarity index of the drivers", attrs=attrs)
