"""The labels of samples, in their own units."""

from __future__ import annotations

import numpy as np

from smdown.grid import Window
from smdown.training.choose import Wanted
from smdown.training.config import LabelConfig
from smdown.training.context import DriverLoader, Field, TrainContext
from smdown.training.cubic import MARGIN, cubic_cell
from smdown.training.samples import Request


def targets(wanted: Wanted, context: TrainContext, loader: DriverLoader, days: tuple[str, ...]) -> Field:
    """Return the targets of samples: ``(n, layer)`` for cell means, ``(n, layer, y, x)`` else; NaN where missing."""
    kind = wanted.label.kind
    if kind == "cell_mean":
        return wanted.target
    if kind == "stations":
        return wanted.target[:, :, None, None]
    return (_cubic if kind == "cubic" else _gridded)(wanted, context, loader, days)


def _cubic(wanted: Wanted, context: TrainContext, loader: DriverLoader, days: tuple[str, ...]) -> Field:
    request = wanted.request
    out = np.full((*wanted.target.shape, request.size, request.size), np.nan, dtype=np.float32)
    for i, ((y, x), day) in enumerate(zip(request.cells.tolist(), request.day, strict=True)):
        around = Window(y, y + 1, x, x + 1).expand(MARGIN)
        for n, layer in enumerate(context.layers):
            if np.isfinite(wanted.target[i, n]):
                found = loader.coarse(layer.source, layer.variable, around, np.datetime64(days[day], "ns"))
                out[i, n] = cubic_patch(found, request, i)
    return out


def cubic_patch(around: Field, request: Request, i: int) -> Field:
    """Return the cubic label of one sample from its cell and the cells around."""
    y, x = request.corner[i] - request.cells[i] * request.ratio
    return cubic_cell(around, request.ratio, slice(y, y + request.size), slice(x, x + request.size))


def _gridded(wanted: Wanted, context: TrainContext, loader: DriverLoader, days: tuple[str, ...]) -> Field:
    request = wanted.request
    out = np.full((*wanted.target.shape, request.size, request.size), np.nan, dtype=np.float32)
    for i, ((y, x), day) in enumerate(zip(request.corner.tolist(), request.day, strict=True)):
        window = Window(y, y + request.size, x, x + request.size)
        out[i] = read_product(loader, context, wanted.label, request.ratio, window, np.datetime64(days[day], "ns"))
    return out


def read_product(
    loader: DriverLoader, context: TrainContext, label: LabelConfig, ratio: int, window: Window, day: np.datetime64
) -> Field:
    """Return a gridded label in a window, ``(layer, y, x)``; NaN for layers that it does not have."""
    out = np.full((len(context.layers), *window.shape), np.nan, dtype=np.float32)
    for n, layer in enumerate(context.layers):
        if layer.name in label.variables:
            out[n] = loader.gridded(label.source, label.variables[layer.name], context.grid(ratio), window, day)
    return out
