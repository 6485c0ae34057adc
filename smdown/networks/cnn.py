"""The convolutional network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smdown.networks.base import GaussianHead, Network, crop, pixels_last
from smdown.networks.config import CNNConfig
from smdown.networks.placement import Placement


class CNN(Network):
    """Convolutions of 3 x 3 without padding, so that a pixel's value never depends on the window's edge."""

    def __init__(self, config: CNNConfig, n_fine: int, n_sequence: int, n_layers: int) -> None:
        super().__init__()
        del n_sequence
        self.radius = config.depth
        sizes = (n_fine, *[config.channels] * config.depth)
        layers: list[nn.Module] = []
        for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Conv2d(n_in, n_out, 3), nn.ReLU(inplace=True), nn.Dropout2d(config.dropout)]
        self.body = nn.Sequential(*layers)
        self.head = GaussianHead(config.channels, n_fine, n_layers)
        self.to(memory_format=torch.channels_last)

    def decode(self, fine: Tensor, state: Tensor | None, place: Placement | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the pixels at least `radius` from the edge; the state is not used."""
        del state, place
        hidden = self.body(fine.contiguous(memory_format=torch.channels_last))
        return self.head(pixels_last(hidden), pixels_last(crop(fine, self.radius)))
