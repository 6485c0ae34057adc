"""A CF NetCDF or HDF5 file: opening it lazily, picking a variable, what its attributes say of packing and limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from smdown.errors import InputError
from smdown.sources.cf_time import find_time
from smdown.sources.config import Range
from smdown.sources.files import why_unreadable

SUFFIXES = (".nc", ".nc4", ".cdf", ".h5", ".hdf5")


def open_netcdf(path: Path, group: str | None) -> xr.Dataset:
    """Open a NetCDF file lazily, in this thread: NetCDF-4 by h5netcdf, NetCDF-3 by scipy.

    Raises
    ------
    InputError
        If it is neither, or damaged.
    """
    try:
        with path.open("rb") as stream:
            classic = stream.read(3) == b"CDF"
        if classic:
            return xr.open_dataset(path, engine="scipy", decode_timedelta=False)
        return xr.open_dataset(path, engine="h5netcdf", group=group, phony_dims="sort", decode_timedelta=False)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: BaseException) -> InputError:
    """Return the error for a file that cannot be read."""
    return InputError(f"got {path}, {why_unreadable(path, 'NetCDF', error)}; download it again")


def pick(dataset: xr.Dataset, name: str, path: Path, select: Mapping[str, int]) -> xr.DataArray:
    """Return a variable without its extra dimensions: those of length one, and those of which one step is selected.

    Raises
    ------
    InputError
        If there is none of that name; the message names those that there are.
    """
    if name not in dataset.data_vars:
        raise InputError(f"got {path}, which has no variable {name!r}; it has {', '.join(map(str, dataset.data_vars))}")
    array = dataset[name]
    chosen = {dim: index for dim, index in select.items() if dim in array.dims}
    if beyond := [dim for dim, index in chosen.items() if not 0 <= index < array.sizes[dim]]:
        raise InputError(f"got {name} of {path} with {array.sizes[beyond[0]]} steps of {beyond[0]}; correct select")
    array = array.isel(chosen)
    time = find_time(array)
    extra = [d for d in array.dims if array.sizes[d] == 1 and d != time and array.ndim > 2 and not _spatial(d)]
    array = array.isel(dict.fromkeys(extra, 0))
    if array.ndim - (time is not None) != 2:
        dims = tuple(array.dims)
        raise InputError(f"got {name} of {path} with dimensions {dims}; it needs y, x and at most a time; set select")
    return array


def _spatial(dim: Any) -> bool:
    return str(dim).lower() in {"x", "y", "lat", "lon", "latitude", "longitude"}


def packing(array: xr.DataArray) -> tuple[float, float]:
    """Return the scale and offset that turned stored numbers into the array's."""
    scale, offset = (array.encoding.get(k, d) for k, d in (("scale_factor", 1.0), ("add_offset", 0.0)))
    return float(np.asarray(scale).reshape(-1)[0]), float(np.asarray(offset).reshape(-1)[0])


def stated_range(array: xr.DataArray) -> Range | None:
    """Return the physical limits that attributes state (given as stored, so scale and offset apply)."""
    attrs = array.attrs
    pair = attrs.get("valid_range", (attrs.get("valid_min"), attrs.get("valid_max")))
    try:
        low, high = (float(v) for v in np.asarray(pair).reshape(-1))
    except (TypeError, ValueError):
        return None
    scale, offset = packing(array)
    low, high = sorted((low * scale + offset, high * scale + offset))
    return (low, high) if low < high else None
