"""CF NetCDF: longitude-latitude or projected grids, any order of axes, any number of time steps a day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import Window
from smdown.sources.cf_axes import CfGrid, cf_grid
from smdown.sources.cf_time import Step, days_of_steps, find_time, steps_of
from smdown.sources.config import NetcdfConfig, Range
from smdown.sources.context import IngestContext, needed_window, subset
from smdown.sources.files import find_files, why_unreadable
from smdown.sources.prepared import Block, Float32, PreparedGrid
from smdown.sources.values import Mean, clean

_READ_VALUES = 4_000_000
SUFFIXES = (".nc", ".nc4", ".cdf", ".h5", ".hdf5")


@dataclass(kw_only=True)
class PreparedNetcdf(PreparedGrid):
    """Checked NetCDF files."""

    config: NetcdfConfig
    files: tuple[Path, ...]
    origin: Window
    steps: tuple[dict[str, tuple[Step, ...]], ...]

    def blocks(self) -> Iterator[Block]:
        """Yield variable by variable, day by day, shard by shard; one file is open at a time for each day."""
        for variable, days in zip(self.variables, self.steps, strict=True):
            with ExitStack() as stack:
                reader = _Reader(self.config, variable.name, stack)
                if not variable.timed:
                    yield from self._static(reader, variable)
                    continue
                for time, day in enumerate(self.times):
                    for window in self.windows():
                        place = window.shift(self.origin.y0, self.origin.x0)
                        yield Block(variable.name, window, time, self._day(reader, days.get(day, ()), place))

    @property
    def block_bytes(self) -> int:
        """Memory of the time steps of one shard that are read together, while they are decoded."""
        return 48 * max(_READ_VALUES, self.shard_pixels)

    def _static(self, reader: _Reader, variable: Variable) -> Iterator[Block]:
        for window in self.windows():
            place = window.shift(self.origin.y0, self.origin.x0)
            yield Block(variable.name, window, None, reader.read(self.files[0], None, place).astype(np.float32))

    def _day(self, reader: _Reader, steps: tuple[Step, ...], place: Window) -> Float32:
        total = Mean(place.shape)
        for path, run in runs(steps, max(1, _READ_VALUES // place.size)):
            for values in reader.read(path, run, place):
                total.add(values)
        return total.total() if self.config.daily == "sum" else total.mean()


def runs(steps: tuple[Step, ...], longest: int) -> Iterator[tuple[Path, slice]]:
    """Yield the files and the slices of consecutive time steps, none longer than `longest`."""
    start = 0
    for n in range(1, len(steps) + 1):
        first, last = steps[start], steps[n - 1]
        follows = n < len(steps) and steps[n].path == first.path and steps[n].index == last.index + 1
        if not follows or n - start == longest:
            yield first.path, slice(first.index, last.index + 1)
            start = n


class _Reader:
    """Reads windows of one variable, keeping the last file open."""

    def __init__(self, config: NetcdfConfig, name: str, stack: ExitStack) -> None:
        self._config, self._name, self._stack = config, name, stack
        self._path: Path | None = None
        self._array = xr.DataArray()
        self._grid: CfGrid | None = None

    def read(self, path: Path, steps: slice | None, window: Window) -> Any:
        """Return ``(time, y, x)`` of some steps, or ``(y, x)`` where there is no time; NaN for missing."""
        if path != self._path:
            self._open(path)
        assert self._grid is not None
        time = find_time(self._array)
        array = self._array if time is None else self._array.isel({time: 0 if steps is None else steps})
        try:
            raw = self._grid.read(array, window)
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreadable(path, error) from error
        limits = self._config.range_of(self._name) or stated_range(self._array)
        fills = () if self._config.nodata is None else (self._config.nodata,)
        return clean(raw, fills=fills, valid_range=limits)

    def _open(self, path: Path) -> None:
        self._stack.pop_all().close()
        dataset = self._stack.enter_context(open_netcdf(path, self._config.group))
        self._array = pick(dataset, self._config.variables[self._name], path)
        self._grid = cf_grid(dataset, self._array, self._config.crs, f"{self._name} of {path}")
        self._path = path


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
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> InputError:
    return InputError(f"got {path}, {why_unreadable(path, 'NetCDF', error)}; download it again")


def pick(dataset: xr.Dataset, name: str, path: Path) -> xr.DataArray:
    """Return a variable without its extra dimensions of length one.

    Raises
    ------
    InputError
        If there is none of that name; the message names those that there are.
    """
    if name not in dataset.data_vars:
        raise InputError(f"got {path}, which has no variable {name!r}; it has {', '.join(map(str, dataset.data_vars))}")
    array = dataset[name]
    time = find_time(array)
    extra = [d for d in array.dims if array.sizes[d] == 1 and d != time and array.ndim > 2 and not _spatial(d)]
    array = array.isel(dict.fromkeys(extra, 0))
    if array.ndim - (time is not None) != 2:
        raise InputError(f"got {name} of {path} with dimensions {tuple(array.dims)}; it needs y, x and at most a time")
    return array


def _spatial(dim: Any) -> bool:
    return str(dim).lower() in {"x", "y", "lat", "lon", "latitude", "longitude"}


def stated_range(array: xr.DataArray) -> Range | None:
    """Return the physical limits that attributes state (given as stored, so scale and offset apply)."""
    attrs = array.attrs
    pair = attrs.get("valid_range", (attrs.get("valid_min"), attrs.get("valid_max")))
    try:
        low, high = (float(v) for v in np.asarray(pair).reshape(-1))
    except (TypeError, ValueError):
        return None
    scale, offset = (float(array.encoding.get(k, d)) for k, d in (("scale_factor", 1.0), ("add_offset", 0.0)))
    low, high = sorted((low * scale + offset, high * scale + offset))
    return (low, high) if low < high else None


def prepare(config: NetcdfConfig, context: IngestContext) -> PreparedNetcdf:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    files = input_files(config)
    steps: dict[str, list[Step]] = {name: [] for name in config.variables}
    grid: CfGrid | None = None
    described: dict[str, Variable] = {}
    for path in files:
        with open_netcdf(path, config.group) as dataset:
            for name, inside in config.variables.items():
                array = pick(dataset, inside, path)
                steps[name] += steps_of(array, path, config.shift_hours)
                found = cf_grid(dataset, array, config.crs, f"{name} of {path}")
                grid = _same_grid(grid, found, files[0], path)
                described.setdefault(name, _variable(config, name, array))
    assert grid is not None
    window, share = needed_window(grid.raster, context, str(files[0]))
    notes = [] if share > 0.999 else [f"covers {share:.0%} of the extent"]
    days = {n: days_of_steps(s, context, config, n, notes) for n, s in steps.items()}
    variables = tuple(_timed(v) if days[n] is not None else v for n, v in described.items())
    times = tuple(sorted({day for found_days in days.values() if found_days for day in found_days}))
    return PreparedNetcdf(
        raster=subset(grid.raster, window),
        variables=variables,
        times=times,
        inputs=files[0].name if len(files) == 1 else f"{len(files)} NetCDF files, {files[0].name} and on",
        notes=notes,
        config=config,
        files=files,
        origin=window,
        steps=tuple(days[v.name] or {} for v in variables),
    )


def input_files(config: NetcdfConfig) -> tuple[Path, ...]:
    """Return the files that the source names."""
    return find_files(config.paths, SUFFIXES)


def _same_grid(known: CfGrid | None, found: CfGrid, first: Path, path: Path) -> CfGrid:
    if known is not None and known.raster != found.raster:
        raise InputError(f"got {first.name} and {path.name}, whose grids differ; make them separate sources")
    return found


def _timed(variable: Variable) -> Variable:
    return replace(variable, dims=("time", "y", "x"))


def _variable(config: NetcdfConfig, name: str, array: xr.DataArray) -> Variable:
    def told(key: str) -> str:
        value = str(array.attrs.get(key, ""))
        return "" if value == "unknown" else value

    return Variable(
        name,
        units=config.units_of(name) or told("units").replace("**", ""),
        long_name=told("long_name"),
        standard_name=told("standard_name"),
        valid_range=config.range_of(name),
    )
