"""Labels: the coarse product on the sampled cells, and stations on their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from pyproj import Transformer

from smdown.grid import NestedGrid, Window
from smdown.training.config import LabelConfig
from smdown.training.context import DriverLoader, Field, Layer, TrainContext
from smdown.training.splits import Cells

READ_PIXELS = 128
"""Side of the windows that are read at once, in pixels of whatever grid."""


@dataclass(frozen=True)
class Stations:
    """Station series on the sampled days.

    Parameters
    ----------
    names : tuple of str
        Station identifiers.
    x, y : ndarray
        Coordinates in the lattice's reference system.
    cells : ndarray
        ``(station, 2)``: the cell that holds each.
    values : ndarray
        float32, ``(layer, day, station)``.
    """

    names: tuple[str, ...]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    cells: Cells
    values: Field

    def pixels(self, grid: NestedGrid) -> Cells:
        """Return the global ``(row, column)`` of the pixel that holds each station."""
        lattice = grid.lattice
        size = lattice.cell / grid.ratio
        rows = np.floor((lattice.y0 - self.y) / size)
        cols = np.floor((self.x - lattice.x0) / size)
        return np.stack([rows, cols], axis=1).astype(np.int64)


def read_stations(data: xr.Dataset, context: TrainContext, days: tuple[str, ...]) -> Stations:
    """Return the stations inside the region that report any layer on any of the days."""
    transformer = Transformer.from_crs("EPSG:4326", context.lattice.crs, always_xy=True)
    x, y = transformer.transform(data["longitude"].to_numpy(), data["latitude"].to_numpy())
    found = Stations(
        tuple(str(name) for name in data["station"].to_numpy()),
        np.asarray(x, dtype=np.float64),
        np.asarray(y, dtype=np.float64),
        np.empty((0, 2), dtype=np.int64),
        np.stack([_series(data, layer, days) for layer in context.layers]),
    )
    cells = found.pixels(context.grid(1))
    w = context.cells
    inside = (cells >= [w.y0, w.x0]).all(axis=1) & (cells < [w.y1, w.x1]).all(axis=1)
    keep = np.flatnonzero(inside & np.isfinite(found.values).any(axis=(0, 1)))
    return Stations(
        tuple(found.names[i] for i in keep), found.x[keep], found.y[keep], cells[keep], found.values[:, :, keep]
    )


def no_stations(context: TrainContext, days: tuple[str, ...]) -> Stations:
    """Return the stations of a project that has none."""
    nothing = np.empty(0)
    values = np.empty((len(context.layers), len(days), 0), dtype=np.float32)
    return Stations((), nothing, nothing, np.empty((0, 2), dtype=np.int64), values)


def _series(data: xr.Dataset, layer: Layer, days: tuple[str, ...]) -> Field:
    """Return ``(day, station)`` of a layer, NaN where nothing was reported."""
    if layer.name not in data:
        return np.full((len(days), data.sizes["station"]), np.nan, dtype=np.float32)
    wanted = np.array(days, dtype="datetime64[ns]")
    return data[layer.name].transpose("time", "station").reindex(time=wanted).to_numpy().astype(np.float32)


def read_groups(cells: Cells, ratio: int) -> Iterator[tuple[Window, npt.NDArray[np.int64]]]:
    """Yield windows of cells that are read at once at a ratio, with the numbers of the cells that each serves."""
    side = max(1, READ_PIXELS // ratio)
    _, group = np.unique(cells // side, axis=0, return_inverse=True)
    group = group.reshape(-1)
    for g in range(int(group.max()) + 1 if len(group) else 0):
        members = np.flatnonzero(group == g)
        yield bounding(cells[members]), members


def bounding(cells: Cells) -> Window:
    """Return the smallest window that holds the cells."""
    (y0, x0), (y1, x1) = cells.min(axis=0), cells.max(axis=0) + 1
    return Window(int(y0), int(y1), int(x0), int(x1))


def read_finer(
    loader: DriverLoader, context: TrainContext, label: LabelConfig, cells: Cells, days: tuple[str, ...]
) -> Field:
    """Return the cell averages of a gridded label, ``(layer, day, cell)``; NaN for layers that it does not have."""
    out = np.full((len(context.layers), len(days), len(cells)), np.nan, dtype=np.float32)
    grid = context.grid(1)
    for window, members in read_groups(cells, 1):
        rows, cols = cells[members].T - np.array([[window.y0], [window.x0]])
        for n, layer in enumerate(context.layers):
            if layer.name in label.variables:
                for d, day in enumerate(days):
                    variable = label.variables[layer.name]
                    field = loader.gridded(label.source, variable, grid, window, np.datetime64(day, "ns"))
                    out[n, d, members] = field[rows, cols]
    return out


def read_coarse(loader: DriverLoader, context: TrainContext, cells: Cells, days: tuple[str, ...]) -> Field:
    """Return the coarse product of every layer, ``(layer, day, cell)``."""
    out = np.full((len(context.layers), len(days), len(cells)), np.nan, dtype=np.float32)
    for window, members in read_groups(cells, 1):
        rows, cols = cells[members].T - np.array([[window.y0], [window.x0]])
        for n, layer in enumerate(context.layers):
            for d, day in enumerate(days):
                field = loader.coarse(layer.source, layer.variable, window, np.datetime64(day, "ns"))
                out[n, d, members] = field[rows, cols]
    return out
