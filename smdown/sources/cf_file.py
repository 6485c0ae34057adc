"""A CF NetCDF or HDF5 file: opening it lazily, picking a variable, what its attributes say of packing and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import xarray as xr

from smdown.errors import InputError, SmdownError
from smdown.sources import blocks, hdf5
from smdown.sources.cf_time import find_time
from smdown.sources.config import Range
from smdown.sources.copies import local
from smdown.sources.files import READING_ERRORS
from smdown.sources.heaps import check_heaps
from smdown.sources.places import Place

SUFFIXES = (".nc", ".nc4", ".cdf", ".h5", ".hdf5")

T = TypeVar("T")


@contextmanager
def open_netcdf(path: Path, place: Place, group: str | None) -> Iterator[xr.Dataset]:
    """Open a local file, or the copy of a remote one, lazily, in this thread: NetCDF-4 by h5netcdf, NetCDF-3 by scipy.

    Raises
    ------
    InputError
        If it is neither, or damaged.
    """
    try:
        with path.open("rb") as stream:
            classic = stream.read(3) == b"CDF"
        if classic:
            dataset = xr.open_dataset(path, engine="scipy", decode_timedelta=False)
        else:
            check_heaps(path)
            dataset = _open_netcdf4(path, group)
        with dataset:
            yield dataset
    except SmdownError:
        raise
    except READING_ERRORS as error:
        raise unreadable(place, error) from error


def _open_netcdf4(source: Any, group: str | None) -> xr.Dataset:
    _check_axes(source, group)
    return xr.open_dataset(source, engine="h5netcdf", group=group, phony_dims="sort", decode_timedelta=False)


def _check_axes(source: Any, group: str | None) -> None:
    """Raise ValueError where an axis, which is read whole as the file is opened, claims more values than any has."""
    with h5py.File(source, "r") as file:
        for node in (file, *([file[group]] if group else [])):
            for name, axis in node.items():
                if isinstance(axis, h5py.Dataset) and axis.ndim == 1 and axis.size > hdf5.LARGEST:
                    raise ValueError(f"{name} claims {axis.size} values")


def look_netcdf(place: Place, group: str | None, use: Callable[[xr.Dataset], T]) -> T:
    """Return what `use` makes of an open file of which little is wanted: a remote NetCDF-4 is not copied for that.

    Parameters
    ----------
    place : Place
        Which file.
    group : str, optional
        Group inside.
    use : callable
        Takes the open dataset; may be called more than once.

    Raises
    ------
    InputError
        As :func:`open_netcdf`, or from `use`.
    """
    found = blocks.look(place, lambda stream: _use(stream, group, use)) if place.remote else None
    if found is not None:
        return found
    with local(place) as path, hdf5.LOCK, open_netcdf(path, place, group) as dataset:
        return use(dataset)


def _use(stream: Any, group: str | None, use: Callable[[xr.Dataset], T]) -> T:
    with hdf5.LOCK, _open_netcdf4(stream, group) as dataset:
        dataset.encoding["source"] = stream
        return use(dataset)


def unreadable(place: Place, error: BaseException) -> InputError:
    """Return the error for a file that cannot be read."""
    return InputError(f"got {place}, {place.why('NetCDF', error)}; download it again")


def pick(dataset: xr.Dataset, name: str, path: Place, select: Mapping[str, int]) -> xr.DataArray:
    """Return a variable without its extra dimensions: those of length one, and those of which one step is selected.

    Raises
    ------
    InputError
        If there is none of that name; the message names those that there are.
    """
    if name not in dataset.data_vars:
        raise InputError(f"got {path}, which has no variable {name!r}; it has {', '.join(map(str, dataset.data_vars))}")
    array = dataset[name]
    if array.dtype.kind not in "iufb":
        raise InputError(f"got {name} of {path}, which holds {array.dtype.name}, no numbers; correct variables")
    scale, offset = packing(array)
    if not (np.isfinite([scale, offset]).all() and scale):
        raise InputError(f"got {name} of {path} with scale {scale:g} and offset {offset:g}; the file is damaged")
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
