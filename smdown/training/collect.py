"""Everything that fitting needs, read and standardised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from smdown.errors import InputError
from smdown.grid import Window
from smdown.training.choose import Labels, Wanted, choose
from smdown.training.config import TrainingConfig
from smdown.training.context import DriverLoader, Field, TrainContext
from smdown.training.cubic import MARGIN, cubic_cell
from smdown.training.data import SampleSet
from smdown.training.labels import no_stations, read_coarse, read_stations
from smdown.training.moments import Moments
from smdown.training.samples import DriverReader, Drivers
from smdown.training.splits import Split, sample_cells, split
from smdown.training.standardise import Scaler

MINIMUM_VALID = 0.5
"""Share of a cell's pixels that must have all required drivers for its mean to be a label."""


@dataclass(frozen=True)
class Collected:
    """Samples by role, the statistics they are standardised with, and who was sampled.

    Parameters
    ----------
    training, validation : list of SampleSet
        By role.
    fine, sequence, target : Scaler
        Statistics of the training samples.
    labels : Labels
        Cells, stations and days.
    roles : Split
        Which of them validate or were held out.
    """

    training: list[SampleSet]
    validation: list[SampleSet]
    fine: Scaler
    sequence: Scaler
    target: Scaler
    labels: Labels
    roles: Split


def collect(
    config: TrainingConfig,
    context: TrainContext,
    loader: DriverLoader,
    station_data: xr.Dataset | None,
    radius: int,
    progress: Callable[[int, int], None],
) -> Collected:
    """Sample cells, days and stations, and read what the networks are trained on.

    Raises
    ------
    InputError
        If no label has a value anywhere.
    """
    rng = np.random.default_rng(config.seed if context.seed is None else context.seed)
    labels = _read_labels(config, context, loader, station_data, rng)
    roles = split(
        labels.cells, labels.stations.cells, block=config.block_cells, validation=config.validation_fraction,
        held_out=config.hold_out_stations, rng=rng,
    )  # fmt: skip
    wanted = choose(config, context, labels, roles, radius, rng)
    reader = DriverReader(loader, context, labels.days, np.concatenate([labels.cells, labels.stations.cells]))
    total, done = sum(len(w.request.day) for w in wanted), 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    read = [(w, reader.read(w.request, tick), _pixel_targets(w, context, loader, labels.days)) for w in wanted]
    return _assemble(read, context, labels, roles)


def _read_labels(
    config: TrainingConfig,
    context: TrainContext,
    loader: DriverLoader,
    station_data: xr.Dataset | None,
    rng: np.random.Generator,
) -> Labels:
    days = spread(context.days, config.max_days)
    cells = sample_cells(context.cells, config.block_cells, config.max_cells, rng)
    coarse = read_coarse(loader, context, cells, days)
    keep = np.asarray(np.isfinite(coarse).any(axis=(0, 1)))
    stations = no_stations(context, days) if station_data is None else read_stations(station_data, context, days)
    if config.label("cell_mean", "cubic") is None and len(stations.names):
        keep[:] = True
    if not keep.any():
        raise InputError(
            f"got no value of {', '.join(layer.name for layer in context.layers)} in cells {context.cells} on any of "
            f"{len(days)} days; look at the labels' sources, the period and the extent"
        )
    if config.label("cell_mean", "cubic") is None and not len(stations.names):
        raise InputError("got no station with data inside the extent and period; add a cell_mean label or move either")
    return Labels(days, cells[keep], coarse[:, :, keep], stations)


