"""One row of the plan for every stage: tasks, pixels, bytes and memory, from the configuration and what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from smdown import cubes, evaluation, features
from smdown.cubes.layout import CubeSpec, Variable
from smdown.errors import SmdownError
from smdown.evaluation import partials
from smdown.features.materialise import cube_url
from smdown.grid import nominal_ratio
from smdown.inference.baselines import bytes_for
from smdown.inference.memory import Needs, task_bytes
from smdown.inference.mosaic import members_spec, mosaic_spec
from smdown.inference.outline import sequence_bytes
from smdown.planning.counts import failed_tasks, find_cube, find_map, tile_count
from smdown.planning.inputs import Source, ingested
from smdown.planning.model import StagePlan
from smdown.planning.volumes import driver_bytes, halo_overhead, stored_bytes

if TYPE_CHECKING:
    from smdown.project import Project

BASELINES = ("linear", "gradient_boosting")


@dataclass(frozen=True)
class Facts:
    """What every row is made from.

    Parameters
    ----------
    project : Project
        Whose.
    sources : mapping
        By name.
    share : float
        Part of the map's pixels and days that has a coarse value.
    stored : mapping
        By stage, bytes on disk of a byte before compression, where that was measured.
    drivers, maps : str, optional
        Identities that cubes of drivers and maps must have to count as done; None where nobody can say.
    day : str
        Identity of a day of the map, by which a run will lengthen one; empty where nobody can say.
    """

    project: Project
    sources: Mapping[str, Source]
    share: float
    stored: Mapping[str, float] = field(default_factory=dict)
    drivers: str | None = None
    maps: str | None = None
    day: str = ""

    @property
    def side(self) -> int:
        """Cells along a tile."""
        return self.project.config.prediction.cells_per_tile

    @property
    def tiles(self) -> int:
        """Tiles of one grid."""
        return tile_count(self.project.config.grid.cells, self.side)

    @property
    def map_pixels(self) -> int:
        """Pixels of the map times its days, those without coarse value left out."""
        config = self.project.config
        return round(config.grid.window.size * len(config.mapped_days) * self.share)

    def failed(self, stage: str) -> int:
        """Tasks of a stage that failed the last time."""
        return failed_tasks(self.project.workdir, stage)


def needs(project: Project) -> Needs:
    """Return what prediction will hold, from the configuration alone: there may be no bundle yet."""
    spec, config = project.spec, project.config
    networks = config.training.networks.chosen
    radius = max(getattr(network, "depth", 0) for network in networks.values())
    sequence = 0
    if spec.sequence is not None and "lstm" in networks:
        days, drivers = spec.sequence.days, len(spec.sequence.drivers)
        sequence = sequence_bytes(project.predict_job, spec.sequence_ratio, days, drivers)
    members = len(networks) * config.training.members
    return Needs(len(spec.static), len(spec.dynamic), members, radius, sequence)


def map_cubes(project: Project) -> list[CubeSpec]:
    """Return the cubes that prediction fills: the mosaic, and the members' maps where they are kept."""
    job, config = project.predict_job, project.config
    found = [mosaic_spec(job, "", {}, threshold=1.0)]
    if job.members_url is not None:
        kinds, n = config.training.networks.chosen, config.training.members
        found.append(members_spec(job, tuple(f"{kind}_{m}" for kind in kinds for m in range(n)), "", {}))
    return found


def feature_cubes(project: Project) -> dict[str, CubeSpec]:
    """Return the cubes of static drivers that are kept, by their places."""
    config, spec = project.config, project.spec
    found = {}
    for resolution in config.features.materialised:
        ratio = nominal_ratio(config.grid.lattice, resolution)
        grid, side = spec.base.at(ratio), config.prediction.cells_per_tile * ratio
        variables = tuple(Variable(name) for name in spec.static_names)
        found[cube_url(spec, ratio)] = CubeSpec(grid.raster, variables, (), side, ratio, nested=grid)
    return found


def ingest_row(facts: Facts) -> StagePlan:
    """Return the row of `ingest`."""
    found = facts.sources.values()
    inputs = [s.input_bytes for s in found if s.new]
    return StagePlan(
        "ingest",
        new=sum(s.new for s in found),
        done=sum(s.done for s in found),
        failed=facts.failed("ingest"),
        pixels=sum(s.values for s in found),
        read_bytes=None if None in inputs else sum(n or 0 for n in inputs),
        write_bytes=sum(s.write_bytes for s in found),
        task_bytes=max((s.task_bytes for s in found if s.new), default=0),
        assumed=any(s.missing for s in found if s.new),
    )


def features_row(facts: Facts) -> StagePlan:
    """Return the row of `features`."""
    project, cells = facts.project, ingested(dict(facts.sources))
    new = done = pixels = writes = reads = 0
    static = driver_bytes(project.spec, cells, (), stored_static=None)
    for url, cube in feature_cubes(project).items():
        there = find_cube(url, facts.drivers)
        left = max(0, facts.tiles - there.done)
        new, done = new + left, done + min(facts.tiles, there.done)
        share = left / facts.tiles
        pixels += round(cube.raster.window.size * share)
        writes += int(stored_bytes(cube, facts.stored.get("features")) * share)
        reads += int(static * share)
    memory = features.task_bytes(project.spec, facts.side)
    return StagePlan("features", new, done, facts.failed("features"), pixels, reads, writes, memory)


