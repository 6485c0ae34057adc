"""Rasters without time, through GDAL: single files, or tiles of one grid, on their native grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import Window
from smdown.sources.config import RasterConfig
from smdown.sources.context import IngestContext, needed_window, subset
from smdown.sources.files import find_files
from smdown.sources.geotiff import TileFile, merge_grids, open_tile
from smdown.sources.prepared import Block, Float32, PreparedGrid

SUFFIXES = (".tif", ".tiff", ".vrt", ".img", ".jp2", ".asc", ".bil")


@dataclass(kw_only=True)
class PreparedRaster(PreparedGrid):
    """Checked tiles, by variable."""

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
                    fill_from(values, place, tile, limits, self.config.nodata)
                yield Block(variable.name, window, None, values)

    @property
    def block_bytes(self) -> int:
        """Memory of one shard while it is read, masked and packed."""
        return 40 * self.shard_pixels


def fill_from(
    values: Float32, place: Window, tile: TileFile, limits: tuple[float, float] | None, nodata: float | None
) -> None:
    """Fill the pixels of `values` that are still missing with those of a tile, in place."""
    common = place.intersect(tile.place)
    if common is None:
        return
    part = values[common.relative_to(place).slices]
    new = tile.read(common.relative_to(tile.place), limits, nodata)
    np.copyto(part, new, where=np.isnan(part))


def variable_files(config: RasterConfig) -> dict[str, tuple[tuple[Path, ...], int]]:
    """Return the files and the band of every variable.

    Raises
    ------
    InputError
        If a path or pattern names nothing.
    """
    out: dict[str, tuple[tuple[Path, ...], int]] = {}
    for name, value in config.variables.items():
        if isinstance(value, int):
            out[name] = find_files(config.paths, SUFFIXES), value
        else:
            out[name] = find_files([str(Path(folder) / value) for folder in config.paths], SUFFIXES), 1
    return out


def prepare(config: RasterConfig, context: IngestContext) -> PreparedRaster:
    """Check the files and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    named = variable_files(config)
    tiles = [tuple(open_tile(path, band, config.crs) for path in paths) for paths, band in named.values()]
    whole, placed = merge_grids(tiles)
    count = len({path for paths, _ in named.values() for path in paths})
    first = tiles[0][0].path
    what = first.name if count == 1 else f"{count} rasters ({first.name} and others)"
    window, share = needed_window(whole, context, what)
    notes = [] if share > 0.999 else [f"covers {share:.0%} of the extent"]
    used = [tuple(t for t in group if t.place.intersect(window)) for group in placed]
    for name, group in zip(named, used, strict=True):
        if not group:
            raise InputError(f"empty extent: got no file of {name} that meets the project's extent; name other files")
    for tile in {tile.path: tile for group in used for tile in group}.values():
        tile.probe()
    variables = tuple(_variable(config, name, group[0]) for name, group in zip(named, used, strict=True))
    return PreparedRaster(
        raster=subset(whole, window),
        variables=variables,
        times=(),
        inputs=what,
        notes=notes,
        config=config,
        tiles=tuple(used),
        origin=window,
    )


def input_files(config: RasterConfig) -> tuple[Path, ...]:
    """Return the files that the source names."""
    return tuple(sorted({path for paths, _ in variable_files(config).values() for path in paths}))


def _variable(config: RasterConfig, name: str, tile: TileFile) -> Variable:
    return Variable(
        name,
        units=config.units_of(name) or tile.units,
        long_name=tile.description or name.replace("_", " "),
        valid_range=config.range_of(name),
    )
