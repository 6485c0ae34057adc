"""One function fills a window: any window of any nested grid, from just the source pixels that it needs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from threading import Lock

import numpy as np
import numpy.typing as npt

from smdown.cubes import Cube, exists, join, open_cube
from smdown.errors import CubeError
from smdown.features import dynamics
from smdown.features.config import DriverConfig, Latest, SourceDriver, TerrainDriver
from smdown.features.pixels import Kept
from smdown.features.reader import SourceReader, nested_average
from smdown.features.shape import measures
from smdown.features.spec import FeatureSpec
from smdown.grid import NestedGrid, Window

F32 = npt.NDArray[np.float32]
RECENT_BYTES = 64 * 2**20
"""Memory for drivers that several days share."""


class Loader:
    """Fills windows with drivers.

    The value at a pixel depends on its place and day alone, never on the window that asked for it.

    Parameters
    ----------
    spec : FeatureSpec
        Drivers, grids and places of the data.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._readers: dict[str, SourceReader] = {}
        self._stored: dict[int, Cube | None] = {}
        self._kept = Kept()
        self._recent: OrderedDict[tuple[str, int, Window, int], F32] = OrderedDict()
        self._lock = Lock()
        self._written: dict[int, set[tuple[int, int]]] = {}

    def __reduce__(self) -> tuple[Callable[[FeatureSpec], Loader], tuple[FeatureSpec]]:
        return get_loader, (self.spec,)

    def load(self, grid: NestedGrid, window: Window, day: np.datetime64) -> F32:
        """Return every driver, in the order of the channels.

        Parameters
        ----------
        grid : NestedGrid
            Grid whose pixels the window counts; its cells need not contain the window.
        window : Window
            Global indices at the grid's ratio.
        day : datetime64
            Which day.

        Returns
        -------
        ndarray of float32, (feature, y, x)
            NaN where a driver is missing.
        """
        out = np.empty((len(self.spec.drivers), *window.shape), np.float32)
        names = self.spec.names
        for found, part in (
            (self.spec.static_names, self.static(grid, window)),
            (self.spec.dynamic_names, self.dynamic(grid, window, day)),
        ):
            out[[names.index(name) for name in found]] = part
        return out

    def static(self, grid: NestedGrid, window: Window, names: Sequence[str] | None = None) -> F32:
        """Return the drivers that no day changes, ``(feature, y, x)``: as stored where they are, else computed."""
        names = self.spec.static_names if names is None else names
        cube = self._cube_of(grid.ratio)
        if cube is not None and self._is_written(cube, grid.ratio, window):
            assert cube.nested is not None
            local = window.relative_to(cube.nested.window)
            return _stack([cube.read(name, local) for name in names], window)
        return self.compute_static(grid, window, names)

    def compute_static(self, grid: NestedGrid, window: Window, names: Sequence[str] | None = None) -> F32:
        """Return static drivers, computed from the sources."""
        chosen = _chosen(self.spec.static, names)
        found: dict[str, F32] = {}
        groups: dict[tuple[str, ...], list[TerrainDriver]] = {}
        for driver in chosen:
            if isinstance(driver, TerrainDriver):
                groups.setdefault((driver.source, driver.variable, driver.at, driver.resampling), []).append(driver)
            else:
                found[driver.name] = self._as_it_is(driver, grid, window)
        for drivers in groups.values():
            found |= self._terrain(drivers, grid, window)
        return _stack([found[driver.name] for driver in chosen], window)

    def _as_it_is(self, driver: DriverConfig, grid: NestedGrid, window: Window) -> F32:
        assert isinstance(driver, SourceDriver)
        return self.reader(driver.source).read((driver.variable,), grid, window, (), driver.resampling)[0, 0]

    def _terrain(self, drivers: Sequence[TerrainDriver], grid: NestedGrid, window: Window) -> dict[str, F32]:
        """Return measures of one elevation; on the region's grid, so that none depends on the cells of `grid`."""
        base, reader = self.spec.base, self.reader(drivers[0].source)
        if drivers[0].at == "own" or grid.ratio >= base.ratio:
            fields = measures(drivers, reader, base.at(grid.ratio), window)
        else:
            fields = list(
                nested_average(
                    lambda part: measures(drivers, reader, base, part), len(drivers), base.ratio, grid, window
                )
            )
        return {driver.name: field for driver, field in zip(drivers, fields, strict=True)}

    def dynamic(self, grid: NestedGrid, window: Window, day: np.datetime64, names: Sequence[str] | None = None) -> F32:
        """Return the drivers of a day, ``(feature, y, x)``."""
        return _stack([self._dynamic(d, grid, window, day) for d in _chosen(self.spec.dynamic, names)], window)

    def _dynamic(self, driver: DriverConfig, grid: NestedGrid, window: Window, day: np.datetime64) -> F32:
        """Return one driver of a day; one that changes with composites only is kept for the days that share it."""
        reader = self.reader(driver.source)
        if not isinstance(driver, Latest):
            return dynamics.fill(driver, reader, grid, window, day)
        key = driver.name, grid.ratio, window, dynamics.latest_step(reader.cube, day)
        with self._lock:
            found = self._recent.pop(key, None)
        if found is None:
            found = dynamics.fill(driver, reader, grid, window, day)
        with self._lock:
            self._recent.pop(key, None)
            while self._recent and self._recent_bytes() + found.nbytes > RECENT_BYTES:
                self._recent.popitem(last=False)
            self._recent[key] = found
        return found

    def _recent_bytes(self) -> int:
        return sum(field.nbytes for field in self._recent.values())

    def sequence(self, cells: Window, day: np.datetime64) -> F32:
        """Return the daily sequence that ends with a day, over whole cells and one pixel more on every side.

        Returns
        -------
        ndarray of float32, (day, feature, y, x)
            On the sequence's grid, oldest first. Days before the record repeat its first.
        """
        sequence = self.spec.sequence
        assert sequence is not None
        grid = self.spec.base.at(self.spec.sequence_ratio)
        window = cells.refine(grid.ratio).expand(1)
        out = np.empty((sequence.days, len(sequence.drivers), *window.shape), np.float32)
        for n, driver in enumerate(sequence.drivers):
            reader = self.reader(driver.source)
            steps = dynamics.sequence_steps(reader.cube, day, sequence.days)
            used = sorted(set(steps))
            found = reader.read((driver.variable,), grid, window, tuple(used))[0]
            out[:, n] = found[[used.index(step) for step in steps]]
        return out

    def coarse(self, source: str, variable: str, cells: Window, day: np.datetime64) -> F32:
        """Return the coarse product on whole cells, ``(y, x)``; NaN where it has no value or no such day."""
        cube = self.reader(source).cube
        nested = cube.nested
        found = np.flatnonzero(cube.times == day.astype("datetime64[ns]"))
        if nested is None or nested.ratio != 1:
            raise CubeError(f"got the source {source} as coarse product; it does not lie on cells of the lattice")
        if not len(found):
            return np.full(cells.shape, np.nan, np.float32)
        return np.asarray(cube.read(variable, cells.relative_to(nested.window), int(found[0])))

    def gridded(self, source: str, variable: str, grid: NestedGrid, window: Window, day: np.datetime64) -> F32:
        """Return one variable of a source on its day, resampled, ``(y, x)``; NaN where it has no such day."""
        reader = self.reader(source)
        found = np.flatnonzero(reader.cube.times == day.astype("datetime64[ns]"))
        if not len(found):
            return np.full(window.shape, np.nan, np.float32)
        return reader.read((variable,), grid, window, (int(found[0]),))[0, 0]

    def reader(self, source: str) -> SourceReader:
        """Return the (cached) reader of a source."""
        if source not in self._readers:
            cube = open_cube(join(self.spec.sources_url, f"{source}.zarr"), complete=True)
            self._readers[source] = SourceReader(cube, self.spec.base, self._kept)
        return self._readers[source]

    def _cube_of(self, ratio: int) -> Cube | None:
        if ratio not in self._stored:
            url = join(self.spec.features_url, f"{round(self.spec.base.lattice.cell / ratio)}m.zarr")
            self._stored[ratio] = open_cube(url) if exists(url) else None
        cube = self._stored[ratio]
        return cube if cube is not None and set(self.spec.static_names) <= set(cube.variables) else None

    def _is_written(self, cube: Cube, ratio: int, window: Window) -> bool:
        """Whether a window lies inside the cube, and every tile that it touches has its receipt."""
        assert cube.nested is not None
        local = window.relative_to(cube.nested.window)
        if not cube.raster.window.contains(local):
            return False
        shard = cube.spec.shard
        rows = range(local.y0 // shard, (local.y1 - 1) // shard + 1)
        cols = range(local.x0 // shard, (local.x1 - 1) // shard + 1)
        tiles = {(row, col) for row in rows for col in cols}
        if not tiles <= self._written.get(ratio, set()):  # a receipt stays: those seen are not read again
            self._written[ratio] = cube.done()
        return tiles <= self._written[ratio]

    @cached_property
    def required(self) -> Sequence[int]:
        """Channels without which a pixel is left out of the map."""
        return [n for n, driver in enumerate(self.spec.drivers) if driver.required]


def _stack(fields: list[F32], window: Window) -> F32:
    return np.stack(fields) if fields else np.empty((0, *window.shape), np.float32)


def _chosen(drivers: Sequence[DriverConfig], names: Sequence[str] | None) -> list[DriverConfig]:
    """Return the drivers asked for, in the order asked for."""
    if names is None:
        return list(drivers)
    known = {driver.name: driver for driver in drivers}
    return [known[name] for name in names]


@lru_cache(maxsize=4)
def get_loader(spec: FeatureSpec) -> Loader:
    """Return this process's loader of a specification."""
    return Loader(spec)
