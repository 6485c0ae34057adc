"""Optical scenes: which files belong together, their day and offset, and whether they can be used."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass

from smdown.errors import InputError
from smdown.grid import RasterGrid, Window
from smdown.sources.aside import SetAside
from smdown.sources.baseline import offset_of_file, offset_of_item
from smdown.sources.config import ReflectanceConfig, StacQuery
from smdown.sources.context import IngestContext, raster_bounds
from smdown.sources.files import date_of
from smdown.sources.geotiff import TileFile, open_tile
from smdown.sources.places import Place, find_places, join_path
from smdown.sources.products import Layout
from smdown.sources.stac import StacItem, find_items

MASK = ""
"""Name of the mask among a scene's files."""


@dataclass(frozen=True)
class Found:
    """The files of one acquisition, not yet opened.

    Parameters
    ----------
    key : str
        Name that sorts scenes.
    day : str
        ISO day.
    files : dict
        Place of each band, and of the mask under the empty name.
    offset : float
        Reflectance of count zero.
    """

    key: str
    day: str
    files: dict[str, Place]
    offset: float


@dataclass(frozen=True)
class Scene:
    """One acquisition: its day, its opened files (the mask under the empty name), and its place.

    Parameters
    ----------
    key : str
        Name that sorts scenes.
    day : str
        ISO day.
    tiles : dict
        File of each band, and of the mask.
    offset : float
        Reflectance of count zero.
    place : Window
        The pixels of the common grid that it meets.
    direct : bool
        Whether its own pixels are those of the common grid.
    """

    key: str
    day: str
    tiles: dict[str, TileFile]
    offset: float
    place: Window
    direct: bool = True

    @property
    def name(self) -> str:
        """Its first file."""
        return str(next(iter(self.tiles.values())).path)

    @property
    def mask(self) -> TileFile | None:
        """Its quality mask."""
        return self.tiles.get(MASK)

    @property
    def groups(self) -> dict[RasterGrid, tuple[str, ...]]:
        """The bands that share a grid, by grid."""
        out: dict[RasterGrid, tuple[str, ...]] = {}
        for band, tile in self.tiles.items():
            if band != MASK:
                out[tile.raster] = (*out.get(tile.raster, ()), band)
        return out

    @property
    def coarsest(self) -> RasterGrid:
        """The grid of the bands of the largest pixels."""
        return max(self.groups, key=lambda raster: -raster.dx * raster.dy)


def open_scenes(found: list[Found], config: ReflectanceConfig, aside: SetAside) -> list[Scene]:
    """Return the scenes whose files can be opened."""

    def opened(one: Found) -> Scene:
        tiles = {band: open_tile(path, 1, config.crs) for band, path in one.files.items()}
        scene = Scene(one.key, one.day, tiles, one.offset, next(iter(tiles.values())).place)
        _check_ground(scene)
        return scene

    tried = [aside.attempt(next(iter(one.files.values())), lambda one=one: opened(one)) for one in found]  # type: ignore[misc]
    good = [scene for scene in tried if scene is not None]
    if not good:
        raise aside.nothing_left(f"{len(found)} scenes", len(found))
    return good


def _check_ground(scene: Scene) -> None:
    """Raise InputError if the files of a scene do not cover the same ground, to within a pixel of the coarsest."""
    rasters = [tile.raster for tile in scene.tiles.values()]
    boxes = [raster_bounds(raster) for raster in rasters]
    slack = max(raster.dx for raster in rasters)
    apart = max(abs(a - b) for box in boxes for a, b in zip(box, boxes[0], strict=True))
    if apart > slack or len({raster.crs for raster in rasters}) > 1:
        names = ", ".join(tile.path.name for tile in scene.tiles.values())
        raise InputError(f"got a scene whose files differ in extent ({names}); bands and mask must be of one place")


def checked(scene: Scene) -> bool:
    """Return True if the files of a scene are whole, as their ends tell."""
    for tile in scene.tiles.values():
        tile.probe()
    return True


def input_files(config: ReflectanceConfig, context: IngestContext | None = None) -> tuple[Place, ...]:
    """Return the files that the source names; of a STAC search without an extent, its address alone."""
    if config.stac is not None:
        if context is None:
            return tuple(Place(path) for path in config.paths)
        found = find_scenes(config, context, [], SetAside())
        return tuple(sorted({path for one in found for path in one.files.values()}))
    groups = (files for layout in config.layouts for files in _by_key(config, layout).values())
    return tuple(sorted({path for files in groups for path in files.values()}))


