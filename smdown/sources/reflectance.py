"""Optical scenes to clear-sky composites: the median of the clear reflectances of each period, on one common grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import PurePath
from typing import ClassVar, Self

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import RasterGrid, Window
from smdown.sources.aside import FileError, SetAside
from smdown.sources.common_grid import common_grid, laid
from smdown.sources.composite import DEFAULT_RANGE, OffsetWatch, clear_stacks, median
from smdown.sources.config import ReflectanceConfig
from smdown.sources.context import IngestContext, crs_of, needed_window, subset
from smdown.sources.prepared import Block, Part, PreparedGrid
from smdown.sources.scenes import Scene, checked, find_scenes, input_files, open_scenes

__all__ = ["input_files", "prepare"]
COUNT = 1e-4


@dataclass(kw_only=True)
class PreparedReflectance(PreparedGrid):
    """Checked scenes, by composite, and the whole of their common grid, where the cube begins at `origin`."""

    times_a_part: ClassVar[int] = 1
    shards_a_part: ClassVar[int] = 4

    config: ReflectanceConfig
    common: RasterGrid
    origin: Window
    composites: tuple[tuple[Scene, ...], ...]
    offsets: dict[str, OffsetWatch] = field(default_factory=dict)

    def blocks(self) -> Iterator[Block]:
        """Yield composite by composite, shard by shard, all bands of a shard together."""
        for time in self.part_times:
            for window in self.windows():
                place = window.shift(self.origin.y0, self.origin.x0)
                stacks = clear_stacks(self.composites[time], self.common, place, self.config, self._watch_offset)
                self.used |= {s.name for s in self.composites[time] if s.place.intersect(place)}
                for band, stack in stacks.items():
                    yield Block(band, window, time, median(stack))

    def _watch_offset(self, scene: Scene) -> OffsetWatch:
        return self.offsets.setdefault(scene.name, OffsetWatch())

    def check_watches(self) -> None:
        """Raise FileError for the first scene whose offset cannot be right."""
        super().check_watches()
        watches, self.offsets = self.offsets, {}
        for item, watch in watches.items():
            if verdict := watch.verdict():
                raise FileError(item, f"got {item}, whose {verdict}")

    def narrowed(self, part: Part) -> Self:
        """Return the same source for one part, with the scenes of its composites alone."""
        start, stop = part.times
        kept = tuple(scenes if start <= n < stop else () for n, scenes in enumerate(self.composites))
        return replace(super().narrowed(part), composites=kept, offsets={})

    def without(self, item: str) -> Self:
        """Return the same source without the scene that a file belongs to."""
        kept = tuple(
            tuple(s for s in scenes if item not in map(str, (t.path for t in s.tiles.values())))
            for scenes in self.composites
        )
        return replace(self, composites=kept, offsets={})

    @property
    def block_bytes(self) -> int:
        """Memory of the stacks of one shard, of sorting one of them, and of one scene while it is read."""
        bands = len(self.config.chosen)
        days = max(len({scene.day for scene in scenes}) for scenes in self.composites)
        rasters = [raster for scenes in self.composites for scene in scenes for raster in scene.groups]
        finest = max((self.raster.dx * self.raster.dy / (r.dx * r.dy) for r in rasters), default=1.0)
        own = 12 * max(1.0, finest) * (1.0 if all(s.direct for g in self.composites for s in g) else 1.5)
        return int(self.shard_pixels * (4 * days * (bands + 4) + own * (bands + 2) + 8 * bands))


def prepare(config: ReflectanceConfig, context: IngestContext) -> PreparedReflectance:
    """Check the scenes and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    notes, aside = list[str](), SetAside(context.strict)
    found = find_scenes(config, context, notes, aside)
    within = [one for one in found if context.first <= one.day <= context.end]
    if not within:
        days = sorted(one.day for one in found)
        raise InputError(
            f"got {len(found)} scenes from {days[0]} to {days[-1]}, none in the period {context.first} to {context.end}"
            "; change the period, or name other scenes"
        )
    opened = open_scenes(within, config, aside)
    whole = common_grid(opened, config.resolution, context)
    what = f"{len(opened)} scenes in {config.paths[0]}"
    window, share = needed_window(whole, context, what)
    if share < 0.999:
        notes.append(f"covers {share:.0%} of the extent")
    near = [scene for scene in (laid(scene, whole) for scene in opened) if scene.place.intersect(window)]
    usable = [s for s in near if aside.attempt(s.name, lambda s=s: checked(s))]  # type: ignore[misc]
    if near and not usable:
        raise aside.nothing_left(what, len(near))
    composites = _composites(usable, config, context)
    notes += _resampled(usable, whole)
    return PreparedReflectance(
        raster=subset(whole, window),
        variables=tuple(_variable(config, band) for band in config.chosen),
        times=tuple(composites),
        inputs=f"{len(opened)} scenes in {PurePath(config.paths[0]).name}",
        notes=notes,
        aside=aside,
        config=config,
        common=whole,
        origin=window,
        composites=tuple(composites.values()),
    )


def _resampled(scenes: list[Scene], whole: RasterGrid) -> list[str]:
    """Say which scenes do not lie on the common grid."""
    if not (others := sum(not scene.direct for scene in scenes)):
        return []
    name, side = crs_of(whole.crs).name, f"{whole.dx:.8g}"
    return [f"{others} of {len(scenes)} scenes are resampled to pixels of {side} in {name}"]


def _composites(scenes: list[Scene], config: ReflectanceConfig, context: IngestContext) -> dict[str, tuple[Scene, ...]]:
    """Return the scenes of each period that has any, by its first day: by day, those on the common grid first."""
    if not scenes:
        raise InputError(
            f"empty extent: got no scene of the period in {config.paths[0]} that meets the project's extent"
        )
    start = date.fromisoformat(context.start)
    out: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda s: (s.day, not s.direct, s.key)):
        period = (date.fromisoformat(scene.day) - start).days // config.composite_days
        out.setdefault((start + timedelta(days=period * config.composite_days)).isoformat(), []).append(scene)
    return {day: tuple(group) for day, group in out.items()}


def _variable(config: ReflectanceConfig, band: str) -> Variable:
    return Variable(
        band,
        ("time", "y", "x"),
        "int16",
        COUNT,
        "1",
        f"median clear-sky reflectance of {config.composite_days} days, {band}",
        "surface_bidirectional_reflectance",
        config.range_of(band) or DEFAULT_RANGE,
    )
