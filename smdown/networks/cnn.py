"""The convolutional network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smdown.networks.base import GaussianHead, Network, Terms, added, crop, pixels_last
from smdown.networks.config import CNNConfig
from smdown.networks.placement import Place


class CNN(Network):
    """A projection of each pixel's drivers, then convolutions of 3 x 3 that each add what they see around it.

    They start small: what a pixel's own drivers tell holds at every scale, the pattern around it less so.
    There is no padding: every convolution takes one pixel off each side, so that a pixel's value never depends on the
    window's edge.
    """

    def __init__(self, config: CNNConfig, n_fine: int, n_sequence: int, n_layers: int) -> None:
        super().__init__()
        del n_sequence
        self.radius = config.depth
        self.first = nn.Linear(n_fine, config.channels)
        steps = [nn.Conv2d(config.channels, config.channels, 3) for _ in range(config.depth)]
        for step in steps:
            nn.init.normal_(step.weight, std=0.01)
        self.steps = nn.ModuleList(steps)
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = GaussianHead(config.channels, n_fine, n_layers)

    def terms(self, fine: Tensor, state: Tensor | None, place: Place | None) -> Terms:
        """Return the terms of the pixels at least `radius` from the edge; the state is not used."""
        del state, place
        x = fine.contiguous(memory_format=torch.channels_last)
        hidden = self.first(pixels_last(x)).relu_().permute(0, 3, 1, 2)
        for step in self.steps:
            hidden = added(self.dropout(step(hidden).relu_()), crop(hidden, 1))
        found: Terms = self.head(pixels_last(hidden), pixels_last(crop(x, self.radius)))
        return found
