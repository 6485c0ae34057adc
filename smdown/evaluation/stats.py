"""Statistics that merge: computed by tile or by chunk, added up in any grouping, equal to those of the whole.

Everything is kept as *centred* moments, which stay exact where plain sums of squares cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Z_90 = 1.6448536269514722
"""Half width of the central 90 % interval of a normal distribution, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Centred moments of pairs (x = estimate, y = reference).

    Parameters
    ----------
    n : int
        Pairs.
    mean_x, mean_y : float
        Means.
    m2_x, m2_y, m2_xy, m2_d : float
        Sums of squared deviations of x, of y, of their products, and of x - y, each from its own mean.
    """

    n: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    m2_x: float = 0.0
    m2_y: float = 0.0
    m2_xy: float = 0.0
    m2_d: float = 0.0

    @classmethod
    def of(cls, x: npt.ArrayLike, y: npt.ArrayLike) -> Moments:
        """Return the moments of all pairs in which both values are finite."""
        a, b = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
        ok = np.isfinite(a) & np.isfinite(b)
        a, b = a[ok], b[ok]
        if a.size == 0:
            return cls()
        mean_x, mean_y = float(a.mean()), float(b.mean())
        dx, dy = a - mean_x, b - mean_y
        m2 = (dx @ dx, dy @ dy, dx @ dy, (dx - dy) @ (dx - dy))
        return cls(int(a.size), mean_x, mean_y, *(float(v) for v in m2))

    def __add__(self, other: Moments) -> Moments:
        """Merge by the pairwise formula of Chan, Golub and LeVeque (1983)."""
        n = self.n + other.n
        if n == 0:
            return self
        share = other.n / n
        dx, dy = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        weight = self.n * share
        return Moments(
            n,
            self.mean_x + dx * share,
            self.mean_y + dy * share,
            self.m2_x + other.m2_x + weight * dx * dx,
            self.m2_y + other.m2_y + weight * dy * dy,
            self.m2_xy + other.m2_xy + weight * dx * dy,
            self.m2_d + other.m2_d + weight * (dx - dy) ** 2,
        )

    def metrics(self) -> dict[str, float]:
        """Return ``n, r, bias, rmse, ubrmse`` (bias = estimate - reference; divisor n); NaN where undefined.

        Definitions as in pytesmo and QA4SM: ``rmse^2 = bias^2 + ubrmse^2``; of a single pair there is no ubRMSE.
        """
        if self.n == 0:
            return {"n": 0, "r": math.nan, "bias": math.nan, "rmse": math.nan, "ubrmse": math.nan}
        bias = self.mean_x - self.mean_y
        variance = max(self.m2_d, 0.0) / self.n
        r = correlation(self.m2_x, self.m2_y, self.m2_xy, self.n * max(abs(self.mean_x), abs(self.mean_y)) ** 2)
        rmse, ubrmse = math.sqrt(bias * bias + variance), math.sqrt(variance) if self.n > 1 else math.nan
        return {"n": self.n, "r": r, "bias": bias, "rmse": rmse, "ubrmse": ubrmse}


def correlation(xx: float, yy: float, xy: float, scale: float = 0.0) -> float:
    """Return ``xy / sqrt(xx yy)``, or NaN where one of the two does not vary beyond rounding at `scale`."""
    if min(xx, yy) <= 1e-24 * scale or xx * yy <= 0:
        return math.nan
    return max(-1.0, min(1.0, xy / math.sqrt(xx * yy)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one field compares with a reference: over all pixels, and inside the coarse cells.

    Parameters
    ----------
    total : Moments
        Of all pixels.
    within_x, within_y, within_xy : float
        Sums of squares and products of the anomalies from the mean of their cell, over all cells.
    hits, intervals : int
        Pixels whose error lies inside the stated 90 % interval, and pixels that have such an interval.
    crps : float
        Sum of the continuous ranked probability score over all pixels.
    """

    total: Moments = Moments()
    within_x: float = 0.0
    within_y: float = 0.0
    within_xy: float = 0.0
    hits: int = 0
    intervals: int = 0
    crps: float = 0.0

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.total + other.total,
            self.within_x + other.within_x,
            self.within_y + other.within_y,
            self.within_xy + other.within_xy,
            self.hits + other.hits,
            self.intervals + other.intervals,
            self.crps + other.crps,
        )

    def metrics(self) -> dict[str, float]:
        """Return those of all pixels, and ``r_within_cell``, ``var_ratio_within``, ``crps``; ``coverage_90`` if stated.

        Where no standard deviation is stated the score is that of a single value: the mean absolute error.
        """
        out = self.total.metrics()
        scale = self.total.n * self.total.mean_y**2
        out["r_within_cell"] = correlation(self.within_x, self.within_y, self.within_xy, scale)
        out["var_ratio_within"] = self.within_x / self.within_y if self.within_y > 0 else math.nan
        out["crps"] = self.crps / self.total.n if self.total.n else math.nan
        if self.intervals:
            out["coverage_90"] = self.hits / self.intervals
        return out

    def as_list(self) -> list[float]:
        """Return all numbers in order, for JSON."""
        inside = (self.within_x, self.within_y, self.within_xy)
        return [*astuple(self.total), *inside, self.hits, self.intervals, self.crps]

    @classmethod
    def from_list(cls, values: list[Any]) -> Comparison:
        """Return the comparison that :meth:`as_list` wrote."""
        total = Moments(int(values[0]), *values[1:7])
        return cls(total, values[7], values[8], values[9], int(values[10]), int(values[11]), values[12])


