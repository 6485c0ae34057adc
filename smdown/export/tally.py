"""Statistics of a map, gathered block by block and kept in its GeoTIFF."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Stats:
    """Statistics of a map's valid pixels.

    Parameters
    ----------
    low, high, mean, std : float
        Of the values; NaN where nothing is valid.
    valid_percent : float
        Share of pixels with a value.
    """

    low: float
    high: float
    mean: float
    std: float
    valid_percent: float

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Stats:
        """Return the statistics of a GeoTIFF's band, of counts, from its metadata."""
        low, high, mean, std = (
            float(tags.get(f"STATISTICS_{name}", "nan")) for name in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV")
        )
        share = float(tags.get("STATISTICS_VALID_PERCENT", "0"))
        return cls(low, high, mean, std, share)

    def scaled(self, scale: float | None) -> Stats:
        """Return those of the values, from those of counts."""
        by = 1.0 if scale is None else scale
        return Stats(self.low * by, self.high * by, self.mean * by, self.std * by, self.valid_percent)

    def tags(self) -> dict[str, str]:
        """Return the metadata under which GDAL keeps statistics of a band; those of counts, before any scale."""
        if math.isnan(self.mean):
            return {}
        values = {"MINIMUM": self.low, "MAXIMUM": self.high, "MEAN": self.mean, "STDDEV": self.std}
        share = {"STATISTICS_VALID_PERCENT": f"{self.valid_percent:.6g}"}
        return {f"STATISTICS_{name}": f"{value:.10g}" for name, value in values.items()} | share


@dataclass
class Tally:
    """Moments of the valid pixels that have been seen so far."""

    pixels: int = 0
    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: npt.NDArray[Any], pixels: int) -> None:
        """Take in the valid values of a block of `pixels` pixels."""
        self.pixels += pixels
        if values.size:
            exact = values.astype(np.float64)
            self.count += exact.size
            self.low, self.high = min(self.low, float(exact.min())), max(self.high, float(exact.max()))
            self.total += float(exact.sum())
            self.squares += float(np.dot(exact, exact))

    def same(self, other: Tally) -> bool:
        """Whether another tally is of the same pixels, in whatever order they came."""
        exact = (self.pixels, self.count, self.low, self.high) == (other.pixels, other.count, other.low, other.high)
        return exact and math.isclose(self.total, other.total, rel_tol=1e-9, abs_tol=1e-9)

    @property
    def stats(self) -> Stats:
        """Its statistics."""
        share = 100.0 * self.count / max(1, self.pixels)
        if not self.count:
            return Stats(math.nan, math.nan, math.nan, math.nan, share)
        mean = self.total / self.count
        return Stats(self.low, self.high, mean, math.sqrt(max(0.0, self.squares / self.count - mean**2)), share)
