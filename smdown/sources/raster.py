"""Rasters without time, through GDAL: single files, or tiles of one grid, on their native grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import Window
from smdown.sources.aside import SetAside
from smdown.sources.config import RasterConfig
from smdown.sources.context import IngestContext, needed_window, subset
from smdown.sources.geotiff import TileFile, merge_grids, of_one_grid, open_tile, views
from smdown.sources.places import Place, find_places, join_path
from smdown.sources.prepared import Block, Part, PreparedGrid
from smdown.sources.stac import StacItem, find_items
from smdown.sources.values import FillWatch, Float32, RangeWatch, check_units

SUFFIXES = (".tif", ".tiff", ".vrt", ".img", ".jp2", ".asc", ".bil")


def _assets(item: StacItem, config: RasterConfig) -> list[Place]:
    return [item.asset(str(key)) for key in config.variables.values()]


@dataclass(kw_only=True)
class PreparedRaster(PreparedGrid):
    """Checked tiles, by variable."""

    shards_a_part: ClassVar[int] = 16

    config: RasterConfig
    tiles: tuple[tuple[TileFile, ...], ...]
    origin: Window

    def blocks(self) -> Iterator[Block]:
        """Yield shard by shard; where tiles overlap, the first valid value stays."""
        for variable, tiles in zip(self.variables, self.tiles, strict=True):
            limits = self.config.range_of(variable.name)
            for window in self.windows():
                place = window.shift(self.origin.y0, self.origin.x0)
                values = np.full(window.shape, np.nan, dtype=np.float32)
                for tile in tiles:
                    watch = self.watch(tile.path, variable.name, limits=limits)
                    if fill_from(values, place, tile, limits, self.config.nodata, watch):
                        self.used.add(str(tile.path))
                yield Block(variable.name, window, None, values)

    def narrowed(self, part: Part) -> Self:
        """Return the same source for one part, with the tiles that it needs alone."""
        out = super().narrowed(part)
        places = [window.shift(self.origin.y0, self.origin.x0) for window in out.windows()]
        out.tiles = tuple(
            tuple(t for t in group if any(t.place.intersect(place) for place in places)) for group in self.tiles
        )
        return out

    def without(self, item: str) -> Self:
        """Return the same source without a file."""
        tiles = tuple(tuple(t for t in group if str(t.path) != item) for group in self.tiles)
        return replace(self, tiles=tiles, watches={})

    @property
    def block_bytes(self) -> int:
        """Memory of one shard while it is read, masked and packed."""
        return 40 * self.shard_pixels


def fill_from(
    values: Float32,
    place: Window,
    tile: TileFile,
    limits: tuple[float, float] | None,
    nodata: float | None,
    watch: FillWatch | RangeWatch | None = None,
) -> bool:
    """Fill the pixels of `values` that are still missing with those of a tile, in place; return whether it was read."""
    common = place.intersect(tile.place)
    if common is None:
        return False
    part = values[common.relative_to(place).slices]
    new = tile.read(common.relative_to(tile.place), limits, nodata, watch)
    np.copyto(part, new, where=np.isnan(part))
    return True


def variable_files(
    config: RasterConfig, context: IngestContext | None, aside: SetAside
) -> dict[str, tuple[tuple[Place, ...], int]]:
    """Return the files and the band of every variable; those of a STAC search are of the extent.

    Raises
    ------
    InputError
        If a path or pattern names nothing.
    """
    out: dict[str, tuple[tuple[Place, ...], int]] = {}
    if config.stac is not None and context is not None:
        query = config.stac
        items = [item for path in config.paths for item in find_items(path, query, context, aside, dated=False)]
        good = [item for item in items if aside.attempt(item.id, lambda item=item: _assets(item, config))]  # type: ignore[misc]
        if not good:
            raise aside.nothing_left(f"{len(items)} STAC items", len(items))
        return {n: (tuple(sorted({item.assets[str(v)] for item in good})), 1) for n, v in config.variables.items()}
    for name, value in config.variables.items():
        if isinstance(value, int):
            out[name] = find_places(config.paths, SUFFIXES), value
        else:
            out[name] = find_places([join_path(folder, value) for folder in config.paths], SUFFIXES), 1
    return out


def prepare(config: RasterConfig, context: IngestContext) -> PreparedRaster:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    aside = SetAside(context.strict)
    named = variable_files(config, context, aside)
    tiles = _open_tiles(named, config, aside)
    whole, placed = merge_grids(tiles)
    count = len({path for paths, _ in named.values() for path in paths})
    first = tiles[0][0].path
    what = first.name if count == 1 else f"{count} rasters ({first.name} and others)"
    window, share = needed_window(whole, context, what)
    notes = [] if share > 0.999 else [f"covers {share:.0%} of the extent"]
    used = _meeting(named, placed, window, aside)
    variables = tuple(_variable(config, name, group[0]) for name, group in zip(named, used, strict=True))
    return PreparedRaster(
        raster=subset(whole, window),
        variables=variables,
        times=(),
        inputs=what,
        notes=notes,
        aside=aside,
        config=config,
        tiles=tuple(used),
        origin=window,
    )


Named = dict[str, tuple[tuple[Place, ...], int]]


def _open_tiles(named: Named, config: RasterConfig, aside: SetAside) -> list[tuple[TileFile, ...]]:
    """Return the tiles of every variable that can be opened and lie on the grid that most have."""
    opened = [
        [aside.attempt(path, lambda path=path, band=band: views(open_tile(path, band, config.crs))) for path in paths]  # type: ignore[misc]
        for paths, band in named.values()
    ]
    fitting = of_one_grid([tile for group in opened for seen in group if seen is not None for tile in seen], aside)
    groups = [tuple(tile for seen in group if seen for tile in seen if tile.path in fitting) for group in opened]
    for (name, (paths, _)), group in zip(named.items(), groups, strict=True):
        if not group:
            raise aside.nothing_left(f"{len(paths)} files of {name}", len(paths))
    return groups


def _meeting(
    named: Named, groups: list[tuple[TileFile, ...]], window: Window, aside: SetAside
) -> list[tuple[TileFile, ...]]:
    """Return the tiles that meet the window and whose ends can be read."""
    out = []
    for (name, (paths, _)), group in zip(named.items(), groups, strict=True):
        near = [tile for tile in group if tile.place.intersect(window)]
        if not near:
            raise InputError(f"empty extent: got no file of {name} that meets the project's extent; name other files")
        wanted = Counter(tile.units for tile in near if tile.units).most_common(1)
        units = wanted[0][0] if wanted else ""
        whole = tuple(tile for tile in near if aside.attempt(tile.path, lambda tile=tile: _usable(tile, units)))  # type: ignore[misc] # noqa: B023
        if not whole:
            raise aside.nothing_left(f"{len(paths)} files of {name}", len(paths))
        out.append(whole)
    return out


def _usable(tile: TileFile, units: str) -> bool:
    """Whether a tile is in the units of the others, and its ends can be read."""
    check_units(tile.units, units, f"{tile.path}, which")
    tile.probe()
    return True


def input_files(config: RasterConfig, context: IngestContext | None = None) -> tuple[Place, ...]:
    """Return the files that the source names; of a STAC search without an extent, its address alone."""
    if config.stac is not None and context is None:
        return tuple(Place(path) for path in config.paths)
    return tuple(sorted({path for paths, _ in variable_files(config, context, SetAside()).values() for path in paths}))


def _variable(config: RasterConfig, name: str, tile: TileFile) -> Variable:
    return Variable(
        name,
        units=config.units_of(name) or tile.units,
        long_name=tile.description or name.replace("_", " "),
        valid_range=config.range_of(name),
    )
