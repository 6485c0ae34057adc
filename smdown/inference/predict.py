"""The prediction stage: a plan of tiles, and the function that runs one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.cubes import create_cube, open_cube
from smdown.inference import mosaic
from smdown.inference.engine import Engine
from smdown.inference.job import PredictJob, PredictTask
from smdown.inference.memory import task_bytes
from smdown.inference.outline import Outline, read_outline
from smdown.inference.tile import TilePredictor, write_day
from smdown.plan import Plan, Receipt, TileTasks


@lru_cache(maxsize=2)
def engine_of(job: PredictJob, fingerprint: str) -> Engine:
    """Return the job's loader and ensemble; a process opens them once for each state of the project."""
    from smdown.inference.opening import open_engine  # and PyTorch with it, which a finished map does not need

    del fingerprint
    return open_engine(job)


def outline_of(job: PredictJob, fingerprint: str) -> Outline:
    """Return what a plan must know of the job's ensemble."""
    del fingerprint
    return read_outline(job)


def predict_plan(
    job: PredictJob,
    fingerprint: str,
    attrs: Mapping[str, Any] | None = None,
    *,
    made_from: Mapping[str, Any] | None = None,
    day_identity: str = "",
    fresh: bool = False,
) -> Plan:
    """Create the mosaic, or take up the one that is there; list the tiles that are still to do.

    One that an interrupted run left is gone on with, one that lacks later days is lengthened.

    Parameters
    ----------
    job : PredictJob
        What to map.
    fingerprint : str
        Identity of whatever determines the mosaic: configuration, sources, bundle.
    attrs : mapping, optional
        Provenance, kept in the cube's attributes.
    made_from : mapping, optional
        What the fingerprint is of, in words.
    day_identity : str
        Identity of whatever determines a day of the mosaic, whichever days it has.
    fresh : bool
        Replace a mosaic of another fingerprint.

    Raises
    ------
    CubeError
        If a mosaic of another fingerprint is there.
    BundleError
        If the bundle does not fit the job.
    """
    outline = outline_of(job, fingerprint)
    signed = {"made_from": made_from or {}, "day_identity": day_identity}
    written = _create(job, outline, fingerprint, {**outline.provenance, **(attrs or {})}, signed, fresh)
    tasks = predict_tasks(job, fingerprint, written)
    return Plan("predict", tasks, run_predict, task_bytes(job, outline.needs), int(written.sum()))


def predict_tasks(job: PredictJob, fingerprint: str, written: npt.NDArray[np.bool_]) -> TileTasks:
    """Return the tasks of the tiles that are not written yet; each is made when its turn comes."""
    make = partial(PredictTask, job, fingerprint=fingerprint)
    return TileTasks(make, job.grid, job.cells_per_tile, written)


def _create(
    job: PredictJob,
    outline: Outline,
    fingerprint: str,
    attrs: Mapping[str, Any],
    signed: dict[str, Any],
    fresh: bool,
) -> npt.NDArray[np.bool_]:
    """Create the cubes; return which tiles (row, column) are wholly written."""
    spec = replace(mosaic.mosaic_spec(job, fingerprint, attrs, outline.threshold), **signed)
    cube = create_cube(job.mosaic_url, spec, resume=True, fresh=fresh)
    if job.members_url is None:
        return cube.written()
    spec = replace(mosaic.members_spec(job, outline.members, fingerprint, attrs), **signed)
    return cube.written() & create_cube(job.members_url, spec, resume=True, fresh=fresh).written()


def run_predict(task: PredictTask) -> Receipt:
    """Predict and write one tile, all of its days; its receipt in the cubes comes last."""
    return predict_tile(task, engine_of(task.job, task.fingerprint))


def predict_tile(task: PredictTask, engine: Engine) -> Receipt:
    """Predict and write one tile with the given loader and ensemble.

    Returns
    -------
    Receipt
        With a note where cells could not meet their coarse value.
    """
    job, tile = task.job, task.tile
    cube = open_cube(job.mosaic_url)
    members = open_cube(job.members_url) if job.members_url else None
    predictor = TilePredictor(job, tile, engine)
    cubes = [written for written in (members, cube) if written is not None]
    pixels = unmet = 0
    for index in mosaic.unfinished_days(cubes, tile):
        maps = predictor.day(np.datetime64(job.days[index], "ns"))
        write_day(maps, job, index, cube, members, engine.ensemble.members)
        pixels += int(np.isfinite(maps.mean).any(axis=0).sum())
        unmet += maps.unmet
    mosaic.commit(cubes, tile)
    notes = (f"{task.key}: {unmet} coarse values could not be met; see flags",) if unmet else ()
    return Receipt(task.key, pixels=pixels, notes=notes)
