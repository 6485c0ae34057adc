"""The body of one task: read, predict, combine, constrain, write; one tile, all of its days."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from smdown.cubes import Cube
from smdown.errors import BundleError
from smdown.grid import Tile, Window
from smdown.inference import blocks
from smdown.inference.constraint import constrain
from smdown.inference.engine import Engine, Field
from smdown.inference.job import LayerJob, PredictJob
from smdown.inference.mosaic import DISSIMILARITY, FARTHEST, FLAGS, Flag, member_name, std_name
from smdown.inference.surroundings import Shifts, Surroundings

_Value = TypeVar("_Value", bound=np.generic)
Flags = npt.NDArray[np.uint8]


@dataclass
class DayMaps:
    """The maps of one tile and day; missing until a block fills them.

    Parameters
    ----------
    core : Window
        Pixels of the tile, in global indices.
    mean, std : ndarray
        float32 ``(layer, y, x)``.
    members, members_std : ndarray
        float32 ``(member, layer, y, x)``; no members where they are not kept.
    flags : ndarray
        uint8 ``(y, x)``.
    dissimilarity : ndarray
        float32 ``(y, x)``.
    unmet : int
        Cells (of any layer) whose coarse value could not be met.
    """

    core: Window
    mean: Field
    std: Field
    members: Field
    members_std: Field
    flags: Flags
    dissimilarity: Field
    unmet: int = 0

    @classmethod
    def empty(cls, core: Window, n_layers: int, n_members: int) -> DayMaps:
        """Return maps without any value."""
        shape = (n_layers, *core.shape)
        return cls(
            core,
            np.full(shape, np.nan, dtype=np.float32),
            np.full(shape, np.nan, dtype=np.float32),
            np.full((n_members, *shape), np.nan, dtype=np.float32),
            np.full((n_members, *shape), np.nan, dtype=np.float32),
            np.zeros(core.shape, dtype=np.uint8),
            np.full(core.shape, np.nan, dtype=np.float32),
        )


class TilePredictor:
    """Predicts the days of one tile; what does not change with the day is read once."""

    def __init__(self, job: PredictJob, tile: Tile, engine: Engine) -> None:
        self.job = job
        self.tile = tile
        self.engine = engine
        self.read = tile.core.expand(engine.ensemble.radius)
        self._static: Field | None = None

    @property
    def static(self) -> Field:
        """Static drivers of the tile and its halo, read when a day first needs them."""
        if self._static is None:
            self._static = self.engine.drivers.static(self.job.grid, self.read)
        return self._static

    @cached_property
    def _around(self) -> Surroundings:
        return Surroundings(self.job, self.tile.cells, self.engine)

    def day(self, day: np.datetime64) -> DayMaps:
        """Predict one day."""
        kept = len(self.engine.ensemble.members) if self.job.members_url else 0
        maps = DayMaps.empty(self.tile.core, len(self.job.layers), kept)
        coarse = self._coarse(day)
        missing = np.isnan(coarse)
        maps.flags[self._per_pixel(np.asarray(missing.any(axis=0)))] |= np.uint8(Flag.COARSE_MISSING)
        if missing.all():
            return maps
        dynamic = self.engine.drivers.dynamic(self.job.grid, self.read, day)
        sequence = self._sequence(day)
        shifts = self._around.shifts(day) if self.job.constraint == "smooth" else None
        for block in blocks.blocks(self.tile.cells, self.job.grid.ratio):
            part = missing[(slice(None), *block.relative_to(self.tile.cells).slices)]
            cells = blocks.bounding(~np.asarray(part.all(axis=0)), block)
            if cells is not None:
                self._block(maps, cells, coarse, dynamic, sequence, shifts)
        self._clear_empty(maps, np.asarray(missing.all(axis=0)))
        self._add_uncertainty(maps, day)
        return maps

    # -- reading -----------------------------------------------------------------------------------------------------

    def _coarse(self, day: np.datetime64) -> Field:
        """Return the coarse values ``(layer, y, x)`` of the tile's cells."""
        read = self.engine.drivers.coarse
        return np.stack([read(layer.source, layer.variable, self.tile.cells, day) for layer in self.job.layers])

    def _sequence(self, day: np.datetime64) -> Field:
        if not self.engine.sequence_ratio:
            return np.zeros((0, 0, *blocks.sequence_window(self.tile.cells, 1).shape), dtype=np.float32)
        return self.engine.drivers.sequence(self.tile.cells, day)

    def _drivers(self, window: Window, dynamic: Field) -> Field:
        """Return all drivers of a window inside the tile and its halo, in the order of training."""
        part = (slice(None), *window.relative_to(self.read).slices)
        fine = np.empty((len(self.engine.names), *window.shape), dtype=np.float32)
        if self.engine.static_names:
            fine[self.engine.static_places] = self.static[part]
        if self.engine.dynamic_names:
            fine[self.engine.dynamic_places] = dynamic[part]
        return fine

    # -- one block ---------------------------------------------------------------------------------------------------

    def _block(
        self, maps: DayMaps, cells: Window, coarse: Field, dynamic: Field, sequence: Field, shifts: Shifts | None
    ) -> None:
        """Predict and constrain some whole cells."""
        core, radius = cells.refine(self.job.grid.ratio), self.engine.ensemble.radius
        place = core.relative_to(maps.core).slices
        fine = self._drivers(core.expand(radius), dynamic)
        inner = fine[:, radius : radius + core.height, radius : radius + core.width]
        part, origin = self._sequence_part(cells, sequence)
        valid = self._flag_drivers(inner, part, origin, core, maps.flags[place])
        if not valid.any():
            return
        self._compare(fine, valid, maps.dissimilarity[place], maps.flags[place])
        prediction = self.engine.ensemble.predict(fine, part, core, self.job.grid.ratio, origin)
        mean, std = self.engine.ensemble.combine(prediction)
        if (~np.isfinite(mean) & valid).any():
            raise BundleError(f"got values that are not finite from {self.job.bundle_url}; train the networks again")
        mean[:, ~valid] = np.nan
        own, own_std = self.engine.ensemble.alone(prediction) if len(maps.members) else (maps.members, maps.members_std)
        goal = coarse[(slice(None), *cells.relative_to(self.tile.cells).slices)]
        for n, layer in enumerate(self.job.layers):
            if shifts is not None:
                mean[n] = shifts.move(mean[n], n, None, cells, layer.bounds)
            field, unmet = self._constrain(layer, mean[n], goal[n])
            maps.mean[n][place] = field
            maps.std[n][place] = std[n]
            maps.std[n][place][np.isnan(field)] = np.nan
            maps.unmet += int(unmet.sum())
            maps.flags[place][self._per_pixel(unmet)] |= np.uint8(Flag.MEAN_NOT_MET)
            for m in range(len(maps.members)):
                member = np.where(valid, own[m, n], np.nan)
                if shifts is not None:
                    member = shifts.move(member, n, m, cells, layer.bounds)
                alone = self._constrain(layer, member, goal[n])[0]
                maps.members[m, n][place] = alone
                maps.members_std[m, n][place] = np.where(np.isfinite(alone), own_std[m, n], np.nan)

    def _sequence_part(self, cells: Window, sequence: Field) -> tuple[Field, tuple[int, int]]:
        """Return the part of the tile's sequence that serves some of its cells, and the index of its first pixel."""
        ratio = self.engine.sequence_ratio
        if not ratio:
            return sequence, (0, 0)
        window = blocks.sequence_window(cells, ratio)
        whole = blocks.sequence_window(self.tile.cells, ratio)
        return sequence[(..., *window.relative_to(whole).slices)], (window.y0, window.x0)

    def _flag_drivers(
        self, fine: Field, sequence: Field, origin: tuple[int, int], core: Window, flags: Flags
    ) -> npt.NDArray[np.bool_]:
        """Return which pixels have all that they need; flag those that lack it or had something imputed."""
        valid, whole = np.ones(core.shape, dtype=bool), np.ones(core.shape, dtype=bool)
        for values, required in zip(fine, self.engine.required, strict=True):
            (valid if required else whole)[~np.isfinite(values)] = False
        if self.engine.sequence_ratio:
            rows, cols = blocks.nearest(core, self.job.grid.ratio, self.engine.sequence_ratio, origin)
            known = np.asarray(np.isfinite(sequence).any(axis=0)).all(axis=0)
            whole &= np.asarray(known)[np.ix_(rows, cols)]
        flags[~valid] |= np.uint8(Flag.DRIVER_MISSING)
        flags[valid & ~whole] |= np.uint8(Flag.DRIVER_IMPUTED)
        return valid

    def _compare(self, fine: Field, valid: npt.NDArray[np.bool_], out: Field, flags: Flags) -> None:
        """Say how far the drivers lie from those of the training, and flag what lies beyond them."""
        known = self.engine.applicability
        if known is not None:
            np.minimum(known.index(fine, self.engine.ensemble.radius), np.float32(FARTHEST), out=out)
            out[~valid] = np.nan
            flags[out > known.threshold] |= np.uint8(Flag.EXTRAPOLATED)

    def _clear_empty(self, maps: DayMaps, empty: npt.NDArray[np.bool_]) -> None:
        """Say no more of cells without any coarse value than that: whether one lies in a block depends on the tile."""
        pixels = self._per_pixel(empty)
        maps.flags[pixels] = np.uint8(Flag.COARSE_MISSING)
        maps.dissimilarity[pixels] = np.nan

    def _constrain(self, layer: LayerJob, mean: Field, coarse: Field) -> tuple[Field, npt.NDArray[np.bool_]]:
        return constrain(mean, coarse, self.job.grid.ratio, *layer.bounds, self.job.constraint)

    def _add_uncertainty(self, maps: DayMaps, day: np.datetime64) -> None:
        """Add the variance of the coarse product, which every pixel of a cell shares; keep what can be packed."""
        for n, layer in enumerate(self.job.layers):
            shared = np.full(self.tile.cells.shape, layer.uncertainty, dtype=np.float32)
            if layer.uncertainty_variable is not None:
                read = self.engine.drivers.coarse
                known = read(layer.source, layer.uncertainty_variable, self.tile.cells, day)
                shared = np.where(np.isfinite(known), known, shared)
            wide = self._per_pixel(shared)
            for std in (maps.std[n], *maps.members_std[:, n]):
                np.sqrt(std * std + wide * wide, out=std)
                np.minimum(std, np.float32(32000 * layer.scale), out=std)

    def _per_pixel(self, cells: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
        ratio = self.job.grid.ratio
        return np.repeat(np.repeat(cells, ratio, axis=0), ratio, axis=1)


def write_day(
    maps: DayMaps, job: PredictJob, index: int, mosaic: Cube, members: Cube | None, names: tuple[str, ...]
) -> None:
    """Write the maps of one day: whole shards; only the flags where nothing could be predicted."""
    window = maps.core.relative_to(job.grid.window)
    mosaic.write(FLAGS, maps.flags, window, index)
    if not np.isfinite(maps.mean).any():
        return
    if DISSIMILARITY in mosaic.variables:
        mosaic.write(DISSIMILARITY, maps.dissimilarity, window, index)
    for n, layer in enumerate(job.layers):
        mosaic.write(layer.name, maps.mean[n], window, index)
        mosaic.write(std_name(layer.name), maps.std[n], window, index)
    if members is not None:
        write_members(maps, job, index, members, names)


def write_members(maps: DayMaps, job: PredictJob, index: int, members: Cube, names: tuple[str, ...]) -> None:
    """Write every member's own map of one day, where there is any."""
    window = maps.core.relative_to(job.grid.window)
    for n, layer in enumerate(job.layers):
        for m, name in enumerate(names):
            if np.isfinite(maps.members[m, n]).any():
                own = member_name(layer.name, name)
                members.write(own, maps.members[m, n], window, index)
                members.write(std_name(own), maps.members_std[m, n], window, index)
