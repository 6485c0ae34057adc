"""Drivers and sources as lazy datasets, for people who explore."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from smdown.cubes import open_cube
from smdown.cubes.layout import axis_attrs, grid_mapping
from smdown.errors import CubeError
from smdown.features.config import Resampling
from smdown.features.loader import get_loader
from smdown.features.reader import SourceReader
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
    times = np.array(days, dtype="datetime64[ns]")
    chunks = tuple(_chunks(size, cells_per_chunk * grid.ratio) for size in grid.shape)
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
    return xr.Dataset(fields, coords=_coords(grid, times))


def lazy_source(
    url: str, grid: NestedGrid, *, names: Sequence[str] | None = None, method: Resampling = "auto",
    cells_per_chunk: int = CHUNK_CELLS,
) -> xr.Dataset:  # fmt: skip
    """Return the variables of one source cube on a nested grid; nothing is resampled until it is asked for.

    Parameters
    ----------
    url : str
        The cube: a path, or any address that fsspec reads.
    grid : NestedGrid
        Grid of the result.
    names : sequence of str, optional
        Variables; all by default.
    method : str
        Kernel, as in :meth:`smdown.features.reader.SourceReader.read`.
    cells_per_chunk : int
        Coarse cells along one side of a chunk: one task for each chunk, variable and time.

    Returns
    -------
    xarray.Dataset
        ``(y, x)`` and ``(time, y, x)`` float32 variables with CF georeferencing.

    Raises
    ------
    CubeError
        If there is no such cube, or it has no such variable.
    """
    cube = open_cube(url)
    unknown = [name for name in names or () if name not in cube.variables]
    if unknown:
        raise CubeError(f"got {', '.join(unknown)}; {url} has the variables {', '.join(cube.variables)}")
    chunks = tuple(_chunks(size, cells_per_chunk * grid.ratio) for size in grid.shape)
    fields: dict[str, tuple[tuple[str, ...], da.Array, dict[str, str]]] = {}
    for name in names or cube.variables:
        variable = cube.variables[name]
        block = {"url": url, "variable": name, "grid": grid, "method": method, "dtype": np.float32}
        if variable.timed:
            array = da.map_blocks(
                _timed_source_block, **block, chunks=((1,) * len(cube.times), *chunks), meta=np.empty((0, 0, 0), "f4")
            )
        else:
            array = da.map_blocks(_source_block, **block, chunks=chunks, meta=np.empty((0, 0), "f4"))
        attrs = {"units": variable.units, "long_name": variable.long_name, "grid_mapping": "spatial_ref"}
        fields[name] = (variable.dims, array, {k: v for k, v in attrs.items() if v})
    return xr.Dataset(fields, coords=_coords(grid, cube.times))


def _coords(grid: NestedGrid, times: npt.NDArray[np.datetime64]) -> dict[str, Any]:
    axes = axis_attrs(grid.raster)
    time = {"time": ("time", times, {"standard_name": "time", "axis": "T"})} if len(times) else {}
    return {
        **time,
        "y": ("y", grid.raster.y, axes["y"]),
        "x": ("x", grid.raster.x, axes["x"]),
        "spatial_ref": ((), 0, grid_mapping(grid.raster)),
    }


@lru_cache(maxsize=16)
def _source_reader(url: str, region: NestedGrid) -> SourceReader:
    return SourceReader(open_cube(url), region)


def _source_block(
    url: str,
    variable: str,
    grid: NestedGrid,
    method: Resampling,
    block_info: dict[None, dict[str, list[tuple[int, int]]]],
) -> F32:
    window = _place(grid, block_info[None]["array-location"])
    return _source_reader(url, grid).read((variable,), grid, window, (), method)[0, 0]


def _timed_source_block(
    url: str,
    variable: str,
    grid: NestedGrid,
    method: Resampling,
    block_info: dict[None, dict[str, list[tuple[int, int]]]],
) -> F32:
    time, *location = block_info[None]["array-location"]
    return _source_reader(url, grid).read((variable,), grid, _place(grid, location), (time[0],), method)[0]


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