def spread(days: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """Return at most `limit` days, evenly spread."""
    if len(days) <= limit:
        return days
    return tuple(days[i] for i in np.unique(np.linspace(0, len(days) - 1, limit).round().astype(int)))


def _pixel_targets(wanted: Wanted, context: TrainContext, loader: DriverLoader, days: tuple[str, ...]) -> Field:
    """Return the standard shape of targets: ``(n, layer)`` for cell means, ``(n, layer, y, x)`` else."""
    if wanted.label.kind == "cell_mean":
        return wanted.target
    if wanted.label.kind == "stations":
        return wanted.target[:, :, None, None]
    request = wanted.request
    out = np.full((*wanted.target.shape, request.size, request.size), np.nan, dtype=np.float32)
    for i, ((y, x), day) in enumerate(zip(request.cells.tolist(), request.day, strict=True)):
        around = Window(y, y + 1, x, x + 1).expand(MARGIN)
        for n, layer in enumerate(context.layers):
            if np.isfinite(wanted.target[i, n]):
                found = loader.coarse(layer.source, layer.variable, around, np.datetime64(days[day], "ns"))
                out[i, n] = cubic_cell(found, request.ratio)
    return out


def _assemble(
    read: list[tuple[Wanted, Drivers, Field]], context: TrainContext, labels: Labels, roles: Split
) -> Collected:
    """Drop samples whose drivers are missing, standardise by the training ones, and part the roles."""
    masks = [_valid(drivers.fine, wanted.request.radius, context) for wanted, drivers, _ in read]
    keeps = [mask.mean(axis=(1, 2)) >= MINIMUM_VALID for mask in masks]
    trains = [keep & ~wanted.validation for keep, (wanted, _, _) in zip(keeps, read, strict=True)]
    if not any(train.any() for train in trains):
        raise InputError(
            "got no sample with all required drivers; look at the drivers' sources over the extent and period, "
            "or mark some as required: false"
        )
    fine = _scaler([d.fine[t].swapaxes(0, 1) for (_, d, _), t in zip(read, trains, strict=True)])
    sequence = _scaler([d.sequence[t].transpose(2, 0, 1, 3, 4) for (_, d, _), t in zip(read, trains, strict=True)])
    target = _scaler([y[t].swapaxes(0, 1) for (_, _, y), t in zip(read, trains, strict=True)])
    sets: tuple[list[SampleSet], list[SampleSet]] = ([], [])
    for (wanted, drivers, values), mask, keep in zip(read, masks, keeps, strict=True):
        whole = _tensors(wanted, drivers, values, mask, (fine, sequence, target))
        for role, into in enumerate(sets):
            index = np.flatnonzero(keep & (wanted.validation == bool(role)))
            if len(index):
                into.append(whole.take(torch.from_numpy(index)))
        drivers.fine = drivers.sequence = np.empty(0, dtype=np.float32)
    return Collected(sets[0], sets[1] or sets[0], fine, sequence, target, labels, roles)


def _valid(fine: Field, radius: int, context: TrainContext) -> npt.NDArray[np.bool_]:
    """Return ``(n, y, x)``: whether all required drivers are there."""
    required = [n for n, driver in enumerate(context.spec.drivers) if getattr(driver, "required", True)]
    core = fine[:, required, radius : fine.shape[2] - radius, radius : fine.shape[3] - radius]
    return np.asarray(np.isfinite(core).all(axis=1))


def _scaler(chunks: list[npt.NDArray[np.float32]]) -> Scaler:
    """Return the statistics of ``(feature, anything...)`` chunks; each resolution and label weighs the same."""
    moments = Moments.zero(len(chunks[0]))
    for chunk in chunks:
        if chunk.size:
            moments = moments + Moments.of(chunk).scaled()
    return Scaler.of(moments.mean.tolist(), moments.std.tolist())


def _tensors(
    wanted: Wanted,
    drivers: Drivers,
    values: Field,
    mask: npt.NDArray[np.bool_],
    scalers: tuple[Scaler, Scaler, Scaler],
) -> SampleSet:
    fine, sequence, target = scalers
    request = wanted.request
    y_index, y_weight, x_index, x_weight = (torch.from_numpy(a) for a in drivers.place)
    return SampleSet(
        wanted.label.kind, wanted.resolution, request.ratio, request.radius, wanted.label.weight,
        fine.forward(torch.from_numpy(drivers.fine), 1),
        sequence.forward(torch.from_numpy(drivers.sequence), 2),
        y_index, y_weight, x_index, x_weight,
        _centred(torch.from_numpy(values), target), torch.from_numpy(mask),
        torch.from_numpy(request.cells), torch.from_numpy(request.day), torch.from_numpy(wanted.station),
    )  # fmt: skip


def _centred(values: Tensor, target: Scaler) -> Tensor:
    shape = (1, -1) + (1,) * (values.dim() - 2)
    return (values - target.mean.view(shape)) / target.std.view(shape)
