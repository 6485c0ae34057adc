"""How much is read at once while training streams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smdown.training.context import TrainContext
from smdown.training.index import SHARD_CELLS
from smdown.training.samples import sequence_ratio

UNIT_BYTES = 64 * 2**20
"""About the memory of what is read at once: a shard on as many days as that allows."""
MOST_DAYS = 16
"""Days that are read at once, at most."""


@dataclass(frozen=True)
class Reading:
    """How much is read at once.

    Parameters
    ----------
    shard_cells, days_per_unit : int
        Cells along a side, and days, of one unit.
    units_per_mix : int
        Units whose samples are shuffled together.
    unit_bytes : int
        Memory of one unit, at most.
    """

    shard_cells: int
    days_per_unit: int
    units_per_mix: int
    unit_bytes: int


def plan_reading(context: TrainContext, ratio: int, radius: int, n_days: int, budget: int) -> Reading:
    """Return units of whole shards on some days, or of less where two of them would not fit in a budget of bytes."""
    cells, days, most = SHARD_CELLS, min(MOST_DAYS, n_days), min(UNIT_BYTES, budget // 2)
    while unit_bytes(context, ratio, radius, cells, days) > most and (cells > 1 or days > 1):
        cells, days = (cells, days // 2) if days > 1 else (cells // 2, days)
    need = unit_bytes(context, ratio, radius, cells, days)
    return Reading(cells, days, int(np.clip(budget // need, 1, 64)), need)


def unit_bytes(context: TrainContext, ratio: int, radius: int, cells: int, days: int) -> int:
    """Return the memory that a unit takes: drivers, what is known of them, the sequence and labels."""
    spec, core = context.spec, cells * ratio
    fine = 4 * (core + 2 * radius) ** 2 * (len(spec.static_names) + days * len(spec.dynamic_names))
    length = spec.sequence.days if spec.sequence is not None else 0
    sequence = 4 * days * length * len(spec.sequence_names) * (cells * sequence_ratio(context) + 2) ** 2
    return int(fine + sequence + days * core**2 * (1 + 4 * len(context.layers)))
