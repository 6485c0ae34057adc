"""Accumulated local effects: how predictions follow one driver, the others staying what they are (Apley and Zhu 2020).

Inside each interval between quantiles of the driver, pixels that lie there are moved to both ends of it; the mean
differences are added up over the intervals and centred. Unlike partial dependence, no pixel is given drivers that occur
together nowhere (Journal of the Royal Statistical Society B 82, 1059-1086).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smdown.evaluation.drivers.pixels import Array, Model, Pixels

BINS = 16


@dataclass(frozen=True, eq=False)
class Effect:
    """The effect of one driver.

    Parameters
    ----------
    edges : ndarray
        ``(edge,)``, standardised units.
    values : ndarray
        ``(member, layer, edge)``, in the layers' units, centred over the pixels.
    importance : ndarray
        ``(member, layer)``: standard deviation of the effect over the pixels.
    """

    edges: Array
    values: Array
    importance: Array


def common_edges(samples: Sequence[Pixels], channel: int, bins: int = BINS) -> Array:
    """Return quantiles of a driver over the pixels of all resolutions, each of which counts alike."""
    quantiles = np.linspace(0, 1, bins + 1)
    each = [np.quantile(pixels.fine[:, channel].astype(np.float64), quantiles) for pixels in samples if len(pixels)]
    return np.unique(np.mean(each, axis=0))


def effect(model: Model, pixels: Pixels, channel: int, edges: Array) -> Effect:
    """Return the effect of a driver.

    Parameters
    ----------
    model : Model
        What is explained.
    pixels : Pixels
        Where.
    channel : int
        Position of the driver.
    edges : ndarray
        Ends of the intervals, rising; pixels beyond belong to the outermost ones.
    """
    values = pixels.fine[:, channel].astype(np.float64)
    if len(edges) < 2:
        shape = model(pixels.fine[:1], pixels.series[:1]).shape[:2]
        return Effect(edges, np.zeros((*shape, len(edges))), np.zeros(shape))
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    low, high = pixels.fine.copy(), pixels.fine.copy()
    low[:, channel], high[:, channel] = edges[place], edges[place + 1]
    change = model(high, pixels.series) - model(low, pixels.series)
    count = np.bincount(place, minlength=len(edges) - 1)
    flat = change.reshape(-1, change.shape[-1])
    mean = np.stack([np.bincount(place, weights=row, minlength=len(edges) - 1) for row in flat]) / np.maximum(count, 1)
    mean = _bridged(mean, count, edges)
    curve = np.concatenate([np.zeros((len(flat), 1)), np.cumsum(mean, axis=1)], axis=1)
    inside = np.clip(values, edges[0], edges[-1])
    at = np.stack([np.interp(inside, edges, row) for row in curve])
    shape = (*change.shape[:2], len(edges))
    return Effect(
        edges, (curve - at.mean(axis=1, keepdims=True)).reshape(shape), at.std(axis=1).reshape(change.shape[:2])
    )


def _bridged(mean: Array, count: npt.NDArray[np.int64], edges: Array) -> Array:
    """Return the differences, those of intervals without a pixel with the slope between their neighbours'."""
    width, known = np.diff(edges), count > 0
    middle = (edges[:-1] + edges[1:]) / 2
    slopes = [np.interp(middle, middle[known], (row / width)[known]) for row in mean]
    return np.asarray(np.stack(slopes) * width)
