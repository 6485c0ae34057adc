"""Pixels of some samples, and networks that are asked about single pixels.

A convolution is given surroundings that are all like the pixel itself, so its answer follows from the pixel's drivers;
what it makes of patterns around a pixel is left to permutation, which works on whole cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from smdown.evaluation.samples import Sample

if TYPE_CHECKING:
    from torch import Tensor

    from smdown.networks import Network
    from smdown.training import Predictor

Array = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of several coarse cells and days, in standardised units.

    Parameters
    ----------
    fine : ndarray
        float32 ``(pixel, driver)``.
    series : ndarray
        float32 ``(pixel, day, driver)``; no driver without a sequence.
    cell : ndarray
        int ``(pixel,)``: which sample each comes from.
    """

    fine: F32
    series: F32
    cell: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.fine)


class Model(Protocol):
    """Anything that gives values of layers to pixels."""

    def __call__(self, fine: F32, series: F32) -> Array:
        """Return ``(member, layer, pixel)`` of drivers ``(pixel, driver)`` and series ``(pixel, day, driver)``."""
        ...


def draw_pixels(samples: Sequence[Sample], predictor: Predictor, count: int, seed: int) -> Pixels:
    """Return about `count` pixels, as many of every sample; the same for the same seed."""
    import torch

    rng = np.random.default_rng(seed)
    radius, each = predictor.radius, max(1, count // max(1, len(samples)))
    fine, series, cell = [], [], []
    for n, sample in enumerate(samples):
        inner = sample.fine[:, radius : radius + sample.core.height, radius : radius + sample.core.width]
        ys, xs = (rng.integers(0, side, each) for side in inner.shape[1:])
        fine.append(inner[:, ys, xs].T)
        series.append(_series(sample, ys, xs))
        cell.append(np.full(each, n))
    rows, days = np.concatenate(fine), np.concatenate(series)
    standard = predictor.fine.forward(torch.from_numpy(rows.astype(np.float32)), 1).numpy()
    if days.shape[2]:
        days = predictor.sequence.forward(torch.from_numpy(days.astype(np.float32)), 2).numpy()
    return Pixels(standard, days, np.concatenate(cell))


def _series(sample: Sample, ys: npt.NDArray[np.int64], xs: npt.NDArray[np.int64]) -> F32:
    """Return the series of the sequence pixel that holds each pixel; the sequence has a pixel more on every side."""
    if sample.sequence is None:
        return np.empty((len(ys), 0, 0), np.float32)
    height, width = sample.sequence.shape[2] - 2, sample.sequence.shape[3] - 2
    rows, cols = ys * height // sample.core.height + 1, xs * width // sample.core.width + 1
    return np.ascontiguousarray(np.moveaxis(sample.sequence[:, :, rows, cols], 2, 0), dtype=np.float32)


class PixelModel:
    """The networks of a bundle and their ensemble, asked about pixels.

    Parameters
    ----------
    predictor : Predictor
        The networks.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        card = predictor.card
        self.members = (*predictor.members, "ensemble")
        layers = [layer.name for layer in card.layers]
        self.weights = np.array([[card.weights[y][name] for name in predictor.members] for y in layers])
        self.spread = np.asarray(predictor.spread, dtype=np.float64)
        self.centre = np.asarray(predictor.centre, dtype=np.float64)

    def __call__(self, fine: F32, series: F32) -> Array:
        """Return the means in the layers' units, ``(member, layer, pixel)``, the ensemble last."""
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(fine), _ROWS):
                rows = slice(start, start + _ROWS)
                each = [
                    self.means(network, torch.from_numpy(fine[rows]), torch.from_numpy(series[rows])).numpy()
                    for network in self.predictor.networks.values()
                ]
                parts.append(np.stack(each).astype(np.float64))
        own = np.concatenate(parts, axis=1).transpose(0, 2, 1)
        own = own * self.spread[None, :, None] + self.centre[None, :, None]
        return np.concatenate([own, np.einsum("lm,mlp->lp", self.weights, own)[None]])

    def means(self, network: Network, fine: Tensor, series: Tensor) -> Tensor:
        """Return a network's standardised means ``(pixel, layer)``, differentiable."""
        import torch

        side = 2 * network.radius + 1
        field = fine[:, :, None, None].expand(-1, -1, side, side).contiguous(memory_format=torch.channels_last)
        state, place = None, None
        if series.shape[2]:
            state = network.encode(series[..., None, None])
        if state is not None:
            state, place = state.expand(-1, -1, 2, 2), _at_corner(torch)
        mean, _ = network.decode(field, state, place)
        return mean[:, :, 0, 0]


def _at_corner(library: Any) -> Any:
    """Return the place of one pixel that lies on the first of two sequence pixels."""
    from smdown.networks.placement import Placement

    zero, none = library.zeros(1, dtype=library.int64), library.zeros(1)
    return Placement(zero, none, zero, none)


def within(values: Array, cell: npt.NDArray[np.int64]) -> Array:
    """Return values ``(..., pixel)`` less the mean over the pixels of their cell."""
    count = np.bincount(cell)
    flat = values.reshape(-1, values.shape[-1])
    means = np.stack([np.bincount(cell, weights=row) for row in flat]) / count
    return (flat - means[:, cell]).reshape(values.shape)
