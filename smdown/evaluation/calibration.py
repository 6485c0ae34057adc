"""Is the stated uncertainty right: coverage, PIT histogram, CRPS, and spread beside skill, in counts that merge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.kernels.scores import PER_OCTAVE, PIT_BINS, SPREAD_BINS, count_scores

F32 = npt.NDArray[np.float32]

NOMINAL = (0.5, 0.8, 0.9, 0.95)
"""Probabilities of the central intervals whose coverage is counted."""
HALF_WIDTHS = (0.6744897501960817, 1.2815515655446004, 1.6448536269514722, 1.959963984540054)
"""Their half widths of a normal distribution, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Counts of one estimate against one reference.

    Parameters
    ----------
    n : int
        Pairs with a stated standard deviation above 0.
    crps, z, zz : float
        Sums of the continuous ranked probability score, of the errors over their standard deviations, and of the
        squares of these.
    hits : tuple of float
        Pairs inside each of the central intervals of `NOMINAL`.
    pit : tuple of float
        Histogram of the probability integral transform, the stated probability of what is below the reference
        (Gneiting, Balabdaoui and Raftery 2007).
    counts, spread, error : tuple of float
        By bin of the standard deviation: pairs, sums of its squares, sums of squared errors.
    """

    n: int = 0
    crps: float = 0.0
    z: float = 0.0
    zz: float = 0.0
    hits: tuple[float, ...] = (0.0,) * len(NOMINAL)
    pit: tuple[float, ...] = (0.0,) * PIT_BINS
    counts: tuple[float, ...] = (0.0,) * SPREAD_BINS
    spread: tuple[float, ...] = (0.0,) * SPREAD_BINS
    error: tuple[float, ...] = (0.0,) * SPREAD_BINS

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(
            **{f.name: _plus(getattr(self, f.name), getattr(other, f.name)) for f in fields(Calibration)}
        )

    def metrics(self, span: float) -> dict[str, Any]:
        """Return the figures, given the layer's range; see `calibrate`. Empty without pairs."""
        if not self.n:
            return {}
        coverage = [count / self.n for count in self.hits]
        sharpness, rms = (math.sqrt(sum(values) / self.n) for values in (self.spread, self.error))
        mean = self.z / self.n
        return {
            "n": self.n,
            "coverage": coverage,
            "calibration_error": sum(abs(c - p) for c, p in zip(coverage, NOMINAL, strict=True)) / len(NOMINAL),
            "pit": [int(count) for count in self.pit],
            "crps": self.crps / self.n,
            "sharpness": sharpness,
            "rms_error": rms,
            "spread_skill": sharpness / rms if rms > 0 else math.nan,
            "z_mean": mean,
            "z_std": math.sqrt(max(0.0, self.zz / self.n - mean * mean)),
            "spread": self._bins(span),
        }

    def _bins(self, span: float) -> list[dict[str, float]]:
        edges = spread_edges(span)
        rows = zip(edges[:-1], edges[1:], self.counts, self.spread, self.error, strict=True)
        return [
            {"low": low, "high": high, "n": int(n), "spread": math.sqrt(spread / n), "rmse": math.sqrt(error / n)}
            for low, high, n, spread, error in rows
            if n
        ]

    def as_list(self) -> list[Any]:
        """Return plain JSON."""
        return [list(v) if isinstance(v, tuple) else v for v in (getattr(self, f.name) for f in fields(Calibration))]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Calibration:
        """Return the counts that :meth:`as_list` wrote."""
        n, crps, z, zz = values[:4]
        return cls(int(n), crps, z, zz, *(tuple(v) for v in values[4:]))


def _plus(a: Any, b: Any) -> Any:
    return tuple(x + y for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b


def spread_edges(span: float) -> list[float]:
    """Return the edges of the bins of standard deviation; the outermost bins take what is beyond as well."""
    return [span * 2.0 ** ((k - SPREAD_BINS) / PER_OCTAVE) for k in range(SPREAD_BINS + 1)]


def span_of(limits: tuple[float, float] | None) -> float:
    """Return the width of a layer's physical range, 1 where it has none."""
    return limits[1] - limits[0] if limits else 1.0


def calibrate(estimate: npt.ArrayLike, reference: npt.ArrayLike, std: npt.ArrayLike, span: float) -> Calibration:
    """Count the pairs whose three values are finite and whose standard deviation is above 0.

    The stated distribution is the normal one with mean `estimate`.

    Parameters
    ----------
    estimate, reference, std : array
        Of one shape.
    span : float
        Upper edge of the bins of the standard deviation, such as the layer's physical range.
    """
    x, y, sigma = (np.ascontiguousarray(v, dtype=np.float32).reshape(1, -1) for v in (estimate, reference, std))
    return calibrate_field(x, y, sigma, span)


def calibrate_field(estimate: F32, reference: F32, std: F32, span: float) -> Calibration:
    """Do the same for float32 fields ``(y, x)``."""
    scores, hits, pit, spread = count_scores(estimate, reference, std, span, np.asarray(HALF_WIDTHS))
    n, crps, z, zz = (float(v) for v in scores)
    counts, variances, squares = (tuple(row.tolist()) for row in spread)
    return Calibration(int(n), crps, z, zz, tuple(hits.tolist()), tuple(pit.tolist()), counts, variances, squares)
