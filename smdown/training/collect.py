"""Everything that fitting needs: samples in memory or on disk, and the statistics they are standardised with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from smdown.errors import InputError
from smdown.grid import nominal_ratio
from smdown.training.assemble import assemble
from smdown.training.choose import Labels, Wanted, choose, patch_size
from smdown.training.config import TrainingConfig
from smdown.training.context import DriverLoader, Field, TrainContext
from smdown.training.groups import SampleSet
from smdown.training.labels import no_stations, read_coarse, read_finer, read_stations
from smdown.training.periods import lookback, part_days
from smdown.training.samples import DriverReader, Drivers
from smdown.training.splits import Cells, Split, split
from smdown.training.standardise import Scaler
from smdown.training.stream import Streamed
from smdown.training.survey import sampled_cells
from smdown.training.targets import targets


@dataclass(frozen=True)
class Collected:
    """Samples by role, the statistics they are standardised with, and who was sampled.

    Parameters
    ----------
    training : list of SampleSet or Streamed
        What is trained on.
    held : callable
        Reads what validates.
    fine, sequence, target : Scaler
        Statistics of the training samples.
    labels : Labels
        Cells, stations and days.
    roles : Split
        Which of them validate or were held out.
    identity : str
        What determines the samples, where they are not at hand.
    """

    training: list[SampleSet | Streamed]
    held: Callable[[], list[SampleSet]]
    fine: Scaler
    sequence: Scaler
    target: Scaler
    labels: Labels
    roles: Split
    identity: str = ""

    @cached_property
    def validation(self) -> list[SampleSet]:
        """What validates; read when first asked for."""
        return self.held()


@dataclass(frozen=True)
class AtHand:
    """Samples that are read already."""

    sets: list[SampleSet]

    def __call__(self) -> list[SampleSet]:
        """Return them."""
        return self.sets


def collect(
    config: TrainingConfig,
    context: TrainContext,
    loader: DriverLoader,
    station_data: xr.Dataset | None,
    radius: int,
    progress: Callable[[int, int], None],
) -> Collected:
    """Sample cells, days and stations, and read what the networks are trained on, or prepare to stream it.

    Raises
    ------
    InputError
        If no label has a value anywhere.
    """
    rng = np.random.default_rng(config.seed if context.seed is None else context.seed)
    days = spread(context.days, config.max_days)
    cells = sampled_cells(config, context, loader, days, rng)
    if streams(config, context, cells, len(days), radius):
        from smdown.training.collect_stream import collect_stream

        return collect_stream(config, context, loader, station_data, radius, progress, days, cells, rng)
    labels = read_labels(config, context, loader, station_data, days, cells)
    roles = draw_roles(config, labels, rng)
    wanted = choose(config, context, labels, roles, radius, rng)
    cells = np.concatenate([labels.cells, labels.stations.cells])
    training, validation, scalers = assemble(read(wanted, context, loader, labels.days, cells, progress), context)
    return Collected([*training], AtHand(validation or training), *scalers, labels, roles)


def streams(config: TrainingConfig, context: TrainContext, cells: Cells, n_days: int, radius: int) -> bool:
    """Whether samples are read while training runs: if so configured, or if they would outgrow the memory."""
    if config.label("cell_mean", "cubic", "gridded") is None or config.feeding == "memory":
        return False
    if config.feeding == "stream":
        return True
    total = 0
    for label in config.labels:
        for resolution in (label.resolutions or config.resolutions) if label.kind != "stations" else ():
            size = patch_size(label, nominal_ratio(context.lattice, resolution))
            count = min(config.samples_at(resolution, size), len(cells) * n_days)
            total += 4 * count * len(context.spec.names) * (size + 2 * radius) ** 2
    return total > config.memory * 2**30


def read_labels(
    config: TrainingConfig,
    context: TrainContext,
    loader: DriverLoader,
    station_data: xr.Dataset | None,
    days: tuple[str, ...],
    cells: Cells,
) -> Labels:
    """Read every label on cells and days; cells without any are left out.

    Raises
    ------
    InputError
        If nothing is left.
    """
    coarse = read_coarse(loader, context, cells, days)
    finer = {y.source: read_finer(loader, context, y, cells, days) for y in config.labels if y.kind == "gridded"}
    stations = no_stations(context, days) if station_data is None else read_stations(station_data, context, days)
    fields = [coarse, *finer.values()] if config.label("cell_mean", "cubic") or not finer else [*finer.values()]
    keep = np.any([np.isfinite(field).any(axis=(0, 1)) for field in fields], axis=0)
    if config.label("cell_mean", "cubic", "gridded") is None:
        if not len(stations.names):
            raise InputError(
                "got no station with data inside the extent and period; add a cell_mean label or move either"
            )
        keep[:] = True
    if not keep.any():
        raise InputError(
            f"got no value of {', '.join(layer.name for layer in context.layers)} in cells {context.cells} on any of "
            f"{len(days)} days; look at the labels' sources, the period and the extent"
        )
    kept = {source: field[:, :, keep] for source, field in finer.items()}
    period = part_days(days, config.hold_out_days, config.embargo_days, lookback(context.spec))
    return Labels(days, cells[keep], coarse[:, :, keep], stations, period, kept)


def draw_roles(config: TrainingConfig, labels: Labels, rng: np.random.Generator) -> Split:
    """Draw who validates and who is never seen."""
    return split(
        labels.cells, labels.stations.cells, block=config.block_cells, validation=config.validation_fraction,
        held_out=config.hold_out_stations, rng=rng, folds=config.folds, fold=config.fold,
    )  # fmt: skip


def read(
    wanted: list[Wanted],
    context: TrainContext,
    loader: DriverLoader,
    days: tuple[str, ...],
    cells: Cells,
    progress: Callable[[int, int], None],
) -> list[tuple[Wanted, Drivers, Field]]:
    """Read the drivers and targets of samples, which lie in some cells on some days."""
    reader = DriverReader(loader, context, days, cells)
    total, done = sum(len(w.request.day) for w in wanted), 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    return [(w, reader.read(w.request, tick), targets(w, context, loader, days)) for w in wanted]


def spread(days: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """Return at most `limit` days, evenly spread."""
    if len(days) <= limit:
        return days
    return tuple(days[i] for i in np.unique(np.linspace(0, len(days) - 1, limit).round().astype(int)))
