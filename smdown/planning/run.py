"""The plan of a whole run, and the same check before one starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from smdown.cubes.store import exists, is_local, local_path
from smdown.errors import InputError, SmdownError
from smdown.features import get_loader
from smdown.grid import Window
from smdown.planning import rates
from smdown.planning import stages as rows
from smdown.planning.inputs import Source, find_sources
from smdown.planning.model import RunPlan, StagePlan
from smdown.planning.rates import Rate, measured, reference
from smdown.planning.sample import calibrated, sampled, to_calibrate
from smdown.planning.stages import Facts
from smdown.runlog import read_json
from smdown.runtime import Profile, open_client
from smdown.runtime.capacity import Capacity, capacity_at, capacity_of
from smdown.runtime.clusters import ExistingCluster

if TYPE_CHECKING:
    from distributed import Client

    from smdown.project import Project

ALL = ("ingest", "features", "train", "predict", "evaluate")


def make_plan(project: Project, profile: Profile, *, calibrate: bool | None = None) -> RunPlan:
    """Say what a run of all stages will do and need; nothing is written to the working directory.

    Parameters
    ----------
    project : Project
        What is to be run.
    profile : Profile
        Where.
    calibrate : bool, optional
        See :func:`make_plans`.

    Returns
    -------
    RunPlan
        Not checked yet; see :meth:`RunPlan.check`.
    """
    return make_plans(project, (profile,), calibrate=calibrate)[0]


def make_plans(project: Project, profiles: Sequence[Profile], *, calibrate: bool | None = None) -> tuple[RunPlan, ...]:
    """Say what the same run will need at several places.

    Parameters
    ----------
    project : Project
        What is to be run.
    profiles : sequence of Profile
        Where. What is calibrated is measured at the first one; times of the others follow from it by their threads.
    calibrate : bool, optional
        Whether some tiles are computed for their time, into a temporary store; by default where inputs and bundle are
        there and no earlier run has measured it.

    Returns
    -------
    tuple of RunPlan
        One a place.
    """
    sources = find_sources(project)
    valid = _coarse(project, sources)
    state = _state(project)
    share = 1.0 if valid is None else float(valid.mean())
    facts = Facts(project, sources, share, drivers=state.drivers, maps=state.maps, day=state.day)
    trained = state.trained
    before = read_json(project.url("run.json")).get("stages", {})
    found = {stage: rate for stage in before if (rate := measured(before[stage]))}
    if "train" in before and (rate := rates.trained(before["train"], rows.train_row(facts, trained=False).pixels)):
        found["train"] = rate
    notes = _notes(sources, valid)
    planned = _rows(facts, ALL, trained)
    if calibrate is not False and valid is not None and valid.any():
        ready = trained or (calibrate is True and exists(project.url("models", project.config.name, "bundle.json")))
        wanted = to_calibrate(planned, ready, set() if calibrate else set(found), sources)
        found |= calibrated(project, profiles[0], valid, wanted)
    stored = {stage: rate.stored for stage, rate in found.items() if rate.stored}
    if stored:
        planned = _rows(replace(facts, stored=stored), ALL, trained)
    known = [(row, found.get(row.stage) or _reference(project, row.stage)) for row in planned]

    def at(profile: Profile) -> RunPlan:
        capacity, unknown = _capacity(profile)
        return RunPlan(
            project.config.name, project.workdir, capacity, tuple(_timed(row, rate, capacity) for row, rate in known),
            disk_free(project.workdir), (*notes, *unknown), state.refusals, _is_elsewhere(capacity_of(profile)),
        )  # fmt: skip

    return tuple(at(profile) for profile in profiles)


def preflight(project: Project, stages: Sequence[str], client: Client | None) -> None:
    """Refuse a run that cannot work before its first stage starts: too little memory of a worker, too little disk.

    Raises
    ------
    ResourceError
        In one line, with both numbers and the ways out.
    InputError
        If a source that is to be ingested cannot be used.
    """
    reading = "ingest" in stages
    sources, state = find_sources(project, read=reading, guess=not reading), _state(project, compare=False)
    valid = _coarse(project, sources)
    share = 1.0 if valid is None else float(valid.mean())
    facts = Facts(project, sources, share, drivers=state.drivers, maps=state.maps, day=state.day)
    planned = tuple(_rows(facts, stages, state.trained))
    RunPlan(project.config.name, project.workdir, capacity_at(client), planned, disk_free(project.workdir)).check()


def _rows(facts: Facts, stages: Sequence[str], trained: bool) -> list[StagePlan]:
    make: dict[str, Callable[[], list[StagePlan]]] = {
        "ingest": lambda: [rows.ingest_row(facts)],
        "features": lambda: [rows.features_row(facts)],
        "train": lambda: [rows.train_row(facts, trained=trained)],
        "predict": lambda: [rows.predict_row(facts)],
        "evaluate": lambda: [
            *([rows.baselines_row(facts)] if facts.project.baselines_url else []),
            rows.evaluate_row(facts),
        ],
    }
    return [row for stage in stages for row in make[stage]()]


def _timed(row: StagePlan, rate: Rate, capacity: Capacity) -> StagePlan:
    slots = 1 if row.stage == "train" else capacity.slots
    parts = {name: spent * row.pixels / 1e6 for name, spent in rate.parts.items()}
    seconds = rate.seconds(row.pixels, row.new, slots)
    return replace(row, seconds=seconds, parts=parts, basis=rate.basis, peak_bytes=rate.peak_bytes)


def _reference(project: Project, stage: str) -> Rate:
    config = project.config
    networks = {
        f"{name}-{n}": network
        for name, network in config.training.networks.chosen.items()
        for n in range(config.training.members)
    }
    arrays = sum(len(cube.variables) for cube in rows.map_cubes(project))
    kept = min(config.features.resolutions) in config.features.materialised
    return reference(stage, project.spec, networks, len(project.layers), arrays, kept=kept)


# -- what is there --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """Whether the bundle is of the present configuration; identities of drivers, maps and a day; what is refused."""

    trained: bool = False
    drivers: str | None = None
    maps: str | None = None
    day: str = ""
    refusals: tuple[str, ...] = ()


def _state(project: Project, *, compare: bool = True) -> _State:
    """Compare what is there with the present configuration, as far as the input files can be read."""
    try:
        drivers, trained = project.features_identity, project.trained
    except InputError:
        return _State()
    maps = project.mosaic_identity if trained else "of a bundle to come"
    refusals = () if project.fresh or not compare else _refusals(project)
    return _State(trained, drivers, maps, project.day_identity if trained else "", refusals)


def _refusals(project: Project) -> tuple[str, ...]:
    try:
        project.check_unchanged(ALL)
    except SmdownError as error:
        return (str(error),)
    return ()


def _coarse(project: Project, sources: dict[str, Source] | Any) -> npt.NDArray[np.bool_] | None:
    """Return which cells have a coarse value on some of the mapped days, ``(day, y, x)``; None before any ingest."""
    if any(sources[layer.source].new for layer in project.config.layers.values()):
        return None
    loader, cells = get_loader(project.spec), project.config.grid.cells
    try:
        return np.stack([_known(project, loader, cells, day) for day in sampled(project.config.mapped_days)])
    except SmdownError:
        return None


def _known(project: Project, loader: Any, cells: Window, day: str) -> npt.NDArray[np.bool_]:
    when = np.datetime64(day, "ns")
    found = [loader.coarse(y.source, y.variable, cells, when) for y in project.config.layers.values()]
    return np.asarray(np.isfinite(found).any(axis=0))


def disk_free(workdir: str) -> int | None:
    """Return the bytes that are free at a working directory, which may not be there yet; None of a bucket."""
    return shutil.disk_usage(_first_existing(local_path(workdir))).free if is_local(workdir) else None


def _first_existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _first_existing(path.parent)


def _is_elsewhere(capacity: Capacity) -> bool:
    """Whether a place is sure to be another machine; a scheduler that runs already may be here."""
    return not capacity.kind.startswith(("serial", "local", "existing"))


def _capacity(profile: Profile) -> tuple[Capacity, tuple[str, ...]]:
    """Return what the place has, and what is to be said of that; a scheduler that runs already is asked."""
    if not isinstance(profile.cluster, ExistingCluster):
        return capacity_of(profile), ()
    try:
        with open_client(profile) as client:
            return capacity_at(client), ()
    except SmdownError as error:
        return capacity_of(profile), (f"{error}; times are those of one thread",)


def _notes(sources: dict[str, Source], valid: npt.NDArray[np.bool_] | None) -> tuple[str, ...]:
    notes = []
    guessed = {name: source.missing for name, source in sources.items() if source.missing and source.new}
    if guessed:
        first = next(iter(guessed.values()))
        more = f", and {len(guessed) - 1} more" if len(guessed) > 1 else ""
        notes.append(f"~ by the configuration alone, since no files can be read: {first}{more}")
    if valid is not None and not valid.all():
        notes.append(
            f"{valid.mean():.0%} of the map has a coarse value on {len(valid)} of its days that were looked at"
        )
    return tuple(notes)
