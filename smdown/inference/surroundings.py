"""What the smooth constraint knows of a tile and the cells around it: the shift of every cell, at about 1000 m."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from smdown.grid import NestedGrid, Window, nominal_ratio
from smdown.inference import blocks, smooth
from smdown.inference.engine import Engine, Field
from smdown.inference.job import PredictJob


@dataclass(frozen=True)
class Shifts:
    """The nodes of the correction, of the tile's cells and one more on every side.

    Parameters
    ----------
    cells : Window
        The tile's.
    ratio : int
        Pixels of the map along a cell.
    nodes : ndarray
        ``(layer, y, x)`` of the ensemble.
    members : ndarray
        ``(member, layer, y, x)``; no members where their maps are not kept.
    """

    cells: Window
    ratio: int
    nodes: smooth.Nodes
    members: smooth.Nodes

    def move(self, mean: Field, layer: int, member: int | None, cells: Window, bounds: tuple[float, float]) -> Field:
        """Return the prediction of some whole cells, moved by the field."""
        nodes = self.nodes[layer] if member is None else self.members[member, layer]
        part = nodes[cells.expand(1).relative_to(self.cells.expand(1)).slices]
        return smooth.shifted(mean, part, self.ratio, *bounds)


class Surroundings:
    """A tile and `smdown.inference.smooth.RING` cells around it, on pixels of about 1000 m.

    Parameters
    ----------
    job : PredictJob
        What it belongs to.
    cells : Window
        The tile's.
    engine : Engine
        Loader and ensemble.
    """

    def __init__(self, job: PredictJob, cells: Window, engine: Engine) -> None:
        self.job, self.engine = job, engine
        self.tile = cells
        self.cells = cells.expand(smooth.RING)
        self.grid: NestedGrid = job.grid.at(min(job.grid.ratio, nominal_ratio(job.grid.lattice, smooth.RESOLUTION)))
        self.core = self.cells.refine(self.grid.ratio)
        self.read = self.core.expand(engine.ensemble.radius)

    @cached_property
    def _static(self) -> Field:
        return self.engine.drivers.static(self.grid, self.read)

    def shifts(self, day: np.datetime64) -> Shifts:
        """Return the nodes of a day."""
        fine, sequence, origin = self._drivers(day)
        radius = self.engine.ensemble.radius
        inner = fine[:, radius : radius + self.core.height, radius : radius + self.core.width]
        valid = np.ones(self.core.shape, dtype=bool)
        for values, required in zip(inner, self.engine.required, strict=True):
            if required:
                valid &= np.isfinite(values)
        prediction = self.engine.ensemble.predict(fine, sequence, self.core, self.grid.ratio, origin)
        mean, _ = self.engine.ensemble.combine(prediction)
        kept = self.engine.ensemble.alone(prediction)[0] if self.job.members_url else mean[None][:0]
        coarse = self._coarse(day)
        nodes = np.stack([self._nodes(n, field, valid, coarse) for n, field in enumerate(mean)])
        members = np.empty((len(kept), *nodes.shape))
        for m, fields in enumerate(kept):
            members[m] = [self._nodes(n, field, valid, coarse) for n, field in enumerate(fields)]
        return Shifts(self.tile, self.job.grid.ratio, nodes, members)

    def _nodes(self, layer: int, mean: Field, valid: npt.NDArray[np.bool_], coarse: Field) -> smooth.Nodes:
        field = np.where(valid, mean, np.float32(np.nan))
        bounds = self.job.layers[layer].bounds
        return smooth.nodes_of(smooth.cell_shifts(field, coarse[layer], self.grid.ratio, *bounds))

    def _coarse(self, day: np.datetime64) -> Field:
        read = self.engine.drivers.coarse
        return np.stack([read(layer.source, layer.variable, self.cells, day) for layer in self.job.layers])

    def _drivers(self, day: np.datetime64) -> tuple[Field, Field, tuple[int, int]]:
        """Return all drivers in the order of training, the sequence, and the index of its first pixel."""
        engine = self.engine
        fine = np.empty((len(engine.names), *self.read.shape), dtype=np.float32)
        if engine.static_names:
            fine[engine.static_places] = self._static
        if engine.dynamic_names:
            fine[engine.dynamic_places] = engine.drivers.dynamic(self.grid, self.read, day)
        if not engine.sequence_ratio:
            return fine, np.zeros((0, 0, *self.cells.expand(1).shape), dtype=np.float32), (0, 0)
        window = blocks.sequence_window(self.cells, engine.sequence_ratio)
        return fine, engine.drivers.sequence(self.cells, day), (window.y0, window.x0)
