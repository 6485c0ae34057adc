"""Some real tiles, on this machine, into a temporary store: how long reading, computing and writing take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from smdown import cubes, features
from smdown.features import FeatureSpec
from smdown.grid import NestedGrid, Window
from smdown.inference.engine import Drivers, Field
from smdown.inference.job import PredictJob
from smdown.inference.predict import engine_of, predict_plan
from smdown.inference.tile import TilePredictor, write_day
from smdown.planning.volumes import halo_overhead, raw_bytes
from smdown.runtime.attempt import peak_bytes

BUDGET_S = 8.0
"""Seconds that each worker measures, its start apart."""
_SHARE = 0.6  # of that, what one tile may take
PARTS = ("static", "read", "compute", "write")


@dataclass
class Clock:
    """Seconds by what they were spent on, the pixels they were for, and what was written."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("static", "read", "compute", "write"), 0.0)
    )
    pixels: int = 0
    tile_pixels: int = 0
    raw: int = 0
    stored: int = 0
    warm_up: float = 0.0
    peak: int = 0

    @contextmanager
    def part(self, name: str, instead_of: str = "") -> Iterator[None]:
        """Count the time of a block, and take it off another part that it lies in."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] += spent
            if instead_of:
                self.seconds[instead_of] -= spent

    def add(self, other: Clock) -> None:
        """Take in what another measured beside it."""
        for name, spent in other.seconds.items():
            self.seconds[name] += spent
        self.pixels += other.pixels
        self.tile_pixels += other.tile_pixels
        self.raw += other.raw
        self.stored += other.stored
        self.warm_up = max(self.warm_up, other.warm_up)
        self.peak = max(self.peak, other.peak)

    @property
    def total(self) -> float:
        """All seconds."""
        return sum(self.seconds.values())


class _Timed:
    """Drivers whose reading is timed."""

    def __init__(self, drivers: Drivers, clock: Clock) -> None:
        self._drivers, self._clock = drivers, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._drivers, name)

    def static(self, grid: NestedGrid, window: Window) -> Field:
        with self._clock.part("static", "compute"):
            return self._drivers.static(grid, window)

    def dynamic(self, grid: NestedGrid, window: Window, day: np.datetime64) -> Field:
        with self._clock.part("read", "compute"):
            return self._drivers.dynamic(grid, window, day)

    def sequence(self, cells: Window, day: np.datetime64) -> Field:
        with self._clock.part("read", "compute"):
            return self._drivers.sequence(cells, day)

    def coarse(self, source: str, variable: str, cells: Window, day: np.datetime64) -> Field:
        with self._clock.part("read", "compute"):
            return self._drivers.coarse(source, variable, cells, day)


def time_predict(job: PredictJob, places: Sequence[Window], budget: float = BUDGET_S) -> Clock:
    """Predict tiles of a job until the time is up; the first cell, predicted twice, says what a start costs.

    Parameters
    ----------
    job : PredictJob
        What to map; its cubes are made below its own places.
    places : sequence of Window
        Cells of tiles that have something to predict.
    budget : float
        Seconds, the start apart.
    """
    start = time.perf_counter()
    first = _square(places[0].y0, places[0].x0, 1)
    _predict(job, first, "cold")
    cold = time.perf_counter() - start
    one = _predict(job, first, "warm").total
    most = int((_SHARE * budget / max(one, 1e-3)) ** 0.5)
    side = max(1, min(job.cells_per_tile, most))
    found, start = Clock(warm_up=max(0.0, cold - one)), time.perf_counter()
    for n, place in enumerate(places):
        found.add(_predict(job, _cropped(place, side), f"t{n}"))
        if time.perf_counter() - start > budget * (1 - _SHARE / 2):
            break
    found.seconds["static"] *= _own_halo(job, side)
    found.peak = peak_bytes()
    return found


def _own_halo(job: PredictJob, side: int) -> float:
    """Return how much less of a halo a tile of the job reads than one of the calibration."""
    return halo_overhead(job.cells_per_tile, 1, job.grid.ratio) / halo_overhead(side, 1, job.grid.ratio)


def _square(y: int, x: int, side: int) -> Window:
    return Window(y, y + side, x, x + side)


def _cropped(cells: Window, side: int) -> Window:
    return Window(cells.y0, min(cells.y0 + side, cells.y1), cells.x0, min(cells.x0 + side, cells.x1))


def _predict(job: PredictJob, cells: Window, name: str) -> Clock:
    """Predict all days of one tile, timed."""
    own = replace(
        job,
        grid=replace(job.grid, cells=cells),
        cells_per_tile=max(cells.shape),
        mosaic_url=cubes.join(job.mosaic_url, name),
        members_url=None if job.members_url is None else cubes.join(job.members_url, name),
    )
    clock = Clock()
    plan = predict_plan(own, "calibration")
    engine = engine_of(own, "calibration")
    places = [url for url in (own.mosaic_url, own.members_url) if url is not None]
    opened = [cubes.open_cube(url) for url in places]
    tile = plan.tasks[0].tile  # type: ignore[attr-defined]
    predictor = TilePredictor(own, tile, replace(engine, drivers=_Timed(engine.drivers, clock)))
    for index, day in enumerate(own.days):
        with clock.part("compute"):
            maps = predictor.day(np.datetime64(day, "ns"))
        with clock.part("write"):
            write_day(maps, own, index, opened[0], opened[1] if own.members_url else None, engine.ensemble.members)
        clock.pixels += int(np.isfinite(maps.mean).any(axis=0).sum())
    with clock.part("write"):
        for cube in opened:
            cube.commit(tile.row, tile.col)
    clock.tile_pixels = tile.core.size
    clock.raw = sum(raw_bytes(cube.spec) for cube in opened)
    clock.stored = sum(_data_bytes(cube) for cube in opened)
    return clock


def _data_bytes(cube: cubes.Cube) -> int:
    return sum(sum(cubes.store.sizes(cubes.join(cube.url, name, "c")).values()) for name in cube.variables)


def time_features(
    spec: FeatureSpec,
    resolutions: Sequence[int],
    cells_per_tile: int,
    places: Sequence[Window],
    budget: float = BUDGET_S,
) -> Clock:
    """Compute and write static drivers of tiles, at all resolutions, until the time is up."""
    start = time.perf_counter()
    first = _square(places[0].y0, places[0].x0, 1)
    _materialise(spec, resolutions, first, "cold")
    cold = time.perf_counter() - start
    one = _materialise(spec, resolutions, first, "warm").total
    side = max(1, min(cells_per_tile, int((_SHARE * budget / max(one, 1e-3)) ** 0.5)))
    found, start = Clock(warm_up=max(0.0, cold - one)), time.perf_counter()
    for n, place in enumerate(places):
        found.add(_materialise(spec, resolutions, _cropped(place, side), f"t{n}"))
        if time.perf_counter() - start > budget * (1 - _SHARE / 2):
            break
    found.peak = peak_bytes()
    return found


def _materialise(spec: FeatureSpec, resolutions: Sequence[int], cells: Window, name: str) -> Clock:
    own = replace(spec, base=replace(spec.base, cells=cells), features_url=cubes.join(spec.features_url, name))
    clock = Clock()
    plan = features.features_plan(own, tuple(resolutions), max(cells.shape), "calibration")
    for task in plan.tasks:
        with clock.part("compute"):
            clock.pixels += plan.run(task).pixels
        cube = cubes.open_cube(task.url)  # type: ignore[attr-defined]
        clock.raw += raw_bytes(cube.spec)
        clock.stored += _data_bytes(cube)
    return clock
