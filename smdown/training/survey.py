"""A cheap look at the region before anything is read: which cells have labels, and which are sampled."""

from __future__ import annotations

from typing import Any

import numpy as np

from smdown.grid import nominal_ratio
from smdown.training.config import TrainingConfig
from smdown.training.context import DriverLoader, Field, TrainContext
from smdown.training.labels import bounding, read_groups
from smdown.training.splits import Cells, sample_cells
from smdown.training.strata import Vector, draw_blocks, strata

PROBED_DAYS = 8
"""Days, spread over the period, on which the coarse product is looked at everywhere."""
CANDIDATES = 4
"""Cells that are looked at for each that is sampled."""


def sampled_cells(
    config: TrainingConfig, context: TrainContext, loader: DriverLoader, days: tuple[str, ...], rng: np.random.Generator
) -> Cells:
    """Return the cells that are sampled: all where they are few enough, else wet, dry, steep and flat ones alike."""
    if context.cells.size <= config.max_cells:
        return sample_cells(context.cells, config.block_cells, config.max_cells, rng)
    cells = sample_cells(context.cells, config.block_cells, CANDIDATES * config.max_cells, rng)
    wet = probe(loader, context, cells, days)[0].mean(axis=0)
    if np.isfinite(wet).any():
        cells, wet = cells[np.isfinite(wet)], wet[np.isfinite(wet)]
    if len(cells) <= config.max_cells:
        return cells
    ratio = nominal_ratio(context.lattice, max(config.resolutions))
    kinds = strata(wet, relief(loader, context, cells, ratio))
    return draw_blocks(cells, config.block_cells, kinds, config.max_cells, config.rare_cells, rng)


def probe(loader: DriverLoader, context: TrainContext, cells: Cells, days: tuple[str, ...]) -> Field:
    """Return the coarse product on a few days, ``(layer, 1, cell)``: the mean over those on which it is there."""
    window = bounding(cells)
    rows, cols = cells.T - np.array([[window.y0], [window.x0]])
    out = np.full((len(context.layers), 1, len(cells)), np.nan, dtype=np.float32)
    for n, layer in enumerate(context.layers):
        total, count = np.zeros(len(cells)), np.zeros(len(cells))
        for day in np.unique(np.linspace(0, len(days) - 1, PROBED_DAYS).round().astype(int)):
            field = loader.coarse(layer.source, layer.variable, window, np.datetime64(days[day], "ns"))[rows, cols]
            total += np.nan_to_num(field)
            count += np.isfinite(field)
        out[n, 0, count > 0] = (total / np.maximum(count, 1))[count > 0]
    return out


def relief(loader: DriverLoader, context: TrainContext, cells: Cells, ratio: int) -> Vector:
    """Return how steep each cell is: the mean slope, or the spread of elevation, whichever is a driver; else 0."""
    out = np.zeros(len(cells))
    name = _named(context.spec, "slope") or _named(context.spec, "elevation")
    if name is None:
        return out
    steep = name == _named(context.spec, "slope")
    for window, members in read_groups(cells, ratio):
        field = loader.static(context.grid(ratio), window.refine(ratio), [name])[0]
        blocks = field.reshape(window.height, ratio, window.width, ratio)
        with np.errstate(invalid="ignore"):
            measure = blocks.mean(axis=(1, 3)) if steep else blocks.std(axis=(1, 3))
        out[members] = measure[tuple(cells[members].T - np.array([[window.y0], [window.x0]]))]
    return out


def _named(spec: Any, what: str) -> str | None:
    """Return the first static driver that measures something, by its measure, its variable or its name."""
    for driver in spec.drivers:
        if driver.name in spec.static_names:
            measure = getattr(driver, "measure", None)
            if what in (measure or getattr(driver, "variable", driver.name), driver.name):
                return str(driver.name)
    return None
