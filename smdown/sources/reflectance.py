"""Optical scenes to clear-sky composites: the median of clear reflectances of each period, on the scenes' own grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import PurePath
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from smdown.cubes import Variable
from smdown.errors import InputError
from smdown.grid import Window
from smdown.sources.aside import SetAside
from smdown.sources.config import ReflectanceConfig
from smdown.sources.context import IngestContext, needed_window, subset
from smdown.sources.geotiff import TileFile, merge_grids
from smdown.sources.prepared import Block, Part, PreparedGrid
from smdown.sources.scenes import MASK, Scene, checked, find_scenes, input_files, open_scenes
from smdown.sources.values import Float32

DEFAULT_RANGE = (0.0, 2.0)
__all__ = ["input_files", "prepare"]
COUNT = 1e-4
_EXCHANGE_PLANES = 12


@dataclass(kw_only=True)
class PreparedReflectance(PreparedGrid):
    """Checked scenes, by composite."""

    times_a_part: ClassVar[int] = 1
    shards_a_part: ClassVar[int] = 4

    config: ReflectanceConfig
    origin: Window
    composites: tuple[tuple[Scene, ...], ...]

    def blocks(self) -> Iterator[Block]:
        """Yield composite by composite, shard by shard, all bands of a shard together."""
        for time in self.part_times:
            for window in self.windows():
                place = window.shift(self.origin.y0, self.origin.x0)
                stacks = clear_stacks(self.composites[time], place, self.config)
                self.used |= {s.name for s in self.composites[time] if s.place.intersect(place)}
                for band, stack in stacks.items():
                    yield Block(band, window, time, median(stack))

    def narrowed(self, part: Part) -> Self:
        """Return the same source for one part, with the scenes of its composites alone."""
        start, stop = part.times
        kept = tuple(scenes if start <= n < stop else () for n, scenes in enumerate(self.composites))
        return replace(super().narrowed(part), composites=kept)

    def without(self, item: str) -> Self:
        """Return the same source without the scene that a file belongs to."""
        kept = tuple(
            tuple(s for s in scenes if item not in map(str, (t.path for t in s.tiles.values())))
            for scenes in self.composites
        )
        return replace(self, composites=kept)

    @property
    def block_bytes(self) -> int:
        """Memory of the stacks of one shard, of sorting one of them, and of one scene while it is read."""
        stacks = max(map(len, self.composites)) * 4 * (len(self.config.bands) + 4)
        return self.shard_pixels * (stacks + 12 * (len(self.config.bands) + 2))


def clear_stacks(scenes: tuple[Scene, ...], place: Window, config: ReflectanceConfig) -> dict[str, Float32]:
    """Return ``(scene, y, x)`` reflectances of each band over a window, NaN where a scene is not clear."""
    meeting = [scene for scene in scenes if scene.place.intersect(place)]
    stacks = {band: np.full((len(meeting), *place.shape), np.nan, dtype=np.float32) for band in config.bands}
    for n, scene in enumerate(meeting):
        common = place.intersect(scene.place)
        assert common is not None
        inside = common.relative_to(place).slices
        bands = clear_bands(scene, common.relative_to(scene.place), config)
        for band, values in bands.items():
            stacks[band][n][inside] = values
    return stacks


def clear_bands(scene: Scene, window: Window, config: ReflectanceConfig) -> dict[str, Float32]:
    """Return the reflectances of a scene, NaN in every band where any is missing, not positive, or hidden."""
    out: dict[str, Float32] = {}
    bad = hidden(scene.tiles[MASK], window, config.mask_bits) if MASK in scene.tiles else np.zeros(window.shape, bool)
    for band in config.bands:
        low, high = config.range_of(band) or DEFAULT_RANGE
        raw, _, _ = scene.tiles[band].read_counts(window)
        values = raw * np.float32(config.scale) + np.float32(config.offset)
        bad |= ~((values > max(low, 0.0)) & (values <= high))
        out[band] = values
    for values in out.values():
        values[bad] = np.nan
    return out


def hidden(mask: TileFile, window: Window, bits: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return where a quality mask is missing or has one of the bits set."""
    values, missing = mask.read_bits(window)
    wanted = np.asarray(sum(1 << bit for bit in set(bits)), dtype=np.int64)
    out: npt.NDArray[np.bool_] = missing | ((values.astype(np.int64) & wanted) != 0)
    return out


