"""The recurrent network: daily sequences at their own pace, fine drivers at theirs."""

from __future__ import annotations

from torch import Tensor, nn

from smdown.networks.base import GaussianHead, Network, Terms, added, multilayer, pixels_last
from smdown.networks.config import LSTMConfig
from smdown.networks.placement import Place, interpolate


class LSTM(Network):
    """A recurrence per sequence pixel; its last state, projected, is interpolated to the pixels and joined there.

    Interpolation is linear, so projecting before it or after it is the same; before costs one projection per sequence
    pixel instead of one per fine pixel.
    """

    def __init__(self, config: LSTMConfig, n_fine: int, n_sequence: int, n_layers: int) -> None:
        super().__init__()
        self.radius = 0
        self.n_layers = n_layers
        self.recurrence = nn.LSTM(n_sequence, config.hidden, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.projection = nn.Linear(config.hidden, config.width + n_layers)
        nn.init.zeros_(self.projection.weight[-n_layers:])
        nn.init.zeros_(self.projection.bias[-n_layers:])
        self.first = nn.Linear(n_fine, config.width, bias=False)
        self.body = multilayer((config.width, config.width), config.dropout)
        self.head = GaussianHead(config.width, n_fine, n_layers)

    def encode(self, sequence: Tensor) -> Tensor:
        """Return the projected last state ``(batch, width + layer, Y, X)``."""
        batch, time, feature, height, width = sequence.shape
        series = sequence.permute(0, 3, 4, 1, 2).reshape(batch * height * width, time, feature)
        _, (last, _) = self.recurrence(series)
        state = self.projection(self.dropout(last[0]))
        return state.reshape(batch, height, width, -1).permute(0, 3, 1, 2)

    def terms(self, fine: Tensor, state: Tensor | None, place: Place | None) -> Terms:
        """Return the terms of every pixel from its drivers and the interpolated state."""
        assert state is not None
        assert place is not None
        joined = pixels_last(interpolate(state, place))
        x = pixels_last(fine)
        hidden = added(self.first(x), joined[..., : -self.n_layers]).relu_()
        found: Terms = self.head(self.body(hidden), x, joined[..., -self.n_layers :])
        return found
