"""Prepare to stream: statistics from a few windows, an index for each label and resolution, and nothing else read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import xarray as xr

from smdown.errors import InputError
from smdown.grid import nominal_ratio
from smdown.identity import fingerprint
from smdown.training.assemble import Chunk, Scalers, assemble, moments_of, scalers_of
from smdown.training.blocks import Recipe
from smdown.training.choose import Labels, choose, coarsening, patch_size
from smdown.training.collect import Collected, draw_roles, read, read_labels
from smdown.training.config import LabelConfig, TrainingConfig
from smdown.training.context import DriverLoader, TrainContext
from smdown.training.groups import SampleSet
from smdown.training.index import PatchIndex, patch_starts
from smdown.training.labels import no_stations, read_stations
from smdown.training.moments import Moments
from smdown.training.periods import lookback, part_days
from smdown.training.reading import plan_reading
from smdown.training.samples import DriverReader, Request
from smdown.training.shelf import READERS, Shelf
from smdown.training.splits import Cells, Split
from smdown.training.stream import Streamed
from smdown.training.survey import probe
from smdown.training.targets import read_product

SURVEYED = 16
"""Training windows of each label and resolution that the drivers' statistics are taken from."""
HELD_CELLS, HELD_DAYS = 48, 32
"""Held-out cells and days that validation is drawn from."""


def collect_stream(
    config: TrainingConfig,
    context: TrainContext,
    loader: DriverLoader,
    station_data: xr.Dataset | None,
    radius: int,
    progress: Callable[[int, int], None],
    days: tuple[str, ...],
    cells: Cells,
    rng: np.random.Generator,
) -> Collected:
    """Part the roles, take statistics, and index all training cells on all training days.

    Stations are few, and are read beforehand; what validates is read after the first epoch.
    """
    labels = _outline(config, context, loader, station_data, days, cells)
    roles = draw_roles(config, labels, rng)
    seed = int(rng.integers(2**31))
    only = config.model_copy(update={"labels": tuple(y for y in config.labels if y.kind == "stations")})
    wanted = choose(only, context, labels, roles, radius, rng) if only.labels else []
    stations = read(wanted, context, loader, days, labels.stations.cells, progress)
    chunks = [moments_of(d, y, ~w.validation & np.isfinite(y).reshape(len(y), -1).any(axis=1)) for w, d, y in stations]
    plans = [
        (label, resolution)
        for label in config.labels
        for resolution in ((label.resolutions or config.resolutions) if label.kind != "stations" else ())
    ]
    with ThreadPoolExecutor(READERS) as pool:
        seen = [
            _survey(label, resolution, config, context, loader, labels, roles, np.random.default_rng([seed, n]), pool)
            for n, (label, resolution) in enumerate(plans)
        ]
    scalers = scalers_of([*chunks, *seen])
    at_hand, held, _ = assemble(stations, context, scalers)
    shelf = Shelf(int(config.memory * 2**30))
    streamed = [
        _streamed(label, resolution, config, context, loader, labels, roles, scalers, radius, shelf, len(plans), seed)
        for label, resolution in plans
    ]
    late = HeldOut(config, context, loader, labels, roles, scalers, radius, seed, held)
    identity = fingerprint(
        config.model_dump(mode="json"), context.days, hashlib.sha256(cells.tobytes()).hexdigest(), radius, seed,
        [[s.mean.tolist(), s.std.tolist()] for s in scalers],
    )  # fmt: skip
    return Collected([*streamed, *at_hand], late, *scalers, labels, roles, identity)


def _outline(
    config: TrainingConfig,
    context: TrainContext,
    loader: DriverLoader,
    station_data: xr.Dataset | None,
    days: tuple[str, ...],
    cells: Cells,
) -> Labels:
    """Return who there is: cells that have the coarse product on some of a few days, and stations."""
    coarse = probe(loader, context, cells, days)
    keep = np.asarray(np.isfinite(coarse).any(axis=(0, 1)))
    if config.label("cell_mean", "cubic") is None:
        keep[:] = True
    if not keep.any():
        raise InputError(
            f"got no value of {', '.join(layer.name for layer in context.layers)} in cells {context.cells} on any day "
            "that was looked at; look at the labels' sources, the period and the extent"
        )
    stations = no_stations(context, days) if station_data is None else read_stations(station_data, context, days)
    period = part_days(days, config.hold_out_days, config.embargo_days, lookback(context.spec))
    return Labels(days, cells[keep], coarse[:, :, keep], stations, period)


def _training_days(labels: Labels) -> tuple[str, ...]:
    return tuple(day for day, yes in zip(labels.days, labels.period.training, strict=True) if yes)


