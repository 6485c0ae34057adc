"""Banded weights along one axis, from global coordinates alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Method = Literal["cubic", "average", "bilinear", "nearest", "mode"]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
RADIUS: dict[str, int] = {"cubic": 2, "bilinear": 1}
"""Source pixels that a kernel reaches on either side when it is not widened."""
_SLACK = 1e-9
"""Part of a source pixel that counts as nothing, so that edges which fall together do so in floating point too."""


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """For each target pixel of an axis, the source pixels that it draws on.

    Every row follows from its own pixel's place alone, so the rows of a window are those of the whole.

    Parameters
    ----------
    method : {"cubic", "average", "bilinear", "nearest", "mode"}
        Kernel; the mode weighs as the average does.
    start : ndarray of int64, (n,)
        First source pixel of each target pixel's taps.
    count : ndarray of int64, (n,)
        Taps of each target pixel.
    weights : ndarray of float32, (n, most taps)
        Weights of that and the following source pixels; each row sums to 1 and is 0 beyond its own taps.
    nearest : ndarray of int64, (n,)
        Source pixel that holds the target pixel's centre; one of its taps.
    """

    method: Method
    start: I64
    count: I64
    weights: npt.NDArray[np.float32]
    nearest: I64

    @property
    def reach(self) -> tuple[int, int]:
        """First source pixel needed, and the one after the last."""
        return int(self.start.min()), int((self.start + self.count).max())

    def cut(self, part: slice) -> AxisWeights:
        """Return some of the target pixels."""
        return AxisWeights(self.method, self.start[part], self.count[part], self.weights[part], self.nearest[part])


def keys(t: F64) -> F64:
    """Return the cubic convolution kernel with a = -0.5 (Keys 1981, doi:10.1109/TASSP.1981.1163711, eq. 15)."""
    t = np.abs(t)
    near = (1.5 * t - 2.5) * t * t + 1.0
    far = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def axis_weights(edges: F64, method: Method) -> AxisWeights:
    """Compute the weights of target pixels from where their edges fall on the source axis.

    Parameters
    ----------
    edges : ndarray of float64, (n + 1,)
        Positions of the target pixels' edges in source pixels, counted from the source's first edge, either running
        up or down.
    method : {"cubic", "average", "bilinear", "nearest", "mode"}
        Cubic and bilinear kernels are widened by the ratio when coarsening, which keeps fine detail from aliasing.
    """
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    centre = 0.5 * (low + high)
    nearest = np.floor(centre).astype(np.int64)
    if method == "nearest":
        one = np.ones_like(nearest)
        return AxisWeights(method, nearest, one, one[:, None].astype(np.float32), nearest)
    area = method in {"average", "mode"}
    scale = np.maximum(1.0, high - low)
    if area:
        start, stop = np.floor(low + _SLACK).astype(np.int64), np.ceil(high - _SLACK).astype(np.int64)
    else:
        start = np.floor(centre - 0.5 - RADIUS[method] * scale).astype(np.int64) + 1
        stop = np.ceil(centre - 0.5 + RADIUS[method] * scale).astype(np.int64)
        stop = np.maximum(stop, start + 2 * RADIUS[method])
    taps = start[:, None] + np.arange(int((stop - start).max()))
    if area:
        weights = np.maximum(np.minimum(taps + 1, high[:, None]) - np.maximum(taps, low[:, None]), 0.0)
    else:
        t = (taps + 0.5 - centre[:, None]) / scale[:, None]
        weights = keys(t) if method == "cubic" else np.maximum(1.0 - np.abs(t), 0.0)
    weights = np.where(taps < stop[:, None], weights, 0.0)
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # in order of the taps: padding changes no bit
    return AxisWeights(method, start, stop - start, weights.astype(np.float32), nearest)
