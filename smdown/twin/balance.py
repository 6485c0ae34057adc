"""The water balance: two layers of soil, day by day, at every pixel, with water that moves downhill between pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smdown.twin.column import advance_rows, spread_rows
from smdown.twin.soil import ROOT_MM, SURFACE_MM, Hydraulics
from smdown.twin.vegetation import Season, Vegetation
from smdown.twin.weather import Nodes, Sun

Array32 = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

BLOCK_DAYS = 5
"""Days that interflow takes: what sets out in one block of days arrives evenly over the next."""


@dataclass
class State:
    """Water in the soil; changed in place.

    Parameters
    ----------
    surface, root : ndarray
        Water in 0-5 cm and in 5-100 cm (mm), float32 ``(y, x)``.
    interflow : ndarray
        Water on its way downhill within the soil, per node of the 1 km lattice (mm times pixels).
    """

    surface: Array32
    root: Array32
    interflow: Array64

    def storage(self) -> float:
        """Return the water in soil and on its way downhill: sum over all pixels (mm)."""
        soil = self.surface.sum(dtype=np.float64) + self.root.sum(dtype=np.float64)
        return float(soil + self.interflow.sum())


class Watch(NamedTuple):
    """What a run reports.

    Parameters
    ----------
    edges : ndarray
        Columns where blocks begin and end, for sums.
    rows, columns : ndarray
        Single pixels to follow.
    slots : ndarray
        For each day the slot of its map, or -1.
    """

    edges: Indices
    rows: Indices
    columns: Indices
    slots: Indices


class Report(NamedTuple):
    """What happened in some days; water contents in m3 m-3, the surface (0-5 cm) before the root zone (0-100 cm).

    Parameters
    ----------
    sums : ndarray
        Sums of water content over blocks of columns, float64 ``(day, layer, y, block)``.
    spots : ndarray
        Water content at the pixels that are followed, float32 ``(day, layer, pixel)``.
    maps : ndarray
        Water content at the end of the days with a slot, float32 ``(slot, layer, y, x)``.
    totals : ndarray
        Rain, evaporation, runoff, drainage and arriving interflow, sums over days and columns (mm), ``(y, 5)``.
    shed : ndarray
        Interflow that set out, ``(y, node x)`` (mm times pixels).
    """

    sums: Array64
    spots: Array32
    maps: Array32
    totals: Array64
    shed: Array64


class Land:
    """The land that does not change: soil, vegetation, relief.

    Parameters
    ----------
    soil : Hydraulics
        Hydraulic properties.
    vegetation : Vegetation
        Cover.
    southness : ndarray
        How far each pixel leans to the south.
    nodes : Nodes
        The 1 km lattice.
    """

    def __init__(self, soil: Hydraulics, vegetation: Vegetation, southness: Array32, nodes: Nodes) -> None:
        self.soil = soil
        self.vegetation = vegetation
        self.southness = southness
        (iy, wy), (ix, wx) = (nodes.lines(n) for n in southness.shape)
        self.lines = (iy, wy, ix, wx)
        self.node_shape = (int(iy[-1]) + 2, int(ix[-1]) + 2)
        rows = np.zeros((southness.shape[0], self.node_shape[1]))
        spread_rows(soil.gathering, ix, wx, rows)
        self.weight = np.maximum(self._gather(rows), 1e-9)

    def start(self) -> State:
        """Return moist soil: half way between wilting point and field capacity at the surface, wetter below."""
        soil = self.soil
        surface = SURFACE_MM * (0.5 * soil.wilting + 0.5 * soil.capacity)
        root = ROOT_MM * (0.25 * soil.wilting + 0.75 * soil.capacity)
        return State(surface.astype(np.float32), root.astype(np.float32), np.zeros(self.node_shape))

    def advance(
        self, state: State, rain: Array32, suns: Sequence[Sun], seasons: Sequence[Season], watch: Watch
    ) -> Report:
        """Take the state some days further, in place.

        Parameters
        ----------
        state : State
            Water in the soil.
        rain : ndarray
            Rain of each day on the nodes over the working grid (mm), ``(day, y, x)``.
        suns : sequence of Sun
            Demand of each day.
        seasons : sequence of tuple
            The season's cover on each day, see :class:`Vegetation`.
        watch : Watch
            What to report.

        Returns
        -------
        Report
            Over the whole grid, ``rain - evaporation - runoff - drainage`` plus the interflow that set out is the
            change of ``state.storage()``: what arrives had set out before.
        """
        days = len(suns)
        inflow = (state.interflow / self.weight / days).astype(np.float32)
        height, width = self.southness.shape
        slots = int(watch.slots.max(initial=-1)) + 1
        report = Report(
            np.zeros((days, 2, height, len(watch.edges) - 1)),
            np.zeros((days, 2, len(watch.rows)), dtype=np.float32),
            np.zeros((slots, 2, height, width), dtype=np.float32),
            np.zeros((height, 5)),
            np.zeros((height, self.node_shape[1])),
        )
        weather = np.array([(s.demand, s.tilt, *g) for s, g in zip(suns, seasons, strict=True)], dtype=np.float32)
        forcing = np.ascontiguousarray(rain, dtype=np.float32), inflow, self.lines, weather
        advance_rows(state.surface, state.root, self.soil, self.vegetation, self.southness, *forcing, watch, report)
        state.interflow = self._gather(report.shed)
        return report

    def _gather(self, rows: Array64) -> Array64:
        """Sum row totals into nodes with the weights that interpolation uses, in a fixed order."""
        iy, wy = self.lines[:2]
        out = np.zeros(self.node_shape)
        np.add.at(out, iy, rows * (1.0 - wy)[:, None])
        np.add.at(out, iy + 1, rows * wy[:, None])
        return out