def median(stack: Float32) -> Float32:
    """Return the median over the first axis, NaN left out, NaN where nothing is left.

    The planes are ranked with NaN last, so the middle of the valid ones is found by their count.
    """
    if stack.shape[0] == 0:
        return np.full(stack.shape[1:], np.nan, dtype=np.float32)
    ranked = rank_planes(stack)
    count = np.isfinite(ranked).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, stack.shape[0] - 1)
    pair = [np.take_along_axis(ranked, index[None], axis=0)[0] for index in (low, high)]
    return np.asarray((pair[0] + pair[1]) * np.float32(0.5), dtype=np.float32)


def rank_planes(stack: Float32) -> Float32:
    """Return the values sorted along the first axis, NaN last.

    Few planes are sorted by exchanging whole planes, which is many times faster than sorting across them.
    """
    if stack.shape[0] > _EXCHANGE_PLANES:
        return np.sort(stack, axis=0)
    planes = list(stack)
    for end in range(len(planes) - 1, 0, -1):
        for n in range(end):
            a, b = planes[n], planes[n + 1]
            planes[n], planes[n + 1] = np.fmin(a, b), np.maximum(a, b)
    return np.stack(planes)


def prepare(config: ReflectanceConfig, context: IngestContext) -> PreparedReflectance:
    """Check the scenes and describe their cube.

    Raises
    ------
    InputError
        In one line, if they cannot be used.
    """
    notes, aside = list[str](), SetAside(context.strict)
    found = find_scenes(config, context, notes, aside)
    within = {k: v for k, v in found.items() if context.first <= v[0] <= context.end}
    if not within:
        days = sorted(day for day, _ in found.values())
        raise InputError(
            f"got {len(found)} scenes from {days[0]} to {days[-1]}, none in the period {context.first} to {context.end}"
            "; change the period, or name other scenes"
        )
    opened = open_scenes(within, config, aside)
    whole, groups = merge_grids([tuple(tiles.values()) for _, tiles in opened])
    what = f"{len(opened)} scenes in {config.paths[0]}"
    window, share = needed_window(whole, context, what)
    if share < 0.999:
        notes.append(f"covers {share:.0%} of the extent")
    scenes = [Scene(day, dict(zip(t, g, strict=True))) for (day, t), g in zip(opened, groups, strict=True)]
    near = [scene for scene in scenes if scene.place.intersect(window)]
    usable = [s for s in near if aside.attempt(s.name, lambda s=s: checked(s))]  # type: ignore[misc]
    if near and not usable:
        raise aside.nothing_left(what, len(near))
    composites = _composites(usable, config, context)
    variables = tuple(_variable(config, band) for band in config.bands)
    return PreparedReflectance(
        raster=subset(whole, window),
        variables=variables,
        times=tuple(composites),
        inputs=f"{len(opened)} scenes in {PurePath(config.paths[0]).name}",
        notes=notes,
        aside=aside,
        config=config,
        origin=window,
        composites=tuple(composites.values()),
    )


def _composites(scenes: list[Scene], config: ReflectanceConfig, context: IngestContext) -> dict[str, tuple[Scene, ...]]:
    """Return the scenes of each period that has any, by its first day."""
    if not scenes:
        raise InputError(
            f"empty extent: got no scene of the period in {config.paths[0]} that meets the project's extent"
        )
    start = date.fromisoformat(context.start)
    out: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda s: s.day):
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
