"""How much drivers vary on the map, beside how much they did in training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.grid import Window
from smdown.training.context import DriverLoader, Field, TrainContext
from smdown.training.moments import Moments
from smdown.training.splits import Cells
from smdown.training.standardise import Scaler

WINDOWS = 48
"""Windows of the map that are looked at."""
SIDE_PX = 24
LARGEST = 30.0
"""Largest ratio that is taken: more says that training hardly saw the driver vary at all."""


def map_spread(
    loader: DriverLoader, context: TrainContext, cells: Cells, days: tuple[str, ...], fine: Scaler, seed: int
) -> npt.NDArray[np.float64]:
    """Return the standard deviation of every driver on the map's pixels, in standard deviations of the training.

    Parameters
    ----------
    loader : DriverLoader
        Fills windows.
    context : TrainContext
        The region, and its pixels on the map.
    cells : ndarray
        Cells to look into.
    days : tuple of str
        Days to look at.
    fine : Scaler
        Statistics of the training.
    seed : int
        Of the windows.

    Returns
    -------
    ndarray
        float64 ``(driver,)``, at least 1: small windows say little of what varies across the whole region.
    """
    rng = np.random.default_rng(seed)
    total = Moments.zero(len(context.spec.names))
    for _ in range(WINDOWS):
        total = total + Moments.of(_window(loader, context, cells, days, rng))
    ratio = np.where(total.count > 1, total.std / fine.std.numpy().astype(np.float64), 1.0)
    return np.clip(ratio, 1.0, LARGEST)


def _window(
    loader: DriverLoader, context: TrainContext, cells: Cells, days: tuple[str, ...], rng: np.random.Generator
) -> Field:
    """Return all drivers of a small window of the map, anywhere in a cell, on some day."""
    grid = context.grid(context.map_ratio)
    row, col = cells[rng.integers(len(cells))]
    side = min(SIDE_PX, grid.ratio)
    y0, x0 = (int(i) * grid.ratio + int(rng.integers(grid.ratio - side + 1)) for i in (row, col))
    window = Window(y0, y0 + side, x0, x0 + side)
    day = np.datetime64(days[rng.integers(len(days))], "ns")
    names = list(context.spec.names)
    out = np.empty((len(names), *window.shape), dtype=np.float32)
    if context.spec.static_names:
        out[[names.index(name) for name in context.spec.static_names]] = loader.static(grid, window)
    if context.spec.dynamic_names:
        out[[names.index(name) for name in context.spec.dynamic_names]] = loader.dynamic(grid, window, day)
    return out
