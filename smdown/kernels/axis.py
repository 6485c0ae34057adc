"""Banded weights along one axis, from global coordinates alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Method = Literal["cubic", "average", "bilinear", "nearest"]
F64 = npt.NDArray[np.float64]
_RADIUS = {"cubic": 2.0, "bilinear": 1.0}


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """For each target pixel of an axis, the source pixels that it draws on.

    Parameters
    ----------
    start : ndarray of int64, (n,)
        First source pixel of each target pixel's taps.
    weights : ndarray of float64, (n, taps)
        Weights of that and the following source pixels; each row sums to 1.
    nearest : ndarray of int64, (n,)
        Source pixel that holds the target pixel's centre.
    """

    start: npt.NDArray[np.int64]
    weights: F64
    nearest: npt.NDArray[np.int64]

    @property
    def reach(self) -> tuple[int, int]:
        """First source pixel needed, and the one after the last."""
        return int(self.start.min()), int(self.start.max()) + self.weights.shape[1]


def keys(t: F64) -> F64:
    """Return the cubic convolution kernel with a = -0.5 (Keys 1981, doi:10.1109/TASSP.1981.1163711, eq. 15)."""
    t = np.abs(t)
    near = (1.5 * t - 2.5) * t * t + 1.0
    far = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def axis_weights(edges: F64, method: Method, taps: int | None = None) -> AxisWeights:
    """Compute the weights of target pixels from where their edges fall on the source axis.

    Parameters
    ----------
    edges : ndarray of float64, (n + 1,) or (n, 2)
        Positions of the target pixels' edges in source pixels, counted from the source's first edge. Either running
        up or down. With shape (n, 2) each target pixel has its own pair.
    method : {"cubic", "average", "bilinear", "nearest"}
        Cubic and bilinear kernels are widened by the ratio when coarsening, which keeps fine detail from aliasing.
    taps : int, optional
        Taps of every pixel. Give the same number for every window of one grid (see `tap_count`), so that their
        sums are taken alike; by default as many as these pixels need.
    """
    pairs = edges if edges.ndim == 2 else np.stack([edges[:-1], edges[1:]], axis=1)
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    centre = 0.5 * (low + high)
    nearest = np.floor(centre).astype(np.int64)
    if method == "nearest":
        return AxisWeights(nearest, np.ones((len(nearest), 1)), nearest)
    if method == "average":
        start = np.floor(low + 1e-9).astype(np.int64)
        taps = taps or tap_count(float((high - low).max()), method)
        cell = start[:, None] + np.arange(taps)
        weights = np.clip(np.minimum(cell + 1, high[:, None]) - np.maximum(cell, low[:, None]), 0.0, None)
    else:
        scale = np.maximum(1.0, high - low)
        start = np.floor(centre - 0.5 - _RADIUS[method] * scale).astype(np.int64) + 1
        taps = taps or tap_count(float(scale.max()), method)
        t = (start[:, None] + np.arange(taps) + 0.5 - centre[:, None]) / scale[:, None]
        weights = keys(t) if method == "cubic" else np.clip(1.0 - np.abs(t), 0.0, None)
    return AxisWeights(start, weights / np.cumsum(weights, axis=1)[:, -1:], nearest)


def tap_count(scale: float, method: Method) -> int:
    """Return how many taps a target pixel of `scale` source pixels needs at most, up to rounding of `scale`."""
    if method == "nearest":
        return 1
    if method == "average":
        return math.ceil(scale - 1e-6) + 1
    return math.ceil(2 * _RADIUS[method] * max(1.0, scale) - 1e-6)
