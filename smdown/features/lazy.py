"""Drivers as a lazy dataset, for people who explore."""

from __future__ import annotations

from collections.abc import Sequence

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from smdown.cubes.layout import axis_attrs, grid_mapping
from smdown.features.loader import get_loader
from smdown.features.spec import FeatureSpec
from smdown.grid import NestedGrid, Window

F32 = npt.NDArray[np.float32]
CHUNK_CELLS = 4


def lazy_dataset(
    spec: FeatureSpec, grid: NestedGrid, days: Sequence[str], cells_per_chunk: int = CHUNK_CELLS
) -> xr.Dataset:
    """Return every driver on a nested grid; nothing is read or computed until it is asked for.

    Parameters
    ----------
    spec : FeatureSpec
        Drivers and places.
    grid : NestedGrid
        Grid of the result.
    days : sequence of str
        ISO days of the drivers that change.
    cells_per_chunk : int
        Coarse cells along one side of a chunk.

    Returns
    -------
    xarray.Dataset
        ``(y, x)`` and ``(time, y, x)`` float32 variables with CF georeferencing.
    """
    side = cells_per_chunk * grid.ratio
    times = np.array(days, dtype="datetime64[ns]")
    chunks = tuple(_chunks(size, side) for size in grid.shape)
    units = spec.units
    fields: dict[str, tuple[tuple[str, ...], da.Array, dict[str, str]]] = {}
    for n, name in enumerate(spec.static_names):
        array = da.map_blocks(
            _static_block,
            spec=spec,
            grid=grid,
            index=n,
            chunks=chunks,
            dtype=np.float32,
            meta=np.empty((0, 0), np.float32),
        )
        fields[name] = (("y", "x"), array, {"units": units[name], "grid_mapping": "spatial_ref"})
    for n, name in enumerate(spec.dynamic_names):
        array = da.map_blocks(
            _dynamic_block, spec=spec, grid=grid, index=n, times=times, chunks=((1,) * len(times), *chunks),
            dtype=np.float32, meta=np.empty((0, 0, 0), np.float32),
        )  # fmt: skip
        fields[name] = (("time", "y", "x"), array, {"units": units[name], "grid_mapping": "spatial_ref"})
    axes = axis_attrs(grid.raster)
    coords = {
        "time": times,
        "y": ("y", grid.raster.y, axes["y"]),
        "x": ("x", grid.raster.x, axes["x"]),
        "spatial_ref": ((), 0, grid_mapping(grid.raster)),
    }
    return xr.Dataset(fields, coords=coords)


def _chunks(size: int, side: int) -> tuple[int, ...]:
    return tuple(min(side, size - start) for start in range(0, size, side))


def _place(grid: NestedGrid, location: Sequence[tuple[int, int]]) -> Window:
    (y0, y1), (x0, x1) = location
    return Window(y0, y1, x0, x1).shift(grid.window.y0, grid.window.x0)


def _static_block(
    spec: FeatureSpec, grid: NestedGrid, index: int, block_info: dict[None, dict[str, list[tuple[int, int]]]]
) -> F32:
    window = _place(grid, block_info[None]["array-location"])
    return get_loader(spec).static(grid, window, [spec.static_names[index]])[0]


def _dynamic_block(
    spec: FeatureSpec, grid: NestedGrid, index: int, times: npt.NDArray[np.datetime64],
    block_info: dict[None, dict[str, list[tuple[int, int]]]],
) -> F32:  # fmt: skip
    time, *location = block_info[None]["array-location"]
    window = _place(grid, location)
    return get_loader(spec).dynamic(grid, window, times[time[0]], [spec.dynamic_names[index]])
