"""Our own map, and the rate of the bare networks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import numpy as np
import torch
from distributed import Client

from smdown.cubes import open_cube
from smdown.evaluation.consistency import Seams, seams_of
from smdown.grid import Window
from smdown.inference import PredictJob, predict_plan
from smdown.networks.base import crop
from smdown.networks.placement import Banded, placement
from smdown.plan import Plan
from smdown.runtime import execute, open_progress
from smdown.runtime.execute import Outcome
from smdown.training import Bundle, Predictor

SIDES = (100, 128, 200, 300)
"""Windows that the bare networks are given at once; the fastest counts."""


def cleared(job: PredictJob) -> None:
    """Remove the mosaic of a job."""
    shutil.rmtree(job.mosaic_url, ignore_errors=True)


def planned(job: PredictJob) -> Plan:
    """Return the plan of a job's mosaic."""
    return predict_plan(job, "benchmark")


def executed(plan: Plan, client: Client | None = None) -> Outcome:
    """Run a plan to its end."""
    outcome = execute(plan, client, open_progress(quiet=True))
    if outcome.failed:
        raise RuntimeError(next(iter(outcome.failed.values())))
    return outcome


def mapped(job: PredictJob, client: Client | None = None) -> Outcome:
    """Write the whole mosaic of a job, which is not there."""
    return executed(planned(job), client)


def map_rate(job: PredictJob) -> Callable[[], float]:
    """Return what writes the mosaic in this process and says how many Mpx/s that was."""

    def run() -> float:
        cleared(job)
        start = time.perf_counter()
        outcome = mapped(job)
        return outcome.pixels / 1e6 / (time.perf_counter() - start)

    return run


def bare_rate(bundle_url: str, ratio: int, cells: int, side: int) -> Callable[[], float]:
    """Return what runs all networks over a tile of drivers that lie in memory, and says how many Mpx/s that was.

    Drivers are standardised and laid out beforehand; results go to arrays that exist; nothing is joined.
    """
    predictor = Predictor(Bundle.load(bundle_url), 1, "cpu")
    card, radius = predictor.card, predictor.radius
    generator = torch.Generator().manual_seed(0)
    parts = [
        Window(y, y + side, x, x + side) for y in range(0, ratio * cells, side) for x in range(0, ratio * cells, side)
    ]
    shape = (1, len(card.drivers), side + 2 * radius, side + 2 * radius)
    drivers = torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)
    places, series = [None] * len(parts), torch.empty(0)
    if card.sequence is not None:
        wide = card.sequence.ratio * cells + 2
        series = torch.randn((1, card.sequence.days, len(card.sequence.drivers), wide, wide), generator=generator)
        places = [Banded.of(placement(part, ratio, (-1, -1), card.sequence.ratio)) for part in parts]
    out = torch.empty((2, len(predictor.networks), len(card.layers), side, side))

    @torch.inference_mode()
    def run() -> float:
        start = time.perf_counter()
        states = {name: network.encode(series) for name, network in predictor.networks.items()}
        for place in places:
            for n, (name, network) in enumerate(predictor.networks.items()):
                mean, log_variance = network.decode(crop(drivers, radius - network.radius), states[name], place)
                out[0, n], out[1, n] = mean[0], log_variance[0]
        return len(parts) * side**2 / 1e6 / (time.perf_counter() - start)

    return run


def lean_rate(bundle_url: str, ratio: int, cells: int) -> Callable[[], float]:
    """Return what runs all networks over a tile of drivers that lie in memory, as the map does; Mpx/s.

    That includes standardising the drivers, and results in physical units, which `bare_rate` is spared.
    """
    predictor = Predictor(Bundle.load(bundle_url), 1, "cpu")
    card, radius, rng = predictor.card, predictor.radius, np.random.default_rng(0)
    core = Window(0, ratio * cells, 0, ratio * cells)
    fine = rng.standard_normal((len(card.drivers), *core.expand(radius).shape), dtype=np.float32)
    series = None
    if card.sequence is not None:
        wide = card.sequence.ratio * cells + 2
        series = rng.standard_normal((card.sequence.days, len(card.sequence.drivers), wide, wide), dtype=np.float32)

    def run() -> float:
        start = time.perf_counter()
        predictor.predict(fine, series, core, ratio, (-1, -1))
        return core.size / 1e6 / (time.perf_counter() - start)

    return run


def fastest_side(bundle_url: str, ratio: int, cells: int) -> int:
    """Return the window at which the bare networks are fastest."""
    fitting = [side for side in SIDES if (ratio * cells) % side == 0] or [ratio]
    rates = {side: np.median([bare_rate(bundle_url, ratio, cells, side)() for _ in range(3)]) for side in fitting}
    return max(rates, key=rates.__getitem__)


def borders(job: PredictJob, whole: PredictJob) -> dict[str, float]:
    """Return how much borders show in a map.

    ``cell_seam`` is the mean absolute step across borders of coarse cells over that inside cells. ``tile_seam`` is the
    mean step across edges of tiles over that at the same places of `whole`, the same map made in one tile.
    """
    own, other = _steps(job, job), _steps(whole, job)
    inside, cells, edges = own.inside / own.n_inside, own.cells / own.n_cells, own.tiles / own.n_tiles
    return {"cell_seam": round(cells / inside, 4), "tile_seam": round(edges * other.n_tiles / other.tiles, 6)}


def _steps(job: PredictJob, tiled: PredictJob) -> Seams:
    """Return the steps of a job's map; edges are those of the tiles of `tiled`."""
    cube = open_cube(job.mosaic_url, complete=True)
    core, ratio = job.grid.window, job.grid.ratio
    total = Seams()
    for layer in job.layers:
        for day in range(len(job.days)):
            wide = np.pad(cube.read(layer.name, cube.raster.window, day), (0, 1), constant_values=np.nan)
            total = total + seams_of(wide, core, ratio, tiled.cells_per_tile * ratio, (core.y0, core.x0))
    return total
