"""Error against the dissimilarity index of the drivers, inside and outside of the area of applicability.

After the error profiles of Meyer and Pebesma (2021, doi:10.1111/2041-210X.13650): counts that merge, in fixed bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.cubes import Cube
from smdown.evaluation.stats import Z_90
from smdown.kernels.scores import sort_errors

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

DISSIMILARITY = "dissimilarity"
"""Variable of the mosaic."""
EDGES = (0.0, *(k / 10 for k in range(1, 11)), 1.25, 1.5, 2.0, 3.0, 5.0, math.inf)
"""Edges of the bins, in thresholds; a bin holds its upper edge, so the area of applicability is whole bins."""
INSIDE = 10
"""Bins that are inside of it."""
_BINS = len(EDGES) - 1
_NONE = (0.0,) * _BINS


@dataclass(frozen=True, slots=True)
class Area:
    """Pixels of the map that have an index, and how many of them are outside of the area of applicability."""

    pixels: int = 0
    outside: int = 0

    def __add__(self, other: Area) -> Area:
        return Area(self.pixels + other.pixels, self.outside + other.outside)

    @property
    def share(self) -> float:
        """Share outside, NaN without pixels."""
        return self.outside / self.pixels if self.pixels else math.nan

    def as_list(self) -> list[int]:
        """Return plain JSON."""
        return [self.pixels, self.outside]

    @classmethod
    def from_list(cls, values: Sequence[int]) -> Area:
        """Return the counts that :meth:`as_list` wrote."""
        return cls(*values)


@dataclass(frozen=True, slots=True)
class Profile:
    """Errors of one estimate by bin of the index.

    Parameters
    ----------
    counts, errors, squares : tuple of float
        Pairs, and sums of their errors and squared errors.
    intervals, hits : tuple of float
        Pairs with a stated standard deviation, and those of them inside the stated 90 % interval.
    """

    counts: tuple[float, ...] = _NONE
    errors: tuple[float, ...] = _NONE
    squares: tuple[float, ...] = _NONE
    intervals: tuple[float, ...] = _NONE
    hits: tuple[float, ...] = _NONE

    def __add__(self, other: Profile) -> Profile:
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(Profile))
        return Profile(*(tuple(x + y for x, y in zip(a, b, strict=True)) for a, b in pairs))

    def metrics(self, threshold: float) -> dict[str, Any]:
        """Return the figures inside, outside and by bin, given the threshold; empty without pairs."""
        if not sum(self.counts):
            return {}
        bins = [
            {"low": low * threshold, "high": high * threshold} | self._figures(k, k + 1)
            for k, (low, high) in enumerate(pairwise(EDGES))
            if self.counts[k]
        ]
        return {"inside": self._figures(0, INSIDE), "outside": self._figures(INSIDE, _BINS), "bins": bins}

    def _figures(self, first: int, last: int) -> dict[str, float]:
        sums = (sum(getattr(self, f.name)[first:last]) for f in fields(Profile))
        n, error, square, intervals, hits = sums
        return {
            "n": int(n),
            "rmse": math.sqrt(square / n) if n else math.nan,
            "bias": error / n if n else math.nan,
            "coverage_90": hits / intervals if intervals else math.nan,
        }

    def as_list(self) -> list[list[float]]:
        """Return plain JSON."""
        return [list(getattr(self, f.name)) for f in fields(Profile)]

    @classmethod
    def from_list(cls, values: Sequence[Sequence[float]]) -> Profile:
        """Return the profile that :meth:`as_list` wrote."""
        return cls(*(tuple(v) for v in values))


def threshold_of(mosaic: Cube) -> float:
    """Return the index beyond which a pixel is outside of the area of applicability, NaN where none is stated."""
    variable = mosaic.variables.get(DISSIMILARITY)
    return math.nan if variable is None else float(variable.attrs.get("threshold", math.nan))


def area_of(index: F32, field: F32, threshold: float) -> Area:
    """Count the pixels of a map, ``(y, x)`` float32 like their index, that have both a value and an index."""
    known = np.isfinite(index) & np.isfinite(field)
    return Area(int(np.count_nonzero(known)), int(np.count_nonzero(known & (index > np.float32(threshold)))))


def profile(
    estimate: npt.ArrayLike,
    reference: npt.ArrayLike,
    std: npt.ArrayLike | None,
    index: npt.ArrayLike,
    threshold: float,
) -> Profile:
    """Sort the errors of all pairs with a finite index into bins.

    Parameters
    ----------
    estimate, reference, index : array
        Of one shape, NaN for missing.
    std : array, optional
        Stated standard deviation.
    threshold : float
        Index beyond which a place is outside of the area of applicability.
    """
    x, y, di = (np.ascontiguousarray(v, dtype=np.float32).ravel() for v in (estimate, reference, index))
    sigma = np.full(1, np.nan, np.float32) if std is None else np.ascontiguousarray(std, dtype=np.float32).ravel()
    edges = (np.asarray(EDGES[1:-1]) * threshold).astype(np.float32)
    return Profile(*(tuple(row.tolist()) for row in sort_errors(x, y, sigma, di, edges, Z_90)))
