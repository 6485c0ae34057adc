"""The patches of one label and resolution, numbered; and the order in which passes visit them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from smdown.training.permute import Index, Permutation
from smdown.training.splits import Cells

PATCH = 64
"""Side of the patches of labels that every pixel has, in pixels; cells that are smaller are taken whole."""
SHARD_CELLS = 4
"""Cells along one side of what is read at once: a shard of the feature cubes."""
_ORDERS_KEPT = 2


def patch_starts(ratio: int, size: int) -> Index:
    """Return the first pixels of the patches along a cell: as few as cover it, evenly spread."""
    return np.linspace(0, ratio - size, -(-ratio // size)).astype(np.int64)


@dataclass(frozen=True)
class Patches:
    """Some patches, one row each.

    Parameters
    ----------
    number : ndarray
        In the index.
    cells : ndarray
        ``(n, 2)``: the cell that holds each.
    corner : ndarray
        ``(n, 2)``: global row and column of its first pixel.
    day : ndarray
        Number of the day.
    unit : ndarray
        Number of the unit that it is read with.
    """

    number: Index
    cells: Cells
    corner: Index
    day: Index
    unit: Index

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class Unit:
    """What is read at once: the cells of one shard on some days.

    Parameters
    ----------
    number : int
        In the index.
    cells : ndarray
        ``(n, 2)``.
    days : ndarray
        Numbers of the days.
    """

    number: int
    cells: Cells
    days: Index


@dataclass(frozen=True)
class _Order:
    """One pass: its units in turn, where each starts in patches (and the last ends), and the first unit of each mix."""

    units: Index
    starts: Index
    mixes: Index

    @property
    def mix_starts(self) -> Index:
        """Where each mix starts, in patches."""
        return self.starts[self.mixes]


class PatchIndex:
    """Numbers every patch of some cells and days, and orders them anew for each pass; holds nothing per patch or day.

    Patch *i* belongs to cell ``i // (days * patches)``, day ``i // patches % days`` and place ``i % patches`` in the
    cell. A pass visits each once. Its units (a shard on a few days) come in random order, `units_per_mix` of them at a
    time, whose patches are shuffled together: so each unit is read once a pass, and a batch holds patches of many
    places and seasons. The order of pass *p* is a function of the seed and *p* alone.

    Parameters
    ----------
    cells : ndarray
        ``(cell, 2)``.
    n_days : int
        Days, which patches count from 0.
    ratio : int
        Pixels along a cell.
    size : int
        Pixels along a patch, at most `ratio`.
    origin : tuple of int
        Cell that shards are counted from.
    days_per_unit, units_per_mix, shard_cells : int
        How much is read at once, and kept for shuffling.
    seed : int
        Of all orders.
    """

    def __init__(
        self, cells: Cells, n_days: int, ratio: int, size: int, *, origin: tuple[int, int] = (0, 0),
        days_per_unit: int = 4, units_per_mix: int = 4, shard_cells: int = SHARD_CELLS, seed: int = 0,
    ) -> None:  # fmt: skip
        shard = (cells - np.array(origin)) // shard_cells
        order = np.lexsort((cells[:, 1], cells[:, 0], shard[:, 1], shard[:, 0]))
        self.cells: Cells = cells[order]
        new = np.any(np.diff(shard[order], axis=0, prepend=-1), axis=1)
        new[:1] = True
        self._shard = np.cumsum(new) - 1
        self._first = np.append(np.flatnonzero(new), len(cells))
        self.n_days, self.ratio, self.size, self.seed = n_days, ratio, size, seed
        self._starts = patch_starts(ratio, size)
        self.per_cell = len(self._starts) ** 2
        self._days_per_unit = days_per_unit
        self._day_groups = -(-n_days // days_per_unit)
        self.units_per_mix = units_per_mix
        self._orders: OrderedDict[int, _Order] = OrderedDict()

    def __len__(self) -> int:
        return len(self.cells) * self.n_days * self.per_cell

    @property
    def n_units(self) -> int:
        """Number of units."""
        return (len(self._first) - 1) * self._day_groups

    def locate(self, number: Index) -> Patches:
        """Return what the patches of some numbers are."""
        rest, place = np.divmod(np.asarray(number, dtype=np.int64), self.per_cell)
        cell, day = np.divmod(rest, self.n_days)
        within = np.stack(np.divmod(place, len(self._starts)), axis=-1)
        cells = self.cells[cell]
        unit = self._shard[cell] * self._day_groups + day // self._days_per_unit
        return Patches(np.asarray(number), cells, cells * self.ratio + self._starts[within], day, unit)

    def unit(self, number: int) -> Unit:
        """Return what a unit holds; its days follow each other, since they share composites and rain."""
        shard, group = divmod(number, self._day_groups)
        cells = self.cells[self._first[shard] : self._first[shard + 1]]
        first = group * self._days_per_unit
        return Unit(number, cells, np.arange(first, min(first + self._days_per_unit, self.n_days)))

    def at(self, positions: Index) -> Index:
        """Return the numbers of the patches at some positions of the endless order of pass after pass."""
        positions = np.asarray(positions, dtype=np.int64)
        out = np.empty(len(positions), dtype=np.int64)
        turn, offset = np.divmod(positions, max(1, len(self)))
        for t in np.unique(turn):
            here = np.flatnonzero(turn == t)
            out[here] = self._in_pass(int(t), offset[here])
        return out

    def _in_pass(self, turn: int, offset: Index) -> Index:
        order = self._order(turn)
        out = np.empty(len(offset), dtype=np.int64)
        starts = order.mix_starts
        mix = np.searchsorted(starts, offset, side="right") - 1
        for m in np.unique(mix):
            here = np.flatnonzero(mix == m)
            stop = starts[m + 1] if m + 1 < len(starts) else len(self)
            inner = Permutation(int(stop - starts[m]), self.seed, turn, int(m))(offset[here] - starts[m]) + starts[m]
            out[here] = self._number(order, inner)
        return out

    def _number(self, order: _Order, position: Index) -> Index:
        """Return the patches at positions of a pass whose units are not mixed."""
        turn = np.searchsorted(order.starts, position, side="right") - 1
        inner = position - order.starts[turn]
        shard, group = np.divmod(order.units[turn], self._day_groups)
        cell, rest = np.divmod(inner, self._days_of(group) * self.per_cell)
        day, place = np.divmod(rest, self.per_cell)
        day = day + group * self._days_per_unit
        return ((self._first[shard] + cell) * self.n_days + day) * self.per_cell + place

    def upcoming(self, position: int, mixes: int) -> list[int]:
        """Return the units of the mix that holds a position, and of those after it, in order."""
        turn, offset = divmod(position, max(1, len(self)))
        found: list[int] = []
        order = self._order(turn)
        m = int(np.searchsorted(order.mix_starts, offset, side="right")) - 1
        for _ in range(mixes):
            if m >= len(order.mixes):
                turn, m = turn + 1, 0
                order = self._order(turn)
            stop = order.mixes[m + 1] if m + 1 < len(order.mixes) else len(order.units)
            found += order.units[order.mixes[m] : stop].tolist()
            m += 1
        return list(dict.fromkeys(found))

    def _days_of(self, group: Index) -> Index:
        return np.asarray(np.minimum(self._days_per_unit, self.n_days - group * self._days_per_unit))

    def _order(self, turn: int) -> _Order:
        """Return the order of a pass; the first mixes of all are small, since nothing can start before they are read.

        Mixes of the first pass hold 1, 2, 4, ... units.
        """
        if turn not in self._orders:
            units = Permutation(self.n_units, self.seed, turn)(np.arange(self.n_units))
            shard, group = np.divmod(units, self._day_groups)
            size = (self._first[shard + 1] - self._first[shard]) * self._days_of(group) * self.per_cell
            ramp = [2**k - 1 for k in range(64) if 2**k < self.units_per_mix] if turn == 0 else []
            tail = np.arange(ramp[-1] + 2 ** (len(ramp) - 1) if ramp else 0, self.n_units, self.units_per_mix)
            mixes = np.append(np.array(ramp, dtype=np.int64), tail)
            self._orders[turn] = _Order(units, np.append(0, np.cumsum(size)), mixes[mixes < max(1, self.n_units)])
            while len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
        return self._orders[turn]
