"""A layer's mean from sensors at several depths: the trapezoid rule on the profile that they draw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.sources.config import StationLayer
from smdown.sources.values import Float32

_SAME_DEPTH_M = 1e-3


def trapezoid_weights(depths: npt.NDArray[np.float64], top: float, bottom: float) -> npt.NDArray[np.float64]:
    """Return the weights that turn values at depths into the mean over a layer.

    The profile is linear between sensors and constant above the first and below the last.

    Parameters
    ----------
    depths : ndarray
        Depths, m, strictly increasing, all within the layer.
    top, bottom : float
        The layer, m.

    Returns
    -------
    ndarray
        Weights that are not negative and sum to one.
    """
    edges = np.concatenate([[2 * top - depths[0]], depths, [2 * bottom - depths[-1]]])
    return np.asarray((edges[2:] - edges[:-2]) / (2 * (bottom - top)), dtype=np.float64)


def merge_depths(series: Float32, depths: npt.NDArray[np.float64]) -> tuple[Float32, npt.NDArray[np.float64]]:
    """Return one series for each different depth, the mean of the sensors there.

    Parameters
    ----------
    series : ndarray
        ``(sensor, time)``, NaN for missing.
    depths : ndarray
        Depth of each sensor, m.
    """
    key = np.rint(depths / _SAME_DEPTH_M).astype(np.int64)
    unique = np.unique(key)
    rows = [_mean(series[key == k]) for k in unique]
    return np.stack(rows), np.array([float(depths[key == k].mean()) for k in unique])


def _mean(rows: Float32) -> Float32:
    count = np.isfinite(rows).sum(axis=0)
    total = np.nansum(rows, axis=0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def layer_mean(series: Float32, tops: list[float], bottoms: list[float], layer: StationLayer) -> Float32:
    """Return the daily mean over a layer, NaN on days with too few depths or none near the surface.

    Parameters
    ----------
    series : ndarray
        ``(sensor, time)`` daily values.
    tops, bottoms : list of float
        Upper and lower end of each sensor, m; it stands at their middle.
    layer : StationLayer
        Which sensors count and how many are needed.

    Returns
    -------
    ndarray
        ``(time,)``.
    """
    top, bottom = layer.depth
    inside = [n for n, (a, b) in enumerate(zip(tops, bottoms, strict=True)) if top - 1e-6 <= a and b <= bottom + 1e-6]
    out = np.full(series.shape[1], np.nan, dtype=np.float32)
    if not inside:
        return out
    middles = np.array([(tops[n] + bottoms[n]) / 2 for n in inside])
    merged, depths = merge_depths(series[inside], middles)
    valid = np.isfinite(merged)
    for pattern in np.unique(valid, axis=1).T:
        at = depths[pattern]
        if at.size < layer.minimum_sensors or at[0] > top + layer.surface_within:
            continue
        days = (valid == pattern[:, None]).all(axis=0)
        out[days] = trapezoid_weights(at, top, bottom) @ merged[pattern][:, days]
    return out
