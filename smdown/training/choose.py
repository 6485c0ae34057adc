"""Which cell-days and station-days become samples, evenly over cells, stations and days."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from smdown.grid import nominal_ratio
from smdown.training.config import LabelConfig, TrainingConfig
from smdown.training.context import Field, TrainContext
from smdown.training.index import PATCH, patch_starts
from smdown.training.labels import Stations
from smdown.training.periods import Period
from smdown.training.samples import Index, Request, sequence_ratio
from smdown.training.splits import Cells, Split


@dataclass(frozen=True)
class Labels:
    """Everything that is known about the wanted layers on the sampled days.

    Parameters
    ----------
    days : tuple of str
        The sampled days.
    cells : ndarray
        ``(cell, 2)``.
    coarse : ndarray
        float32, ``(layer, day, cell)``.
    stations : Stations
        With values ``(layer, day, station)``.
    period : Period
        Which days train and which validate.
    finer : dict
        Cell averages of each gridded label, by its source, float32, ``(layer, day, cell)``.
    """

    days: tuple[str, ...]
    cells: Cells
    coarse: Field
    stations: Stations
    period: Period
    finer: dict[str, Field] = field(default_factory=dict)

    def on_cells(self, label: LabelConfig) -> Field:
        """Return a label's values on cells."""
        return self.finer[label.source] if label.kind == "gridded" else self.coarse


@dataclass(frozen=True)
class Wanted:
    """Samples of one label and resolution, before they are read.

    Parameters
    ----------
    label, resolution
        What they are.
    request : Request
        What to read.
    target : ndarray
        float32, ``(n, layer)``: the label's value, that of the cell where pixels have their own.
    station : ndarray
        Number of the station, -1 for cells.
    validation : ndarray of bool
        Role.
    """

    label: LabelConfig
    resolution: int
    request: Request
    target: Field
    station: Index
    validation: npt.NDArray[np.bool_]


def choose(
    config: TrainingConfig, context: TrainContext, labels: Labels, roles: Split, radius: int, rng: np.random.Generator
) -> list[Wanted]:
    """Return the samples of every label and resolution."""
    wanted = []
    for label in config.labels:
        for resolution in label.resolutions or config.resolutions:
            ratio = nominal_ratio(context.lattice, resolution)
            pick = _stations if label.kind == "stations" else _cells
            found = pick(label, resolution, ratio, config, context, labels, roles, radius, rng)
            if len(found.request.day):
                wanted.append(found)
    return wanted


def _cells(
    label: LabelConfig, resolution: int, ratio: int, config: TrainingConfig, context: TrainContext,
    labels: Labels, roles: Split, radius: int, rng: np.random.Generator,
) -> Wanted:  # fmt: skip
    values = labels.on_cells(label)
    known = np.asarray(np.isfinite(values).any(axis=0))
    size = patch_size(label, ratio)
    limit = config.samples_at(resolution, size)
    every = np.ones_like(roles.validation_cell)
    day, cell, held = _by_role(known, labels.period, roles.validation_cell, every, limit, config, rng)
    where = labels.cells[cell]
    starts = patch_starts(ratio, size)
    within = starts[rng.integers(0, len(starts), (len(day), 2))] if len(starts) > 1 else 0
    return Wanted(
        label, resolution,
        Request(ratio, where * ratio + within, size, radius, day, where, coarsening(config, context)),
        values[:, day, cell].T.copy(), np.full(len(day), -1), held,
    )  # fmt: skip


def patch_size(label: LabelConfig, ratio: int) -> int:
    """Return the side of a label's samples: whole cells where cells are the label, else patches."""
    return ratio if label.kind == "cell_mean" else min(PATCH, ratio)


def coarsening(config: TrainingConfig, context: TrainContext) -> int:
    """Return the configured step where the sequence's grid allows it, else 1."""
    ratio = sequence_ratio(context)
    return config.sequence_step if ratio and ratio % config.sequence_step == 0 else 1


def _stations(
    label: LabelConfig, resolution: int, ratio: int, config: TrainingConfig, context: TrainContext,
    labels: Labels, roles: Split, radius: int, rng: np.random.Generator,
) -> Wanted:  # fmt: skip
    stations = labels.stations
    known = np.asarray(np.isfinite(stations.values).any(axis=0))
    seen = ~roles.held_out
    day, station, held = _by_role(
        known, labels.period, roles.validation_station, seen, config.station_samples, config, rng
    )
    return Wanted(
        label, resolution,
        Request(ratio, stations.pixels(context.grid(ratio))[station], 1, radius, day, stations.cells[station]),
        stations.values[:, day, station].T.copy(), station, held,
    )  # fmt: skip


def _by_role(
    known: npt.NDArray[np.bool_],
    period: Period,
    validation: npt.NDArray[np.bool_],
    allowed: npt.NDArray[np.bool_],
    limit: int,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> tuple[Index, Index, npt.NDArray[np.bool_]]:
    """Return days and items of at most `limit` samples, training ones first, and which of them validate."""
    share = config.validation_fraction
    train = balanced(
        known & (allowed & ~validation) & period.training[:, None], max(1, round(limit * (1 - share))), rng
    )
    held = balanced(known & (allowed & validation) & period.validation[:, None], max(1, round(limit * share)), rng)
    validates = np.arange(len(train[0]) + len(held[0])) >= len(train[0])
    return np.concatenate([train[0], held[0]]), np.concatenate([train[1], held[1]]), validates


def balanced(known: npt.NDArray[np.bool_], limit: int, rng: np.random.Generator) -> tuple[Index, Index]:
    """Return at most `limit` of the known ``(day, item)`` pairs, as evenly over the items as they allow."""
    day, item = np.nonzero(known)
    chance = rng.random(len(day))
    by_item = np.lexsort((chance, item))
    starts = np.flatnonzero(np.diff(item[by_item], prepend=-1))
    rank = np.empty(len(day), dtype=np.int64)
    rank[by_item] = np.arange(len(day)) - np.repeat(starts, np.diff(np.append(starts, len(day))))
    take = np.sort(np.lexsort((rng.random(len(day)), rank))[:limit])
    return day[take], item[take]
