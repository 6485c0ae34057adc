"""CF NetCDF: longitude-latitude or projected grids, any order of axes, any number of time steps a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import xarray as xr

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import Window
from smdown.sources import hdf5
from smdown.sources.aside import SetAside, blame
from smdown.sources.cf_axes import CfGrid, cf_grid
from smdown.sources.cf_file import SUFFIXES, look_netcdf, open_netcdf, packing, pick, stated_range, unreadable
from smdown.sources.cf_time import Step, days_of_steps, find_time, steps_of
from smdown.sources.config import NetcdfConfig
from smdown.sources.context import IngestContext, needed_window, subset
from smdown.sources.copies import local
from smdown.sources.files import READING_ERRORS
from smdown.sources.inputs import source_files
from smdown.sources.places import Place
from smdown.sources.prepared import Block, Part, PreparedGrid
from smdown.sources.turns import nearest_turn
from smdown.sources.values import Float32, Mean, check_units, clean

_READ_VALUES = 4_000_000


@dataclass(kw_only=True)
class PreparedNetcdf(PreparedGrid):
    """Checked NetCDF files."""

    config: NetcdfConfig
    files: tuple[Place, ...]
    origin: Window
    steps: tuple[dict[str, tuple[Step, ...]], ...]

    def blocks(self) -> Iterator[Block]:
        """Yield variable by variable, day by day, shard by shard; one file is open at a time for each day."""
        for variable, days in zip(self.variables, self.steps, strict=True):
            with ExitStack() as stack:
                reader = _Reader(self, variable.name, stack)
                if not variable.timed:
                    yield from self._static(reader, variable) if self.part_times[0] == 0 else ()
                    continue
                for time in self.part_times:
                    for window in self.windows():
                        place = window.shift(self.origin.y0, self.origin.x0)
                        steps = days.get(self.times[time], ())
                        yield Block(variable.name, window, time, self._day(reader, steps, place))

    def narrowed(self, part: Part) -> Self:
        """Return the same source for one part, with the time steps of its days alone."""
        wanted = set(self.times[slice(*part.times)])
        steps = tuple({day: found for day, found in days.items() if day in wanted} for days in self.steps)
        return replace(super().narrowed(part), steps=steps)

    def without(self, item: str) -> Self:
        """Return the same source without a file."""
        files = tuple(path for path in self.files if str(path) != item)
        steps = tuple(
            {day: tuple(s for s in found if str(s.path) != item) for day, found in days.items()} for days in self.steps
        )
        return replace(self, files=files, steps=steps, watches={})

    @property
    def block_bytes(self) -> int:
        """Memory of the time steps of one shard that are read together, while they are decoded."""
        return 48 * max(_READ_VALUES, self.shard_pixels)

    def _static(self, reader: _Reader, variable: Variable) -> Iterator[Block]:
        for window in self.windows():
            place = window.shift(self.origin.y0, self.origin.x0)
            values = np.full(place.shape, np.nan, dtype=np.float32)
            if self.files:
                values[...] = reader.read(self.files[0], None, place)
            yield Block(variable.name, window, None, values)

    def _day(self, reader: _Reader, steps: tuple[Step, ...], place: Window) -> Float32:
        total = Mean(place.shape)
        for path, run in runs(steps, max(1, _READ_VALUES // place.size)):
            for values in reader.read(path, run, place):
                total.add(values)
        return total.total() if self.config.daily == "sum" else total.mean()


def runs(steps: tuple[Step, ...], longest: int) -> Iterator[tuple[Place, slice]]:
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

    def __init__(self, source: PreparedNetcdf, name: str, stack: ExitStack) -> None:
        self._source, self._config, self._name, self._stack = source, source.config, name, stack
        self._path: Place | None = None
        self._array = xr.DataArray()
        self._grid: CfGrid | None = None

    def read(self, path: Place, steps: slice | None, window: Window) -> Any:
        """Return ``(time, y, x)`` of some steps, or ``(y, x)`` where there is no time; NaN for missing."""
        with blame(path):
            if path != self._path:
                self._open(path)
        with hdf5.LOCK, blame(path):
            assert self._grid is not None
            time = find_time(self._array)
            array = self._array if time is None else self._array.isel({time: 0 if steps is None else steps})
            try:
                raw = self._grid.read(array, window)
            except READING_ERRORS as error:
                raise unreadable(path, error) from error
        return self._clean(path, raw)

    def _clean(self, path: Place, raw: Any) -> Any:
        limits = self._config.range_of(self._name) or stated_range(self._array)
        fills = () if self._config.nodata is None else (self._config.nodata,)
        values = clean(raw, fills=fills)
        self._source.watch(path, self._name, *packing(self._array), limits).look(values)
        values = values if limits is None else clean(values, valid_range=limits)
        self._source.used.add(str(path))
        return values

    def _open(self, path: Place) -> None:
        self._path = None
        with hdf5.LOCK:
            self._stack.pop_all().close()
        copy = self._stack.enter_context(local(path))
        with hdf5.LOCK:
            dataset = self._stack.enter_context(open_netcdf(copy, path, self._config.group))
            self._array = pick(dataset, self._config.variables[self._name], path, self._config.select)
            self._grid = cf_grid(dataset, self._array, self._config.crs, f"{self._name} of {path}")
        self._path = path


@dataclass(frozen=True)
class _Look:
    """What one file says of itself."""

    path: Place
    grid: CfGrid
    steps: dict[str, list[Step]]
    variables: dict[str, Variable]


def prepare(config: NetcdfConfig, context: IngestContext) -> PreparedNetcdf:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    aside, notes = SetAside(context.strict), list[str]()
    paths = input_files(config, context, aside)
    seen = [aside.attempt(path, lambda path=path: _look_at(path, config)) for path in paths]  # type: ignore[misc]
    looks = _of_one_unit(_of_one_grid([look for look in seen if look is not None], aside), aside)
    if not looks:
        raise aside.nothing_left(config.paths[0], len(paths))
    grid, described, files = looks[0].grid, looks[0].variables, tuple(look.path for look in looks)
    steps = {name: [step for look in looks for step in look.steps[name]] for name in config.variables}
    raster = nearest_turn(grid.raster, context)
    window, share = needed_window(raster, context, str(files[0]))
    notes += [] if share > 0.999 else [f"covers {share:.0%} of the extent"]
    days = {n: days_of_steps(s, context, config, n, notes) for n, s in steps.items()}
    variables = tuple(_timed(v) if days[n] is not None else v for n, v in described.items())
    times = tuple(sorted({day for found_days in days.values() if found_days for day in found_days}))
    return PreparedNetcdf(
        raster=subset(raster, window),
        variables=variables,
        times=times,
        inputs=files[0].name if len(files) == 1 else f"{len(files)} NetCDF files, {files[0].name} and on",
        notes=notes,
        aside=aside,
        config=config,
        files=files,
        origin=window,
        steps=tuple(days[v.name] or {} for v in variables),
    )


def _look_at(path: Place, config: NetcdfConfig) -> _Look:
    return look_netcdf(path, config.group, lambda dataset: _told(dataset, path, config))


def _told(dataset: xr.Dataset, path: Place, config: NetcdfConfig) -> _Look:
    steps, described = {}, {}
    grids: list[CfGrid] = []
    for name, inside in config.variables.items():
        array = pick(dataset, inside, path, config.select)
        steps[name] = steps_of(array, path, config.shift_hours)
        grids.append(cf_grid(dataset, array, config.crs, f"{name} of {path}"))
        described[name] = _variable(config, name, array)
    if any(grid.raster != grids[0].raster for grid in grids):
        raise InputError(f"got {path}, whose variables lie on different grids; make them separate sources")
    return _Look(path, grids[0], steps, described)


def _of_one_grid(looks: list[_Look], aside: SetAside) -> list[_Look]:
    """Return the files on the grid that most have; the few others are set aside.

    Raises
    ------
    InputError
        If no grid is that of most files.
    """
    if not looks:
        return []
    counts = Counter(look.grid.raster for look in looks)
    raster, count = counts.most_common(1)[0]
    usual = next(look for look in looks if look.grid.raster == raster)
    for other in (look for look in looks if look.grid.raster != raster):
        first, second = sorted((usual.path, other.path))
        error = InputError(f"got {first.name} and {second.name}, whose grids differ; make them separate sources")
        if 2 * count <= len(looks):
            raise error
        aside.put(other.path, error)
    return [look for look in looks if look.grid.raster == raster]


def _of_one_unit(looks: list[_Look], aside: SetAside) -> list[_Look]:
    """Return the files whose units are those that most state; the others are set aside."""
    kept = looks
    for name in looks[0].variables if looks else ():
        stated = Counter(units for look in looks if (units := look.variables[name].units))
        wanted = stated.most_common(1)[0][0] if stated else ""
        for look in kept:
            fit = partial(check_units, look.variables[name].units, wanted, f"{look.path}, whose {name}")
            aside.attempt(look.path, fit)
        kept = [look for look in kept if str(look.path) not in aside.reasons]
    return kept


def input_files(
    config: NetcdfConfig, context: IngestContext | None = None, aside: SetAside | None = None
) -> tuple[Place, ...]:
    """Return the files that the source names; of a STAC search without an extent, its address alone."""
    return source_files(config, SUFFIXES, context, aside)


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
