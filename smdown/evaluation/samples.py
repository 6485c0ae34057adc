"""Cells and days that drivers are exchanged between: read once, small enough to keep in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from smdown.evaluation.job import EvaluateJob
from smdown.evaluation.stations import Station, Stations, in_window, load_stations
from smdown.grid import NestedGrid, Window

if TYPE_CHECKING:
    from smdown.features import Loader
    from smdown.training import BundleCard, Predictor, TrainContext

Field = npt.NDArray[np.float32]
Cell = tuple[int, int]

LEAST_CELLS = 4
"""Cells that drivers are exchanged between, where the region has them: what never changes tells nothing in one cell."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One coarse cell on one day.

    Parameters
    ----------
    cell : Window
        The cell.
    core : Window
        Its pixels, in global indices.
    day : str
        ISO day.
    fine : ndarray
        Drivers ``(feature, y + 2R, x + 2R)``.
    sequence : ndarray, optional
        Daily sequence ``(day, feature, Y, X)``.
    coarse : ndarray
        Coarse value of every layer; NaN where there is none or the cell was trained on.
    stations : list of tuple
        Row and column in the core, and what the station saw of every layer.
    """

    cell: Window
    core: Window
    day: str
    fine: Field
    sequence: Field | None
    coarse: npt.NDArray[np.float64]
    stations: list[tuple[int, int, npt.NDArray[np.float64]]]


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws samples of unseen cells and unseen stations.

    Parameters
    ----------
    job : EvaluateJob
        For the stations.
    context : TrainContext
        For the region, the days and the layers.
    card : BundleCard
        For what training has seen.
    loader : Loader
        Fills windows with drivers.
    predictor : Predictor
        For the surroundings that it needs.
    """

    job: EvaluateJob
    context: TrainContext
    card: BundleCard
    loader: Loader
    predictor: Predictor

    def draw(self, ratio: int, count: int, seed: int) -> list[Sample]:
        """Return up to `count` samples at a ratio, in the order of their cells; the same for the same seed.

        Half of unseen cells, half of cells with unseen stations; where these are few, of all other cells too.
        """
        rng = np.random.default_rng(seed)
        stations = self._stations()
        unseen = [c for c in self.card.splits.validation_cells if self.context.cells.contains(_window(c))]
        watched = sorted({self._cell_of(s) for s in stations[1]})
        pools = [pool for pool in (unseen, watched) if pool]
        if len({*unseen, *watched}) < LEAST_CELLS:
            rows, columns = _ends(self.context.cells)
            pools.append([(y, x) for y in range(*rows) for x in range(*columns)])
        found: dict[tuple[Cell, str], Sample] = {}
        for attempt in range(6 * count):
            pool = pools[attempt % len(pools)]
            cell = pool[int(rng.integers(len(pool)))]
            day = self.context.days[int(rng.integers(len(self.context.days)))]
            if (cell, day) in found:
                continue
            sample = self._read(cell, day, ratio, stations, known=cell in unseen or not unseen)
            if sample is not None:
                found[cell, day] = sample
            if len(found) == count:
                break
        return [found[key] for key in sorted(found)]

    def _stations(self) -> tuple[Stations | None, list[Station]]:
        """Return all stations, and those on the finest grid that training never saw."""
        if self.job.stations_url is None:
            return None, []
        table = load_stations(self.job.stations_url, [layer.name for layer in self.context.layers])
        held_out = self.job.held_out
        return table, [s for s in table.on(self.job.grid) if held_out is None or s.name in held_out]

    def _cell_of(self, station: Station) -> Cell:
        return station.y // self.job.grid.ratio, station.x // self.job.grid.ratio

    def _read(
        self, cell: Cell, day: str, ratio: int, stations: tuple[Stations | None, list[Station]], *, known: bool
    ) -> Sample | None:
        window, when = _window(cell), np.datetime64(day, "ns")
        coarse = np.array(
            [self.loader.coarse(y.source, y.variable, window, when)[0, 0] for y in self.context.layers], dtype=float
        )
        if not np.isfinite(coarse).any():
            return None
        grid = NestedGrid(self.context.lattice, self.context.cells, ratio)
        core = window.refine(ratio)
        fine = self.loader.load(grid, core.expand(self.predictor.radius), when)
        sequence = self.loader.sequence(window, when) if self.context.spec.sequence is not None else None
        seen = self._observed(window, grid, day, stations)
        return Sample(window, core, day, fine, sequence, coarse if known else coarse * math.nan, seen)

    def _observed(
        self, cell: Window, grid: NestedGrid, day: str, stations: tuple[Stations | None, list[Station]]
    ) -> list[tuple[int, int, npt.NDArray[np.float64]]]:
        table, unseen = stations
        if table is None:
            return []
        core, out = cell.refine(grid.ratio), []
        inside = {s.index for s in in_window(unseen, cell.refine(self.job.grid.ratio))}
        for station in table.on(grid):
            if station.index in inside:
                values = np.array([table.observed(station, y.name, day) for y in self.context.layers])
                if np.isfinite(values).any():
                    out.append((station.y - core.y0, station.x - core.x0, values))
        return out


def _window(cell: Sequence[int]) -> Window:
    return Window(cell[0], cell[0] + 1, cell[1], cell[1] + 1)


def _ends(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.y0, window.y1), (window.x0, window.x1)