def find_scenes(config: ReflectanceConfig, context: IngestContext, notes: list[str], aside: SetAside) -> list[Found]:
    """Return every complete scene, in order of its key: the name that the pattern's star stands for, or the item's.

    Raises
    ------
    InputError
        If a pattern matches nothing, or no scene is complete.
    """
    if config.stac is not None:
        return _stac_scenes(config, config.stac, context, aside)
    scenes = {(key, n): files for n, way in enumerate(config.layouts) for key, files in _by_key(config, way).items()}
    parts = [[MASK, *way.bands] if way.mask else list(way.bands) for way in config.layouts]
    whole = {key: files for (key, n), files in sorted(scenes.items()) if len(files) == len(parts[n])}
    if not whole:
        wanted = " or ".join(", ".join((*way.bands.values(), *filter(None, [way.mask]))) for way in config.layouts)
        raise InputError(
            f"got {len(scenes)} scenes in {config.paths[0]}, none with all of {wanted}; correct path, bands and mask"
        )
    if len(whole) < len(scenes):
        notes.append(f"{len(scenes) - len(whole)} scenes without all bands set aside")
    tried = [aside.attempt(key, lambda k=key, f=files: _found(k, f, config)) for key, files in whole.items()]  # type: ignore[misc]
    good = [one for one in tried if one is not None]
    if not good:
        raise aside.nothing_left(f"{len(whole)} scenes", len(whole))
    return good


def _found(key: str, files: dict[str, Place], config: ReflectanceConfig) -> Found:
    """Return a scene of files, its day and offset known from their names."""
    first = next(path for band, path in files.items() if band != MASK)
    day = date_of(first, config.date_pattern, config.date_format)
    return Found(key, day, files, offset_of_file(first) if config.offset is None else config.offset)


def _stac_scenes(config: ReflectanceConfig, query: StacQuery, context: IngestContext, aside: SetAside) -> list[Found]:
    """Return the scene of every item that has all assets."""
    items = [item for path in config.paths for item in find_items(path, query, context, aside, dated=True)]
    tried = [aside.attempt(item.id, lambda item=item: _of_item(item, config)) for item in items]  # type: ignore[misc]
    found = {one.key: one for one in tried if one is not None}
    if not found:
        raise aside.nothing_left(f"{len(items)} STAC items", len(items))
    return list(found.values())


def _of_item(item: StacItem, config: ReflectanceConfig) -> Found:
    """Return the scene of an item, named in the first way that fits it."""
    fitting = [way for way in config.layouts if item.id.startswith(way.starts)]
    if not fitting:
        starts = " or ".join(start for way in config.layouts for start in way.starts)
        raise InputError(f"got the STAC item {item.id}, which is no {config.product}: its name begins with {starts}")
    named = [{**way.bands, **({MASK: way.mask} if way.mask else {})} for way in fitting]
    keys = next((keys for keys in named if set(keys.values()) <= set(item.assets)), named[0])
    files = {band: item.asset(key) for band, key in keys.items()}
    band = next(iter(config.chosen))
    return Found(
        item.id, item.day, files, offset_of_item(item, keys[band]) if config.offset is None else config.offset
    )  # fmt: skip


def _by_key(config: ReflectanceConfig, way: Layout) -> dict[str, dict[str, Place]]:
    """Return the files of scenes named in one way, whole scenes or not, by key and band."""
    scenes: dict[str, dict[str, Place]] = {}
    patterns = {**way.bands, **({MASK: way.mask} if way.mask else {})}
    for band, pattern in patterns.items():
        paths: tuple[Place, ...] = ()
        with suppress(InputError) if len(config.layouts) > 1 else nullcontext():
            paths = find_places([join_path(folder, "**", pattern) for folder in config.paths], ())
        for path in paths:
            if path.name.startswith(way.starts):
                scenes.setdefault(_key(path, pattern), {})[band] = path
    return scenes


def _key(path: Place, pattern: str) -> str:
    """Return what is left of a path without the fixed parts of the pattern: the same for all files of a scene."""
    head, tail = pattern.split("*")
    text = str(path)
    stem = text[: -len(tail)] if tail else text
    before, _, after = stem.rpartition(head) if head else (stem, "", "")
    return before + after
