"""What the three networks share: the two steps of a forward pass and the Gaussian head."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from smdown.networks.placement import Place, Placement

LOG_VARIANCE_RANGE = (-8.0, 4.0)

Terms = tuple[Tensor, Tensor, Tensor | None]
"""Mean and log-variance that the hidden units give ``(batch, y, x, 2 layer)``, and two parts of the mean
``(batch, y, x, layer)``: that which is linear in the drivers, and that of a sequence if there is any."""


class Network(nn.Module):
    """A map from drivers to mean and log-variance of every layer, all in standardised units.

    A forward pass is `encode` (once per window of the sequence grid) followed by `decode` (once per window of pixels).
    """

    radius: int
    """Pixels that the input must have beyond the output on every side."""

    def encode(self, sequence: Tensor) -> Tensor | None:
        """Return the state map ``(batch, channel, Y, X)`` of a sequence ``(batch, time, feature, Y, X)``, if any."""
        del sequence
        return None

    def terms(self, fine: Tensor, state: Tensor | None, place: Place | None) -> Terms:
        """Return what `decode` adds up, from drivers ``(batch, feature, y + 2R, x + 2R)``."""
        raise NotImplementedError

    def decode(self, fine: Tensor, state: Tensor | None, place: Place | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance ``(batch, layer, y, x)`` from drivers ``(batch, feature, y + 2R, x + 2R)``."""
        hidden, linear, extra = self.terms(fine, state, place)
        layers = linear.shape[-1]
        mean = hidden[..., :layers] + linear
        if extra is not None:
            mean = mean + extra
        log_variance = hidden[..., layers:].clamp(*LOG_VARIANCE_RANGE)
        return mean.permute(0, 3, 1, 2), log_variance.permute(0, 3, 1, 2)

    def forward(self, fine: Tensor, sequence: Tensor, place: Placement) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of every layer.

        Parameters
        ----------
        fine : Tensor
            float32, ``(batch, feature, y + 2R, x + 2R)``, standardised, no NaN; R is `radius`.
        sequence : Tensor
            float32, ``(batch, time, feature, Y, X)``, standardised, oldest first.
        place : Placement
            Where the pixels lie between those of the sequence.

        Returns
        -------
        mean, log_variance : Tensor
            ``(batch, layer, y, x)``, standardised.
        """
        return self.decode(fine, self.encode(sequence), place)

    def start_from(self, coefficient: Tensor, intercept: Tensor) -> None:
        """Let the mean begin as a linear function of the pixel's own drivers; training adds to it.

        Parameters
        ----------
        coefficient : Tensor
            ``(layer, feature)``.
        intercept : Tensor
            ``(layer,)``.
        """
        head = self.get_submodule("head")
        assert isinstance(head, GaussianHead)
        with torch.no_grad():
            head.linear.weight.copy_(coefficient)
            head.hidden.bias[: head.n_layers] = intercept


class GaussianHead(nn.Module):
    """Mean and log-variance: a linear function of the drivers plus what the hidden units add.

    The linear part carries over between scales, since the mean of a linear function is that function of the mean;
    the hidden part starts at zero, see `Network.start_from`.
    """

    def __init__(self, n_hidden: int, n_fine: int, n_layers: int) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.hidden = nn.Linear(n_hidden, 2 * n_layers)
        self.linear = nn.Linear(n_fine, n_layers, bias=False)
        nn.init.zeros_(self.hidden.weight)
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.linear.weight)

    def forward(self, hidden: Tensor, fine: Tensor, extra: Tensor | None = None) -> Terms:
        """Return the terms of ``(batch, y, x, hidden)`` and ``(batch, y, x, feature)``; `extra` adds to the mean."""
        return self.hidden(hidden), self.linear(fine), extra


def pixels_last(fine: Tensor) -> Tensor:
    """Return ``(batch, feature, y, x)`` as ``(batch, y, x, feature)``; no copy where memory is channels-last."""
    return fine.permute(0, 2, 3, 1)


def multilayer(sizes: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Return linear layers of the given sizes, each followed by ReLU and dropout."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def added(to: Tensor, value: Tensor) -> Tensor:
    """Return the sum; in the memory of the first where nothing will be differentiated."""
    return to + value if torch.is_grad_enabled() else to.add_(value)


def crop(fine: Tensor, radius: int) -> Tensor:
    """Return ``(..., y, x)`` without its outer `radius` pixels."""
    return fine if radius == 0 else fine[..., radius:-radius, radius:-radius]
