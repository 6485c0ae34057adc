"""Clear reflectances of many scenes, and their median.

A pixel is clear where the mask hides nothing, no band is missing and all are positive: surface reflectance that is not
is an artefact of atmospheric correction (NASA's own indices of HLS leave it out too). What is hidden is taken out on
the scene's own pixels, before they are averaged or resampled, so nothing of a cloud comes into its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from smdown.grid import RasterGrid, Window
from smdown.sources.config import ReflectanceConfig
from smdown.sources.geotiff import TileFile
from smdown.sources.regrid import regrid
from smdown.sources.scenes import Scene
from smdown.sources.values import Float32

DEFAULT_RANGE = (0.0, 2.0)
"""Limits of reflectance where none are configured; glint and snow may exceed 1."""
_EXCHANGE_PLANES = 12
_DARK, _LEAST_SEEN = -0.02, 1000
"""Reflectance that no clear ground has, and pixels from which on a scene is judged by it."""


class OffsetWatch:
    """Counts a scene's clear pixels that are too dark for any ground, by band: an offset taken off twice makes them."""

    def __init__(self) -> None:
        self._counts: dict[str, npt.NDArray[np.int64]] = {}

    def look(self, band: str, values: Float32, clear: npt.NDArray[np.bool_]) -> None:
        """Take in reflectances of a band."""
        found = np.array([clear.sum(), (clear & (values < _DARK)).sum()], dtype=np.int64)
        self._counts[band] = self._counts.get(band, 0) + found

    def verdict(self) -> str | None:
        """Return what is wrong and how to mend it, in words; None where nothing is."""
        for band, (seen, dark) in self._counts.items():
            if seen >= _LEAST_SEEN and 2 * dark > seen:
                return (
                    f"{band} is below {_DARK} in {dark / seen:.0%} of its clear pixels: the offset that its baseline "
                    "has seems to have been taken off already; set offset: 0 for such scenes"
                )
        return None


def clear_stacks(
    scenes: Sequence[Scene],
    whole: RasterGrid,
    place: Window,
    config: ReflectanceConfig,
    watch: Callable[[Scene], OffsetWatch] | None = None,
) -> dict[str, Float32]:
    """Return ``(day, y, x)`` reflectances of each band over a window of the common grid, NaN where no scene is clear.

    Scenes of one day make one plane: the first that is clear gives all bands of a pixel, in the order of the scenes.
    """
    meeting = [scene for scene in scenes if scene.place.intersect(place)]
    days = sorted({scene.day for scene in meeting})
    stacks = {band: np.full((len(days), *place.shape), np.nan, dtype=np.float32) for band in config.chosen}
    for scene in meeting:
        common = place.intersect(scene.place)
        assert common is not None
        at = (days.index(scene.day), *common.relative_to(place).slices)
        for band, values in clear_bands(scene, whole, common, config, watch).items():
            np.copyto(stacks[band][at], values, where=np.isnan(stacks[band][at]))
    return stacks


def clear_bands(
    scene: Scene,
    whole: RasterGrid,
    window: Window,
    config: ReflectanceConfig,
    watch: Callable[[Scene], OffsetWatch] | None = None,
) -> dict[str, Float32]:
    """Return the reflectances of a scene over a window of the common grid, NaN in every band where any has none."""
    out: dict[str, Float32] = {}
    looks = watch(scene) if watch is not None and config.offset is None and scene.offset < 0 else None
    for raster, bands in scene.groups.items():
        job = regrid(raster, whole, window)
        fields = _own_pixels(scene, raster, bands, job.need, config, looks)
        out |= {band: job(field) for band, field in fields.items()}
    bad = ~np.isfinite(np.sum(list(out.values()), axis=0))
    for values in out.values():
        values[bad] = np.nan
    return {band: out[band] for band in config.chosen}


def _own_pixels(
    scene: Scene,
    raster: RasterGrid,
    bands: Sequence[str],
    need: Window,
    config: ReflectanceConfig,
    watch: OffsetWatch | None,
) -> dict[str, Float32]:
    """Return clear reflectances of bands of one grid over a window of it, which may reach beyond."""
    out = {band: np.full(need.shape, np.nan, dtype=np.float32) for band in bands}
    part = need.intersect(raster.window)
    if part is None:
        return out
    masked = hidden(scene.mask, raster, part, config)
    bad = masked.copy()
    inside = part.relative_to(need).slices
    for band in bands:
        low, high = config.range_of(band) or DEFAULT_RANGE
        raw, _, _ = scene.tiles[band].read_counts(part, config.nodata)
        values = raw * np.float32(config.scale) + np.float32(scene.offset)
        if watch is not None:
            watch.look(band, values, ~masked & np.isfinite(values))
        bad |= ~((values > max(low, 0.0)) & (values <= high))
        out[band][inside] = values
    for values in out.values():
        values[inside][bad] = np.nan
    return out


def hidden(mask: TileFile | None, raster: RasterGrid, part: Window, config: ReflectanceConfig) -> npt.NDArray[np.bool_]:
    """Return where, on a window of a band's grid, the mask is missing or hides a pixel.

    A mask of larger pixels hides all that they hold; one of smaller pixels hides a pixel that any of them lies in.
    """
    if mask is None:
        return np.zeros(part.shape, dtype=bool)
    finer = mask.raster.dx * 1.001 < raster.dx
    job = regrid(mask.raster, raster, part, "average" if finer else "nearest")
    flags = np.ones(job.need.shape, dtype=np.float32)
    known = job.need.intersect(mask.raster.window)
    if known is not None:
        flags[known.relative_to(job.need).slices] = _flags(mask, known, config)
    return np.asarray(job(flags) > 0)


def _flags(mask: TileFile, window: Window, config: ReflectanceConfig) -> npt.NDArray[np.bool_]:
    """Return where a mask's own pixels are missing, have one of the bits set, or are of one of the classes."""
    values, missing = mask.read_bits(window)
    wanted = np.asarray(sum(1 << bit for bit in set(config.mask_bits)), dtype=np.int64)
    out: npt.NDArray[np.bool_] = missing | ((values.astype(np.int64) & wanted) != 0)
    return out | np.isin(values, config.mask_classes) if config.mask_classes else out


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
