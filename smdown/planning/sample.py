"""Which tiles and days of a project are computed for their time, and the rates that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from smdown.planning.inputs import Source
from smdown.planning.model import StagePlan
from smdown.planning.rates import CALIBRATED, Rate
from smdown.runtime import Profile

if TYPE_CHECKING:
    from smdown.planning.calibrate import Clock
    from smdown.project import Project

_SAMPLED_DAYS = 5
_PLACES = 64


def sampled(days: Sequence[str]) -> list[str]:
    """Return some of the mapped days, evenly spaced."""
    places = np.unique(np.linspace(0, len(days) - 1, min(_SAMPLED_DAYS, len(days))).round().astype(int))
    return [days[n] for n in places]


def to_calibrate(
    planned: Sequence[StagePlan], bundle: bool, known: set[str], sources: Mapping[str, Source]
) -> tuple[str, ...]:
    """Return the stages of which tiles can be computed, and nothing is known.

    Parameters
    ----------
    planned : sequence of StagePlan
        All rows.
    bundle : bool
        Whether there is a bundle that can be measured with.
    known : set of str
        Stages whose rate is known.
    sources : mapping
        By name; while one is to be read nothing can be computed.
    """
    if any(source.new for source in sources.values()):
        return ()
    can = {"features", "predict"} if bundle else {"features"}
    return tuple(row.stage for row in planned if row.new and row.stage in can - known)


def calibrated(
    project: Project, profile: Profile, valid: npt.NDArray[np.bool_], stages: Sequence[str]
) -> dict[str, Rate]:
    """Return the rates of stages, as some of their tiles and days with most to predict take now.

    Parameters
    ----------
    project : Project
        Whose.
    profile : Profile
        Place of the run.
    valid : ndarray of bool, (day, y, x)
        Which cells have a coarse value, on the days of :func:`sampled`.
    stages : sequence of str
        ``features``, ``predict`` or both.
    """
    if not stages:
        return {}
    from smdown.planning.calibrate import best_places, calibrate, time_features, time_predict

    config = project.config
    cells, side = config.grid.cells, config.prediction.cells_per_tile
    places = best_places(valid, cells, min(side, max(cells.shape)), _PLACES)
    days, counts = sampled(config.mapped_days), valid.sum(axis=(1, 2))
    best = np.sort(np.argsort(-counts, kind="stable")[:2])
    job = replace(project.predict_job, days=tuple(days[n] for n in best))

    def predict(folder: str) -> tuple[Any, ...]:
        members = None if job.members_url is None else f"{folder}/members"
        return (replace(job, mosaic_url=f"{folder}/mosaic", members_url=members),)

    def drivers(folder: str) -> tuple[Any, ...]:
        return replace(project.spec, features_url=folder), config.features.materialised, side

    measure = {"predict": (time_predict, predict), "features": (time_features, drivers)}
    clocks = calibrate(profile, [measure[stage] for stage in stages], places)
    share = max(1e-6, float(valid.mean())) * len(config.mapped_days)
    return {stage: _rate(clock, share) for stage, clock in zip(stages, clocks, strict=True) if clock.pixels}


def _rate(clock: Clock, days: float) -> Rate:
    """Return the rate that was measured, for so many days (each counted by its share of valid pixels) of a tile."""
    pixels, spent = clock.pixels / 1e6, clock.seconds
    static = spent["static"] / max(1.0, clock.tile_pixels) * 1e6 / days
    parts = {"read": spent["read"] / pixels + static} | {n: spent[n] / pixels for n in ("compute", "write")}
    return Rate(CALIBRATED, parts, clock.warm_up, clock.peak, clock.stored / clock.raw if clock.raw else None)
