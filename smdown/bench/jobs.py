"""The bodies that are timed: one for each stage, and one that does nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from smdown.bench.meter import metered
from smdown.cubes import create_cube, join, open_cube
from smdown.features import features_plan, get_loader
from smdown.grid import Tile
from smdown.inference.job import PredictJob
from smdown.inference.mosaic import mosaic_spec
from smdown.inference.predict import predict_plan
from smdown.inference.tile import DayMaps, write_day
from smdown.plan import Plan, Receipt, TileTask

if TYPE_CHECKING:
    import torch

    from smdown.networks import Network
    from smdown.project import Project
    from smdown.training.card import BundleCard

STAGES = ("nothing", "resample", "features", "train", "predict", "write")
"""In the order of the table."""
TRAIN_STEPS, BATCH, PATCH = 4, 16, 64
"""Steps of a training task, its patches, and their pixels along a side."""
_FINGERPRINT = "bench"


@dataclass(frozen=True)
class BenchTask:
    """One task of a measurement: a task of the stage, or a tile and what is to be done with it."""

    key: str
    body: Callable[[BenchTask], int]
    job: PredictJob
    tile: Tile | None = None
    inner: TileTask | None = None
    run: Callable[..., Receipt] | None = None


def run_bench(task: BenchTask) -> Receipt:
    """Run a task, and report what it read and wrote of cubes."""
    with metered() as meter:
        pixels = task.body(task)
    return Receipt(task.key, pixels=pixels, notes=(meter.text,))


def plan_of(stage: str, project: Project, folder: str, count: int) -> Plan:
    """Return a plan of so many tasks of a stage; tiles that are used up are done again, elsewhere.

    Parameters
    ----------
    stage : str
        One of `STAGES`.
    project : Project
        Its region.
    folder : str
        Where results go; must not exist.
    count : int
        Number of tasks.
    """
    tasks: list[BenchTask] = []
    turn = 0
    while len(tasks) < count:
        tasks += _turn(stage, project, join(folder, f"{turn}"), turn)[: count - len(tasks)]
        turn += 1
    return Plan(stage, tuple(tasks), run_bench, 1)


def _turn(stage: str, project: Project, folder: str, turn: int) -> list[BenchTask]:
    """Return one task for each tile of the region."""
    job = replace(project.predict_job, mosaic_url=join(folder, "mosaic.zarr"), members_url=None)
    tiles = list(job.grid.tiles(job.cells_per_tile))
    match stage:
        case "nothing":
            return [BenchTask(f"{turn}-{n}", nothing, job) for n in range(100)]
        case "resample":
            job = replace(job, spec=replace(job.spec, features_url=join(folder, "none")))
            return [BenchTask(f"{turn}-{n}", resample, job, tile) for n, tile in enumerate(tiles)]
        case "train":
            return [BenchTask(f"{turn}-{n}", train, job) for n in range(len(tiles))]
        case "write":
            create_cube(job.mosaic_url, mosaic_spec(job, _FINGERPRINT, {}, 1.0), resume=True)
            return [BenchTask(f"{turn}-{n}", write, job, tile) for n, tile in enumerate(tiles)]
    spec = replace(project.spec, features_url=join(folder, "features"))
    plan = predict_plan(job, _FINGERPRINT)
    if stage == "features":
        plan = features_plan(spec, project.config.features.materialised[-1:], job.cells_per_tile, _FINGERPRINT)
    return [BenchTask(f"{turn}-{t.key}", whole, job, None, t, plan.run) for t in plan.tasks]


def nothing(task: BenchTask) -> int:
    """Return at once: what remains is the scheduler's."""
    del task
    return 0


def whole(task: BenchTask) -> int:
    """Run the stage's own task."""
    assert task.run is not None
    return task.run(task.inner).pixels


def resample(task: BenchTask) -> int:
    """Bring all drivers of a tile and one day to the map's grid, from their sources."""
    assert task.tile is not None
    loader, core = get_loader(task.job.spec), task.tile.core
    loader.compute_static(task.job.grid, core)
    loader.dynamic(task.job.grid, core, np.datetime64(task.job.days[-1], "ns"))
    return core.size


def write(task: BenchTask) -> int:
    """Write the maps of a tile, which lie in memory: smooth fields with some noise, packed and compressed."""
    assert task.tile is not None
    cube, core = open_cube(task.job.mosaic_url), task.tile.core
    maps = DayMaps.empty(core, len(task.job.layers), 0)
    y, x = np.mgrid[: core.height, : core.width] / 300.0
    noise = np.random.default_rng(0).normal(0, 0.01, core.shape)
    maps.mean[:] = 0.25 + 0.1 * np.sin(y) * np.cos(x) + noise
    maps.std[:] = 0.04 + 0.1 * np.abs(noise)
    maps.dissimilarity[:] = np.abs(noise) * 20
    for index in range(len(task.job.days)):
        write_day(maps, task.job, index, cube, None, ())
    cube.commit(task.tile.row, task.tile.col)
    return core.size * len(task.job.days)


def train(task: BenchTask) -> int:
    """Train all networks for some steps on a batch that lies in memory, on a GPU where there is one."""
    import torch

    from smdown.networks import build_network
    from smdown.training.card import read_card

    card = read_card(task.job.bundle_url)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sequence = card.sequence
    for config in card.networks.values():
        network = build_network(config, len(card.drivers), len(sequence.drivers) if sequence else 0, len(card.layers))
        _train_one(network.to(device).train(), card, device)
    return TRAIN_STEPS * BATCH * PATCH**2


def _train_one(network: Network, card: BundleCard, device: torch.device) -> None:
    import torch

    from smdown.networks.placement import Placement
    from smdown.training.loss import beta_nll

    side = PATCH + 2 * network.radius
    fine = torch.randn((BATCH, len(card.drivers), side, side), device=device)
    series = torch.randn((BATCH, 1, 1, 3, 3), device=device)
    if card.sequence is not None:
        series = torch.randn((BATCH, card.sequence.days, len(card.sequence.drivers), 3, 3), device=device)
    index, weight = torch.zeros(PATCH, dtype=torch.int64), torch.linspace(0, 0.99, PATCH)
    place = Placement(index, weight, index, weight).to(device)
    target = torch.randn((BATCH, len(card.layers), PATCH, PATCH), device=device)
    optimiser = torch.optim.AdamW(network.parameters())
    for _ in range(TRAIN_STEPS):
        optimiser.zero_grad()
        mean, log_variance = network(fine, series, place)
        beta_nll(mean, log_variance, target, 0.5).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
