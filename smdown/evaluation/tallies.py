"""Sums by key that tiles leave beside the plain comparison: one kind of statistic each, all merged the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from smdown.evaluation.applicability import Area, Profile
from smdown.evaluation.calibration import Calibration
from smdown.evaluation.space.cells import CellErrors
from smdown.evaluation.space.spectrum import Spectrum
from smdown.evaluation.stats import Comparison

Key = tuple[str, ...]


class Statistic(Protocol):
    """What adds up, and becomes a list of plain JSON."""

    def __add__(self, other: Any, /) -> Any: ...

    def as_list(self) -> list[Any]:
        """Return plain JSON."""
        ...


KINDS: dict[str, Any] = {
    "calibration": Calibration,
    "profiles": Profile,
    "area": Area,
    "spectra": Spectrum,
    "cells": CellErrors,
    "references": Comparison,
}
"""Kinds of statistics, by the name of their sums."""


@dataclass
class Tallies:
    """Sums of some tiles.

    Parameters
    ----------
    calibration, profiles : dict
        By layer and member, against the truth: of the stated uncertainty, and by dissimilarity index.
    area : dict
        Pixels inside and outside of the area of applicability, by day.
    spectra : dict
        By layer, day and field.
    cells : dict
        Errors of each coarse cell against the truth, by layer and member.
    references : dict
        Comparison with other gridded products, by product, layer, day and member.
    """

    calibration: dict[Key, Calibration] = field(default_factory=dict)
    profiles: dict[Key, Profile] = field(default_factory=dict)
    area: dict[Key, Area] = field(default_factory=dict)
    spectra: dict[Key, Spectrum] = field(default_factory=dict)
    cells: dict[Key, CellErrors] = field(default_factory=dict)
    references: dict[Key, Comparison] = field(default_factory=dict)

    def put(self, kind: str, key: Key, value: Statistic) -> None:
        """Add a value to the sum of its kind and key."""
        sums = getattr(self, kind)
        sums[key] = sums[key] + value if key in sums else value

    def add(self, other: Tallies) -> None:
        """Take in the sums of other tiles."""
        for kind in KINDS:
            for key, value in getattr(other, kind).items():
                self.put(kind, key, value)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON; floats keep every bit."""
        return {kind: [[*key, value.as_list()] for key, value in getattr(self, kind).items()] for kind in KINDS}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the sums that :meth:`as_json` wrote."""
        return cls(**{kind: {tuple(r[:-1]): of.from_list(r[-1]) for r in data[kind]} for kind, of in KINDS.items()})