def train_row(facts: Facts, *, trained: bool) -> StagePlan:
    """Return the row of `train`: pixels are those of the samples, once an epoch and network."""
    config = facts.project.config.training
    networks = len(config.networks.chosen) * config.members
    pixels = config.epochs * config.pixels_per_epoch * len(config.resolutions) * networks
    new = 0 if trained else 1
    return StagePlan("train", new, 1 - new, pixels=new * pixels)


def predict_row(facts: Facts) -> StagePlan:
    """Return the row of `predict`."""
    project = facts.project
    job, wanted = project.predict_job, map_cubes(project)
    done, share = _left(facts, job.mosaic_url, *([job.members_url] if job.members_url else []))
    size = sum(stored_bytes(cube, facts.stored.get("predict")) for cube in wanted) * facts.share
    return StagePlan(
        "predict",
        new=facts.tiles - done,
        done=done,
        failed=facts.failed("predict"),
        pixels=round(facts.map_pixels * share),
        read_bytes=int(_driver_bytes(facts) * share),
        write_bytes=int(size * share),
        task_bytes=task_bytes(job, needs(project)),
    )


def _left(facts: Facts, *urls: str | None) -> tuple[int, float]:
    """Return the tiles that all of these cubes have, and the part of tiles and days that is not written yet."""
    found = [find_map(url, facts.maps, facts.day, facts.project.config.mapped_days) for url in urls]
    done = min(facts.tiles, *(cube.done for cube in found))
    return done, 0.0 if done == facts.tiles else 1.0 - min(1.0, *(cube.share for cube in found))


def _driver_bytes(facts: Facts) -> int:
    """Return what mapping all tiles reads: each with the cells that its halo touches."""
    project, spec = facts.project, facts.project.spec
    kept = feature_cubes(project).get(cube_url(spec, spec.base.ratio))
    once = driver_bytes(spec, ingested(dict(facts.sources)), project.config.mapped_days, stored_static=kept)
    return int(once * halo_overhead(facts.side, needs(project).radius, spec.base.ratio))


def baselines_row(facts: Facts) -> StagePlan:
    """Return the row of the baselines' maps, which `evaluate` makes."""
    project, job, spec = facts.project, facts.project.predict_job, facts.project.spec
    url = project.baselines_url
    done, share = _left(facts, url)
    size = stored_bytes(members_spec(job, BASELINES, "", {})) * facts.share
    return StagePlan(
        "baselines",
        new=facts.tiles - done,
        done=done,
        failed=facts.failed("baselines"),
        pixels=round(facts.map_pixels * share),
        read_bytes=int(_driver_bytes(facts) * share),
        write_bytes=int(size * share),
        task_bytes=bytes_for(replace(job, members_url=url), len(spec.static), len(spec.dynamic), len(BASELINES)),
    )


def evaluate_row(facts: Facts) -> StagePlan:
    """Return the row of `evaluate`; what it leaves is small."""
    project = facts.project
    done = _evaluated(project)
    share = (facts.tiles - done) / facts.tiles
    maps = [*map_cubes(project)]
    if project.baselines_url is not None:
        maps.append(members_spec(project.predict_job, BASELINES, "", {}))
    reads = sum(stored_bytes(cube) for cube in maps) * facts.share
    truth = find_cube(project.config.evaluation.truth).spec
    if truth is not None:
        reads += stored_bytes(truth) * min(1.0, len(project.config.mapped_days) / max(1, len(truth.times)))
    layers = len(project.layers)
    models = needs(project).members * bool(project.members_url) + len(BASELINES) * bool(project.baselines_url)
    return StagePlan(
        "evaluate",
        new=facts.tiles - done,
        done=done,
        failed=facts.failed("evaluate"),
        pixels=round(project.config.grid.window.size * len(project.config.mapped_days) * layers * share),
        read_bytes=int(reads * share),
        write_bytes=0,
        task_bytes=evaluation.task_bytes(_bare_job(project), models),
    )


def _evaluated(project: Project) -> int:
    """Return how many tiles were evaluated in the map's present state; none where there is no map or bundle yet."""
    if not cubes.exists(project.mosaic_url):
        return 0
    try:
        return len(partials.finished(project.evaluate_job.partials_url))
    except SmdownError:
        return 0


def _bare_job(project: Project) -> evaluation.EvaluateJob:
    config = project.config
    layers = tuple(
        evaluation.LayerInput(name, project.url("sources", f"{layer.source}.zarr"), layer.variable)
        for name, layer in config.layers.items()
    )
    return evaluation.EvaluateJob(
        project.mosaic_url, config.grid, layers, config.mapped_days, config.prediction.cells_per_tile, "",
        project.members_url, baselines_url=project.baselines_url,
    )  # fmt: skip
