"""Optical scenes on disk: which files belong together, their day, and whether they can be used."""

from __future__ import annotations

from dataclasses import dataclass

from smdown.errors import InputError
from smdown.grid import Window
from smdown.sources.aside import SetAside
from smdown.sources.config import ReflectanceConfig, StacQuery
from smdown.sources.context import IngestContext
from smdown.sources.files import date_of
from smdown.sources.geotiff import TileFile, of_one_grid, open_tile
from smdown.sources.places import Place, find_places, join_path
from smdown.sources.stac import find_items

MASK = ""
"""Name of the mask among a scene's files."""


@dataclass(frozen=True)
class Scene:
    """One acquisition: its day and its files (the mask under the empty name)."""

    day: str
    tiles: dict[str, TileFile]

    @property
    def name(self) -> str:
        """Its first file."""
        return str(next(iter(self.tiles.values())).path)

    @property
    def place(self) -> Window:
        """Its pixels in the mosaic's indices."""
        return next(iter(self.tiles.values())).place


Scenes = dict[str, tuple[str, dict[str, Place]]]


def open_scenes(scenes: Scenes, config: ReflectanceConfig, aside: SetAside) -> list[tuple[str, dict[str, TileFile]]]:
    """Return day and files of the scenes that can be opened and lie on the grid that most have."""

    def opened(files: dict[str, Place]) -> dict[str, TileFile]:
        return {band: open_tile(path, 1, config.crs) for band, path in files.items()}

    tried = [
        (day, aside.attempt(next(iter(files.values())), lambda files=files: opened(files)))  # type: ignore[misc]
        for day, files in scenes.values()
    ]
    good = [(day, tiles) for day, tiles in tried if tiles is not None]
    fitting = of_one_grid([tile for _, tiles in good for tile in tiles.values()], aside)
    kept = [(day, tiles) for day, tiles in good if all(tile.path in fitting for tile in tiles.values())]
    if not kept:
        raise aside.nothing_left(f"{len(scenes)} scenes in {config.paths[0]}", len(scenes))
    return kept


def checked(scene: Scene) -> bool:
    """Whether a scene's files are of one shape, and whole as far as their ends tell."""
    if len({tile.place for tile in scene.tiles.values()}) > 1:
        names = ", ".join(tile.path.name for tile in scene.tiles.values())
        raise InputError(f"got a scene whose files differ in extent ({names}); bands and mask must be of one size")
    for tile in scene.tiles.values():
        tile.probe()
    return True


def input_files(config: ReflectanceConfig, context: IngestContext | None = None) -> tuple[Place, ...]:
    """Return the files that the source names; of a STAC search without an extent, its address alone."""
    if config.stac is not None:
        if context is None:
            return tuple(Place(path) for path in config.paths)
        found = find_scenes(config, context, [], SetAside())
        return tuple(sorted({path for _, files in found.values() for path in files.values()}))
    patterns = [*config.bands.values(), *([config.mask] if config.mask else [])]
    return tuple(sorted({path for pattern in patterns for path in band_files(config, pattern)}))


def find_scenes(config: ReflectanceConfig, context: IngestContext, notes: list[str], aside: SetAside) -> Scenes:
    """Return day and files of every complete scene, by the name that the pattern's star stands for.

    Raises
    ------
    InputError
        If a pattern matches nothing, or no scene is complete.
    """
    patterns = config.bands | ({MASK: config.mask} if config.mask else {})
    if config.stac is not None:
        return _stac_scenes(config, config.stac, context, patterns, aside)
    scenes: dict[str, dict[str, Place]] = {}
    for band, pattern in patterns.items():
        for path in band_files(config, pattern):
            scenes.setdefault(_key(path, pattern), {})[band] = path
    whole = {key: files for key, files in sorted(scenes.items()) if len(files) == len(patterns)}
    if not whole:
        raise InputError(
            f"got {len(scenes)} scenes in {config.paths[0]}, none with all of {', '.join(patterns.values())}; "
            "correct bands and mask"
        )
    if len(whole) < len(scenes):
        notes.append(f"{len(scenes) - len(whole)} scenes without all bands set aside")
    days = {key: aside.attempt(key, lambda files=files: _day(files, config)) for key, files in whole.items()}  # type: ignore[misc]
    if not any(days.values()):
        raise aside.nothing_left(f"{len(whole)} scenes", len(whole))
    return {key: (day, whole[key]) for key, day in days.items() if day is not None}


def _stac_scenes(
    config: ReflectanceConfig, query: StacQuery, context: IngestContext, keys: dict[str, str], aside: SetAside
) -> Scenes:
    """Return day and files of every item that has all assets."""
    items = [item for path in config.paths for item in find_items(path, query, context, aside, dated=True)]
    found: Scenes = {}
    for item in items:
        files = aside.attempt(item.id, lambda item=item: {band: item.asset(key) for band, key in keys.items()})  # type: ignore[misc]
        if files is not None:
            found[item.id] = (item.day, files)
    if not found:
        raise aside.nothing_left(f"{len(items)} STAC items", len(items))
    return found


def band_files(config: ReflectanceConfig, pattern: str) -> tuple[Place, ...]:
    """Return the files of one pattern, at any depth below the configured folders."""
    return find_places([join_path(folder, "**", pattern) for folder in config.paths], ())


def _key(path: Place, pattern: str) -> str:
    """Return what is left of a path without the fixed parts of the pattern: the same for all files of a scene."""
    head, tail = pattern.split("*")
    text = str(path)
    stem = text[: -len(tail)] if tail else text
    before, _, after = stem.rpartition(head) if head else (stem, "", "")
    return before + after


def _day(files: dict[str, Place], config: ReflectanceConfig) -> str:
    return date_of(next(iter(files.values())), config.date_pattern, config.date_format)