def compare(
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    ratio: int,
    std: npt.NDArray[np.float32] | None = None,
) -> Comparison:
    """Compare two fields that cover whole cells.

    Parameters
    ----------
    x, y : ndarray
        Estimate and reference, ``(y, x)``, NaN for missing; whole cells of ``ratio x ratio`` pixels.
    ratio : int
        Pixels along one side of a cell.
    std : ndarray, optional
        Stated standard deviation of `x`, for its score and the coverage of its 90 % interval.
    """
    return compare_cells(cell_moments(x, y, ratio), x, y, std)


def compare_cells(
    cells: npt.NDArray[np.float64],
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    std: npt.NDArray[np.float32] | None = None,
    score: tuple[float, float, float] | None = None,
) -> Comparison:
    """Do the same where the `cell_moments` of the fields, and perhaps hits, intervals and score, are known already."""
    table = cells.reshape(-1, 7)
    hits, intervals, crps = score or _score(x, y, np.full((1, 1), np.nan, np.float32) if std is None else std)
    xx, yy, xy = (float(v) for v in table[:, 3:6].sum(axis=0))
    return Comparison(_merge_cells(table), xx, yy, xy, int(hits), int(intervals), float(crps))


def squared_errors(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum of squared errors of each cell, ``(row, col)``, from its moments."""
    return np.asarray(cells[..., 6] + cells[..., 0] * (cells[..., 1] - cells[..., 2]) ** 2)


def gaussian_crps(error: npt.NDArray[np.floating[Any]], std: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the continuous ranked probability score of a normal distribution (Gneiting and Raftery 2007, eq. 21).

    Parameters
    ----------
    error : ndarray
        Mean minus observation.
    std : ndarray
        Of one shape; where it is 0 or missing the score is the absolute error.
    """
    error, std = np.asarray(error, dtype=np.float64), np.asarray(std, dtype=np.float64)
    stated = std > 0
    w = np.where(stated, error / np.where(stated, std, 1.0), 0.0)
    density, below = np.exp(-w * w / 2) / math.sqrt(2 * math.pi), ndtr(w)
    return np.where(stated, std * (w * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi)), np.abs(error))


def _sum_scores(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], std: npt.NDArray[np.float32]
) -> tuple[int, int, float]:
    """Return hits, intervals and the sum of the score of two fields; one missing `std` stands for none anywhere."""
    hits, intervals, total, stated = 0, 0, 0.0, std.shape == x.shape
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            error = np.float64(x[i, j]) - np.float64(y[i, j])
            if not math.isfinite(error):
                continue
            spread = np.float64(std[i, j]) if stated else math.nan
            if math.isfinite(spread):
                intervals += 1
                hits += int(abs(error) <= Z_90 * spread)
            if spread > 0:
                w = error / spread
                density = math.exp(-w * w / 2) / math.sqrt(2 * math.pi)
                total += spread * (w * math.erf(w / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))
            else:
                total += abs(error)
    return hits, intervals, total


_score: Callable[..., tuple[int, int, float]] = numba.njit(nogil=True, cache=True)(_sum_scores)


def _merge_cells(cells: npt.NDArray[np.float64]) -> Moments:
    """Merge the moments of many cells, ``(cell, 7)`` in the order of :class:`Moments`, at once."""
    n = cells[:, 0]
    total = n.sum()
    if total == 0:
        return Moments()
    mean_x, mean_y = n @ cells[:, 1] / total, n @ cells[:, 2] / total
    dx, dy = cells[:, 1] - mean_x, cells[:, 2] - mean_y
    between = (n @ (dx * dx), n @ (dy * dy), n @ (dx * dy), n @ (dx - dy) ** 2)
    m2 = cells[:, 3:].sum(axis=0) + np.array(between)
    return Moments(int(total), float(mean_x), float(mean_y), *(float(v) for v in m2))


def _cell_moments(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], ratio: int) -> npt.NDArray[np.float64]:
    rows, cols = x.shape[0] // ratio, x.shape[1] // ratio
    out = np.zeros((rows, cols, 7))
    for row in range(rows):
        for col in range(cols):
            n, sum_x, sum_y = 0, 0.0, 0.0
            for i in range(row * ratio, (row + 1) * ratio):
                for j in range(col * ratio, (col + 1) * ratio):
                    if math.isfinite(x[i, j]) and math.isfinite(y[i, j]):
                        n += 1
                        sum_x += np.float64(x[i, j])
                        sum_y += np.float64(y[i, j])
            if n == 0:
                continue
            mean_x, mean_y = sum_x / n, sum_y / n
            xx, yy, xy, dd = 0.0, 0.0, 0.0, 0.0
            for i in range(row * ratio, (row + 1) * ratio):
                for j in range(col * ratio, (col + 1) * ratio):
                    if math.isfinite(x[i, j]) and math.isfinite(y[i, j]):
                        dx, dy = np.float64(x[i, j]) - mean_x, np.float64(y[i, j]) - mean_y
                        xx += dx * dx
                        yy += dy * dy
                        xy += dx * dy
                        dd += (dx - dy) ** 2
            out[row, col] = np.array((float(n), mean_x, mean_y, xx, yy, xy, dd))
    return out


cell_moments: Callable[..., npt.NDArray[np.float64]] = numba.njit(nogil=True, cache=True)(_cell_moments)
"""Moments of each cell, ``(row, col, 7)``: n, mean of x and y, then the sums of squares xx, yy, xy, dd."""
