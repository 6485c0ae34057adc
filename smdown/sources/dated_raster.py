"""Rasters of days, through GDAL, brought to the project's own cells or to pixels nested in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import NestedGrid, Window, nominal_ratio
from smdown.sources.aside import SetAside
from smdown.sources.config import DatedRasterConfig
from smdown.sources.context import LATTICE_PAD_CELLS, IngestContext
from smdown.sources.files import date_of
from smdown.sources.geotiff import TileFile, open_tile, views
from smdown.sources.places import Place, find_places, join_path
from smdown.sources.prepared import Block, Part, PreparedGrid
from smdown.sources.raster import SUFFIXES
from smdown.sources.regrid import regrid
from smdown.sources.values import Float32

Days = dict[str, tuple[TileFile, ...]]


@dataclass(kw_only=True)
class PreparedDatedRaster(PreparedGrid):
    """Checked files, by variable and day."""

    times_a_part: ClassVar[int] = 8
    shards_a_part: ClassVar[int] = 16

    config: DatedRasterConfig
    tiles: tuple[Days, ...]

    def blocks(self) -> Iterator[Block]:
        """Yield day by day and shard by shard; where files of a day overlap, the first valid value stays."""
        for variable, days in zip(self.variables, self.tiles, strict=True):
            for time in self.part_times:
                for window in self.windows():
                    values = np.full(window.shape, np.nan, dtype=np.float32)
                    for tile in days.get(self.times[time], ()):
                        new = self._values(variable.name, tile, window)
                        np.copyto(values, new, where=np.isnan(values))
                    yield Block(variable.name, window, time, values)

    def _values(self, variable: str, tile: TileFile, window: Window) -> Float32:
        """Return a file's values on a window of the cube."""
        job = regrid(tile.raster, self.raster, window)
        field = np.full(job.need.shape, np.nan, dtype=np.float32)
        part = job.need.intersect(tile.raster.window)
        if part is not None:
            limits = self.config.range_of(variable)
            watch = self.watch(tile.path, variable, limits=limits)
            field[part.relative_to(job.need).slices] = tile.read(part, limits, self.config.nodata, watch)
            self.used.add(str(tile.path))
        return job(field)

    def narrowed(self, part: Part) -> Self:
        """Return the same source for one part, with the files of its days alone."""
        days = {self.times[n] for n in range(*part.times)}
        kept = tuple({day: tiles for day, tiles in group.items() if day in days} for group in self.tiles)
        return replace(super().narrowed(part), tiles=kept)

    def without(self, item: str) -> Self:
        """Return the same source without a file."""
        kept = tuple(
            {day: tuple(t for t in tiles if str(t.path) != item) for day, tiles in group.items()}
            for group in self.tiles
        )
        return replace(self, tiles=kept, watches={})

    @property
    def block_bytes(self) -> int:
        """Memory of one shard, and of the pixels of a file that it draws on."""
        tiles = [tile for group in self.tiles for found in group.values() for tile in found]
        finest = max((_pixels(tile, self) for tile in tiles), default=0)
        return int(40 * self.shard_pixels + 24 * finest)


def _pixels(tile: TileFile, source: PreparedDatedRaster) -> int:
    """Return how many pixels of a file the cube's first shard draws on, about as many as any."""
    window = next(replace(source, part=None).windows())
    return regrid(tile.raster, source.raster, window).need.size


def prepare(config: DatedRasterConfig, context: IngestContext) -> PreparedDatedRaster:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    aside = SetAside(context.strict)
    lattice = context.nested.lattice
    ratio = 1 if config.resolution is None else nominal_ratio(lattice, config.resolution)
    cells = context.nested.cells.expand(LATTICE_PAD_CELLS).intersect(lattice.window)
    assert cells is not None
    nested = NestedGrid(lattice, cells, ratio)
    tiles = tuple(_days(config, name, pattern, context, aside) for name, pattern in config.variables.items())
    _check_meeting(tiles, NestedGrid(lattice, context.nested.cells, ratio), config)
    files = {tile.path for group in tiles for found in group.values() for tile in found}
    times = tuple(sorted({day for group in tiles for day in group}))
    units = [next(iter(group.values()))[0].units for group in tiles]
    variables = tuple(
        Variable(
            name,
            ("time", "y", "x"),
            units=config.units_of(name) or own,
            long_name=name.replace("_", " "),
            valid_range=config.range_of(name),
        )
        for name, own in zip(config.variables, units, strict=True)
    )
    return PreparedDatedRaster(
        raster=nested.raster,
        variables=variables,
        times=times,
        inputs=f"{len(files)} rasters, {times[0]} to {times[-1]}",
        nested=nested,
        aside=aside,
        config=config,
        tiles=tiles,
    )


def _files(config: DatedRasterConfig, pattern: str) -> tuple[Place, ...]:
    return find_places([join_path(folder, pattern) for folder in config.paths], SUFFIXES)


def _days(config: DatedRasterConfig, name: str, pattern: str, context: IngestContext, aside: SetAside) -> Days:
    """Return the files of a variable by day, those of the period alone."""
    files = _files(config, pattern)
    dated: list[tuple[str, Place]] = []
    for file in files:
        day = aside.attempt(file, lambda file=file: date_of(file, config.date_pattern, config.date_format))  # type: ignore[misc]
        dated += [] if day is None else [(day, file)]
    if not dated:
        raise aside.nothing_left(f"{len(files)} files of {name}", len(files))
    out: dict[str, tuple[TileFile, ...]] = {}
    for day, file in sorted(dated):
        if context.first <= day <= context.end:
            seen = aside.attempt(file, lambda file=file: _checked(file, config))  # type: ignore[misc]
            out[day] = out.get(day, ()) + (seen or ())
    found = {day: tiles for day, tiles in out.items() if tiles}
    if found:
        return found
    if out:
        raise aside.nothing_left(f"{len(files)} files of {name}", len(files))
    raise InputError(
        f"got {len(dated)} files of {name} from {min(dated)[0]} to {max(dated)[0]}, none in the period {context.first} "
        f"to {context.end}; change the period, or name other files"
    )


def _checked(file: Place, config: DatedRasterConfig) -> tuple[TileFile, ...]:
    tiles = views(open_tile(file, 1, config.crs))
    for tile in tiles:
        tile.probe()
    return tiles


def _check_meeting(tiles: tuple[Days, ...], extent: NestedGrid, config: DatedRasterConfig) -> None:
    """Raise InputError where a variable has no file that meets the project's extent."""
    for name, group in zip(config.variables, tiles, strict=True):
        found = [tile for files in group.values() for tile in files]
        needs = (regrid(t.raster, extent.raster, extent.raster.window).need.intersect(t.raster.window) for t in found)
        if not any(needs):
            raise InputError(
                f"empty extent: got {len(found)} files of {name}, none of which meets the project's extent; "
                "move the extent, name other files, or set crs if the files' own is wrong"
            )


def input_files(config: DatedRasterConfig) -> tuple[Place, ...]:
    """Return the files that the source names."""
    return tuple(sorted({place for pattern in config.variables.values() for place in _files(config, pattern)}))
