"""Counting what is written, block by block, in little memory: any split of the work adds up to the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

BINS = 20
"""Bins of a histogram as it is shown."""
_FINE = 4096
_MANTISSA = 23
_LEAST = -200  # of nothing but zeros, which any bins hold: below that of the smallest float32


@dataclass
class Histogram:
    """Counts in bins whose width is a power of two, made wider as the range grows.

    The width depends on the smallest and largest value alone, so the order of adding and merging does not matter.
    """

    exponent: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    low: float = math.inf
    high: float = -math.inf

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take in finite values."""
        if values.size:
            self._widen(float(values.min()), float(values.max()))
            index = np.floor(np.ldexp(values.astype(np.float64), -self.exponent)).astype(np.int64)
            first = int(index.min())
            for n, count in enumerate(np.bincount(index - first)):
                if count:
                    self.counts[first + n] = self.counts.get(first + n, 0) + int(count)

    def merge(self, other: Histogram) -> None:
        """Take in another's counts."""
        if other.counts:
            self._widen(other.low, other.high)
            shift = self.exponent - other.exponent
            for index, count in other.counts.items():
                self.counts[index >> shift] = self.counts.get(index >> shift, 0) + count

    def _widen(self, low: float, high: float) -> None:
        """Take new limits into account."""
        new = not self.counts
        self.low, self.high = min(self.low, low), max(self.high, high)
        exponent = _exponent(self.low, self.high)
        if not new and (shift := exponent - self.exponent) > 0:
            old, self.counts = self.counts, {}
            for index, count in old.items():
                self.counts[index >> shift] = self.counts.get(index >> shift, 0) + count
        self.exponent = exponent

    def binned(self, bins: int = BINS) -> tuple[int, ...]:
        """Return the counts in even bins from the smallest to the largest value."""
        out = [0] * bins
        width = (self.high - self.low) / bins
        for index, count in self.counts.items():
            middle = min(max(math.ldexp(index + 0.5, self.exponent), self.low), self.high)
            out[min(bins - 1, int((middle - self.low) / width)) if width > 0 else 0] += count
        return tuple(out)


def _exponent(low: float, high: float) -> int:
    """Return the least power of two whose bins from `low` to `high` are few, none finer than float32 tells apart."""
    largest = max(abs(low), abs(high))
    exponent = math.frexp(largest)[1] - _MANTISSA if largest > 0 else _LEAST
    while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= _FINE:
        exponent += 1
    return exponent


@dataclass
class Tally:
    """Counts of what was written for one variable."""

    total: int = 0
    valid: int = 0
    days: set[int] = field(default_factory=set)
    histogram: Histogram = field(default_factory=Histogram)

    def add(self, values: npt.NDArray[Any], time: int | None = None) -> None:
        """Count one block, NaN for missing."""
        good = values[np.isfinite(values)]
        self.total += values.size
        self.valid += good.size
        if good.size:
            self.histogram.add(good)
            if time is not None:
                self.days.add(time)

    def merge(self, other: Tally) -> None:
        """Take in another's counts."""
        self.total += other.total
        self.valid += other.valid
        self.days |= other.days
        self.histogram.merge(other.histogram)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON."""
        h = self.histogram
        bins = {"exponent": h.exponent, "low": h.low, "high": h.high, "counts": sorted(h.counts.items())}
        return {
            "total": self.total, "valid": self.valid, "days": sorted(self.days), "bins": bins if h.counts else None
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the counts that :meth:`as_json` wrote."""
        bins = data["bins"] or {}
        histogram = Histogram(**(bins | {"counts": {int(k): int(n) for k, n in bins["counts"]}})) if bins else None
        return cls(data["total"], data["valid"], set(data["days"]), histogram or Histogram())
