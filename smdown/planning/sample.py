"""Which tiles and days of a project are computed for their time, and the rates that come of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from smdown import cubes
from smdown.grid import Window
from smdown.planning.inputs import Source
from smdown.planning.model import StagePlan
from smdown.planning.rates import CALIBRATED, Rate
from smdown.runtime import Profile, open_client
from smdown.runtime.capacity import capacity_of
from smdown.runtime.clusters import LocalCluster, SerialCluster

if TYPE_CHECKING:
    from smdown.planning.calibrate import Clock
    from smdown.project import Project

_SAMPLED_DAYS = 5
_PLACES = 64
_MOST_WORKERS = 8


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
    from smdown.planning.calibrate import time_features, time_predict

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


def best_places(valid: npt.NDArray[np.bool_], cells: Window, side: int, count: int) -> list[Window]:
    """Return the cells of tiles, those first that have most to predict.

    Parameters
    ----------
    valid : ndarray of bool, (day, y, x)
        Which cells have a coarse value.
    cells : Window
        The cells that it covers.
    side, count : int
        Cells along a tile, and how many tiles are wanted at most.
    """
    known = valid.sum(axis=0)
    rows, cols = np.arange(0, cells.height, side), np.arange(0, cells.width, side)
    sums = np.add.reduceat(np.add.reduceat(known, rows, axis=0), cols, axis=1)
    order = np.argsort(-sums, axis=None, kind="stable")[:count]
    corners = [(int(rows[n // cols.size]), int(cols[n % cols.size])) for n in order]
    tiles = [Window(y, y + side, x, x + side).shift(cells.y0, cells.x0) for y, x in corners]
    return [part for part in (tile.intersect(cells) for tile in tiles) if part is not None]


def calibrate(profile: Profile, tasks: Sequence[tuple[Any, ...]], places: Sequence[Window]) -> list[Clock]:
    """Run measuring functions at a profile, if it is on this machine, on all of its workers at once; else on one here.

    Parameters
    ----------
    profile : Profile
        The place of the run.
    tasks : sequence of tuple
        A function, what it gets before the places, and the names of what is to be put below a temporary folder.
    places : sequence of Window
        Cells of tiles; workers share them.

    Returns
    -------
    list of Clock
        One a task, all workers' joined.
    """
    slots = min(capacity_of(profile).slots, _MOST_WORKERS) if isinstance(profile.cluster, LocalCluster) else 1
    from smdown.planning.calibrate import Clock

    found = []
    with tempfile.TemporaryDirectory(prefix="smdown-plan-") as folder, open_client(_here(profile, slots)) as client:
        for number, (function, make) in enumerate(tasks):
            calls = [(make(cubes.join(folder, f"{number}-{n}")), places[n::slots] or places) for n in range(slots)]
            if client is None:
                results = [function(*args, where) for args, where in calls[:1]]
            else:
                futures = [client.submit(function, *args, where, pure=False) for args, where in calls]
                results = client.gather(futures)
            joined = Clock()
            for one in results:
                joined.add(one)
            found.append(joined)
    return found


def _here(profile: Profile, slots: int) -> Profile:
    """Return the profile with no more workers than are measured with, on this machine."""
    cluster = profile.cluster
    if isinstance(cluster, SerialCluster):
        return profile
    if not isinstance(cluster, LocalCluster):
        return profile.model_copy(update={"cluster": LocalCluster(workers=1)})
    return profile.model_copy(
        update={"cluster": cluster.model_copy(update={"workers": max(1, slots // cluster.threads)})}
    )