def _survey(
    label: LabelConfig,
    resolution: int,
    config: TrainingConfig,
    context: TrainContext,
    loader: DriverLoader,
    labels: Labels,
    roles: Split,
    rng: np.random.Generator,
    pool: ThreadPoolExecutor,
) -> Chunk:
    """Return the statistics of random training windows; those of the coarse product on every cell that was probed."""
    train = np.flatnonzero(~roles.validation_cell)
    some = np.sort(rng.permutation(train)[:SURVEYED])
    days = _training_days(labels)
    picked = tuple(days[d] for d in np.sort(rng.choice(len(days), min(len(days), SURVEYED), replace=False)))
    ratio = nominal_ratio(context.lattice, resolution)
    size = patch_size(label, ratio)
    starts = patch_starts(ratio, size)
    corners = labels.cells[some] * ratio + starts[rng.integers(0, len(starts), (len(some), 2))]

    def look(n: int) -> Chunk:
        cell = labels.cells[some[[n]]]
        step = coarsening(config, context)
        request = Request(ratio, corners[[n]], size, 0, np.zeros(1, np.int64), cell, step)
        return _window(label, request, context, loader, picked[n % len(picked)])

    total = reduce(_merged, pool.map(look, range(len(some))))
    if label.kind == "gridded":
        return total
    return total[0], total[1], Moments.of(labels.coarse[:, :, train])


def _window(label: LabelConfig, request: Request, context: TrainContext, loader: DriverLoader, day: str) -> Chunk:
    """Return the statistics of one window on a day; of labels, only those of a gridded one."""
    drivers = DriverReader(loader, context, (day,), request.cells).read(request, lambda _: None)
    values = np.full((1, len(context.layers), 1), np.nan, dtype=np.float32)
    if label.kind == "gridded":
        window = next(request.blocks())[0]
        values = read_product(loader, context, label, request.ratio, window, np.datetime64(day, "ns"))[None]
    return moments_of(drivers, values, np.ones(1, dtype=bool))


def _merged(a: Chunk, b: Chunk) -> Chunk:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _streamed(
    label: LabelConfig,
    resolution: int,
    config: TrainingConfig,
    context: TrainContext,
    loader: DriverLoader,
    labels: Labels,
    roles: Split,
    scalers: Scalers,
    radius: int,
    shelf: Shelf,
    n_sets: int,
    seed: int,
) -> Streamed:
    ratio, days = nominal_ratio(context.lattice, resolution), _training_days(labels)
    size = patch_size(label, ratio)
    recipe = Recipe(context, label, resolution, ratio, size, radius, coarsening(config, context), days, *scalers)
    reading = plan_reading(context, ratio, radius, len(days), shelf.limit // (4 * n_sets))
    index = PatchIndex(
        labels.cells[~roles.validation_cell], len(days), ratio, size, seed=seed,
        origin=(context.cells.y0, context.cells.x0), shard_cells=reading.shard_cells,
        days_per_unit=reading.days_per_unit, units_per_mix=reading.units_per_mix,
    )  # fmt: skip
    return Streamed(recipe, index, loader, shelf, radius)


@dataclass(frozen=True)
class HeldOut:
    """Reads what validates: some held-out cells on some days, beside the stations.

    Parameters
    ----------
    config, context, loader, labels, roles, scalers, radius, seed
        As collected.
    stations : list of SampleSet
        Held-out stations.
    """

    config: TrainingConfig
    context: TrainContext
    loader: DriverLoader
    labels: Labels
    roles: Split
    scalers: Scalers
    radius: int
    seed: int
    stations: list[SampleSet]

    def __call__(self) -> list[SampleSet]:
        """Read them."""
        rng = np.random.default_rng([self.seed, 2**20])
        labels, period = self.labels, self.labels.period
        cells = np.sort(rng.permutation(np.flatnonzero(self.roles.validation_cell))[:HELD_CELLS])
        held = np.flatnonzero(period.validation)
        some = held[np.unique(np.linspace(0, len(held) - 1, HELD_DAYS).round().astype(int))]
        days = tuple(labels.days[d] for d in some)
        only = tuple(y for y in self.config.labels if y.kind != "stations")
        config = self.config.model_copy(update={"labels": only, "hold_out_days": 0.0})
        few = read_labels(config, self.context, self.loader, None, days, labels.cells[cells])
        roles = replace(
            self.roles, validation_cell=np.ones(len(few.cells), bool), held_out=np.zeros(0, bool),
            validation_station=np.zeros(0, bool),
        )  # fmt: skip
        wanted = choose(config, self.context, few, roles, self.radius, rng)
        found = read(wanted, self.context, self.loader, days, few.cells, lambda *_: None)
        return [*assemble(found, self.context, self.scalers)[1], *self.stations]
