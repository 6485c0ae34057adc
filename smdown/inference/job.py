"""What a prediction is made from: plain frozen values, sent to every worker."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from smdown.grid import NestedGrid, Tile
from smdown.inference.constraint import Kind, whole_counts


@dataclass(frozen=True, slots=True)
class LayerJob:
    """One layer of the mosaic.

    Parameters
    ----------
    name : str
        Its name in the mosaic and in the bundle.
    source, variable : str
        The coarse product that it must agree with.
    units, long_name, standard_name : str
        CF attributes.
    valid_range : tuple of float
        Physical limits, in `units`.
    uncertainty : float
        Standard deviation of the coarse product's error, in `units`.
    uncertainty_variable : str, optional
        Variable of the same source that holds it per cell and day; where that is missing, `uncertainty` is taken.
    """

    name: str
    source: str
    variable: str
    units: str = "m3 m-3"
    long_name: str = ""
    standard_name: str = ""
    valid_range: tuple[float, float] = (0.0, 0.9)
    uncertainty: float = 0.03
    uncertainty_variable: str | None = None

    @property
    def scale(self) -> float:
        """Value of a count on disk: 1e-4, or the least of 1, 2, 5 times a power of ten whose 16 bits hold the range.

        The latter where 1e-4 cannot hold the range, or cuts it into less than a thousand counts.
        """
        low, high = self.valid_range
        wanted = max(abs(low), abs(high)) / 32000
        if wanted <= 1e-4 <= (high - low) / 1000:
            return 1e-4
        power = math.floor(math.log10(wanted))
        steps = (float(f"{step}e{n}") for n in (power, power + 1) for step in (1, 2, 5))
        return next(step for step in steps if step >= wanted)

    @property
    def bounds(self) -> tuple[float, float]:
        """The valid range, moved inwards to whole counts: what a pixel can be on disk."""
        return whole_counts(self.valid_range, self.scale)


@dataclass(frozen=True)
class PredictJob:
    """Everything that one mosaic is made from.

    Parameters
    ----------
    spec : FeatureSpec
        The drivers.
    bundle_url : str
        The trained ensemble.
    mosaic_url : str
        Where the mosaic goes.
    grid : NestedGrid
        Its grid.
    cells_per_tile : int
        Coarse cells along one side of a tile (one task, one shard).
    layers : tuple of LayerJob
        What to map.
    days : tuple of str
        ISO days, in order.
    constraint : str
        ``logit``, ``smooth``, ``additive``, ``multiplicative`` or ``none``.
    members_url : str, optional
        Where each network's own map goes, if it is wanted.
    threads : int
        Threads that the networks may use in one task.
    """

    spec: Any
    bundle_url: str
    mosaic_url: str
    grid: NestedGrid
    cells_per_tile: int
    layers: tuple[LayerJob, ...]
    days: tuple[str, ...]
    constraint: Kind = "logit"
    members_url: str | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True)
class PredictTask:
    """One tile of a mosaic, all of its days.

    Parameters
    ----------
    job : PredictJob
        What it belongs to.
    tile : Tile
        Its cells.
    fingerprint : str
        Identity of what the mosaic is made from; a process that meets another one opens everything anew.
    """

    job: PredictJob
    tile: Tile
    fingerprint: str = ""

    @property
    def key(self) -> str:
        """Name of the task, unique in its plan."""
        return f"predict-r{self.tile.row:04d}-c{self.tile.col:04d}"
