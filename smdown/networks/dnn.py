"""The per-pixel network."""

from __future__ import annotations

from torch import Tensor

from smdown.networks.base import GaussianHead, Network, Terms, multilayer, pixels_last
from smdown.networks.config import DNNConfig
from smdown.networks.placement import Place


class DNN(Network):
    """A multilayer perceptron on the drivers of one pixel."""

    def __init__(self, config: DNNConfig, n_fine: int, n_sequence: int, n_layers: int) -> None:
        super().__init__()
        del n_sequence
        self.radius = 0
        self.body = multilayer((n_fine, *config.hidden), config.dropout)
        self.head = GaussianHead(config.hidden[-1], n_fine, n_layers)

    def terms(self, fine: Tensor, state: Tensor | None, place: Place | None) -> Terms:
        """Return the terms of every pixel; the state is not used."""
        del state, place
        x = pixels_last(fine)
        found: Terms = self.head(self.body(x), x)
        return found
