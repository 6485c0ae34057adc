"""Integrated gradients: how much of a prediction each driver accounts for (Sundararajan et al. 2017, ICML).

The path runs from the mean driver of the training, zero in standardised units, to the pixel. Attributions of a pixel
add up to the difference of the two predictions; what is left over measures the numerical error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smdown.evaluation.drivers.pixels import Array, PixelModel, Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from smdown.networks import Network

STEPS = 32


@dataclass(frozen=True, eq=False)
class Attribution:
    """Attributions in the layers' units.

    Parameters
    ----------
    fine, sequence : ndarray
        ``(member, layer, pixel, driver)``; those of the sequence are added up over its days.
    left_over : ndarray
        ``(member, layer)``: largest difference between the sum of attributions and that of the predictions.
    """

    fine: Array
    sequence: Array
    left_over: Array


def _forward(model: PixelModel, network: Network) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a network's means; those of one that sees no series depend on it by nothing."""

    def forward(fine: Tensor, series: Tensor) -> Tensor:
        return model.means(network, fine, series) + 0 * series.sum(dim=(1, 2))[:, None]

    return forward


def integrated_gradients(model: PixelModel, pixels: Pixels, *, steps: int = STEPS) -> Attribution:
    """Return the attributions of every network and of the ensemble, which are the weighted sums of theirs.

    Parameters
    ----------
    model : PixelModel
        The networks.
    pixels : Pixels
        What is explained.
    steps : int
        Points along the path.
    """
    import torch
    from captum.attr import IntegratedGradients

    inputs = torch.from_numpy(pixels.fine.copy()), torch.from_numpy(pixels.series.copy())
    used = inputs if pixels.series.shape[2] else inputs[:1]
    rest = () if len(used) == 2 else (inputs[1],)
    fine, sequence, left = [], [], []
    for network in model.predictor.networks.values():
        tool = IntegratedGradients(_forward(model, network))
        found = [
            tool.attribute(
                used, target=n, n_steps=steps, additional_forward_args=rest or None, internal_batch_size=4096,
                return_convergence_delta=True,
            )
            for n in range(len(model.spread))
        ]  # fmt: skip
        fine.append([parts[0].detach().numpy() for parts, _ in found])
        days = [
            parts[1].sum(dim=1).detach().numpy() if len(parts) == 2 else np.empty((len(pixels), 0))
            for parts, _ in found
        ]
        sequence.append(days)
        left.append([float(delta.abs().max()) for _, delta in found])
    unit = model.spread[None, :, None, None]
    own = np.asarray(fine, dtype=np.float64) * unit, np.asarray(sequence, dtype=np.float64) * unit
    joined = [np.concatenate([v, np.einsum("lm,mlpd->lpd", model.weights, v)[None]]) for v in own]
    error = np.asarray(left) * model.spread
    return Attribution(joined[0], joined[1], np.concatenate([error, (model.weights.T * error).sum(axis=0)[None]]))
