"""Networks at work on a processor: what `Network.decode` says, to rounding, in fewer passes over memory.

A layer's bias costs PyTorch a pass of its own on a processor, and so does every rectifier and sum; with few units a
pixel these passes take as long as the products of matrices. Here biases, rectifiers and sums share a pass, those of the
head are left to the pass that makes physical units, and pixels go through the layers a few rows at a time, which stay
in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from smdown.kernels.layers import add_relu, bias_relu, relu_add
from smdown.networks.base import GaussianHead, Network
from smdown.networks.cnn import CNN
from smdown.networks.dnn import DNN
from smdown.networks.lstm import LSTM
from smdown.networks.placement import Banded

Rows = Callable[[Tensor, slice, Tensor], Tensor | None]
"""Fill the last argument ``(pixel, 2 layer)`` with what hidden units give, without bias, from drivers ``(pixel,
feature)`` of some rows of a window; return ``(pixel, layer)`` that adds to the mean, if there is any."""


class Lean(Protocol):
    """One network, its head's bias and linear part left to the caller."""

    def over(self, wide: Tensor, state: Tensor | None, place: Banded | None) -> Rows:
        """Return what answers for the rows of a window.

        Parameters
        ----------
        wide : Tensor
            float32, ``(y + 2 R, x + 2 R, feature)``, contiguous; R is the network's radius.
        state : Tensor, optional
            What `Network.encode` returned.
        place : Banded, optional
            Where the window's pixels lie between those of the state.
        """
        ...


class LeanDNN:
    """The per-pixel network."""

    def __init__(self, network: DNN) -> None:
        self._body = _dense(network.body)
        self._head = _head_of(network).hidden.weight.t()

    def over(self, wide: Tensor, state: Tensor | None, place: Banded | None) -> Rows:
        """See `Lean.over`; neither surroundings nor state matter."""
        del wide, state, place
        return self._rows

    def _rows(self, fine: Tensor, rows: slice, out: Tensor) -> None:
        del rows
        torch.mm(_through(fine, self._body), self._head, out=out)


class LeanCNN:
    """The convolutional network: the whole window first, then the head, row by row."""

    def __init__(self, network: CNN) -> None:
        self._first = _layer(network.first)
        self._steps = [step for step in network.steps if isinstance(step, nn.Conv2d)]
        self._head = _head_of(network).hidden.weight.t()

    def over(self, wide: Tensor, state: Tensor | None, place: Banded | None) -> Rows:
        """See `Lean.over`; the state does not matter."""
        del state, place
        height, width = wide.shape[:2]
        hidden = _through(wide.reshape(height * width, -1), [self._first]).view(height, width, -1)
        for step in self._steps:
            made = step(hidden.view(1, *hidden.shape).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)[0].contiguous()
            relu_add(made.view(len(made), -1).numpy(), hidden.view(len(hidden), -1).numpy())
            hidden = made

        def rows(fine: Tensor, part: slice, out: Tensor) -> None:
            del fine
            torch.mm(hidden[part].flatten(0, 1), self._head, out=out)

        return rows


class LeanLSTM:
    """The recurrent network: its state interpolated along rows for the whole window, along columns row by row."""

    def __init__(self, network: LSTM) -> None:
        self._layers = network.n_layers
        self._first = network.first.weight.t()
        self._body = _dense(network.body)
        self._head = _head_of(network).hidden.weight.t()

    def over(self, wide: Tensor, state: Tensor | None, place: Banded | None) -> Rows:
        """See `Lean.over`."""
        del wide
        assert state is not None
        assert place is not None
        own, extra = _columns(state[:, : -self._layers], place), _columns(state[:, -self._layers :], place)

        def rows(fine: Tensor, part: slice, out: Tensor) -> Tensor:
            weights = place.rows.weights[part]
            hidden = torch.mm(fine, self._first)
            add_relu(hidden.view(-1).numpy(), torch.mm(weights, own).view(-1).numpy())
            torch.mm(_through(hidden, self._body), self._head, out=out)
            return torch.mm(weights, extra).view(len(fine), -1)

        return rows


def lean(network: Network) -> Lean:
    """Return the lean form of a network, which shares its weights."""
    match network:
        case DNN():
            return LeanDNN(network)
        case CNN():
            return LeanCNN(network)
        case LSTM():
            return LeanLSTM(network)
    raise TypeError(f"got a network of class {type(network).__name__}, wanted DNN, CNN or LSTM")


def head_terms(network: Network) -> tuple[Tensor, Tensor]:
    """Return what a lean network leaves out: its linear part ``(layer, feature)`` and its bias ``(2 layer,)``."""
    head = _head_of(network)
    return head.linear.weight.detach(), head.hidden.bias.detach()


def _head_of(network: Network) -> GaussianHead:
    head = network.get_submodule("head")
    assert isinstance(head, GaussianHead)
    return head


def _layer(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    return linear.weight.detach().t(), linear.bias.detach()


def _dense(body: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
    """Return weights, transposed, and biases of a multilayer perceptron whose layers are all rectified."""
    return [_layer(module) for module in body if isinstance(module, nn.Linear)]


def _through(values: Tensor, layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    for weight, bias in layers:
        values = torch.mm(values, weight)
        bias_relu(values.numpy(), bias.numpy())
    return values


def _columns(state: Tensor, place: Banded) -> Tensor:
    """Return a state interpolated to the window's columns, ``(Y, x channel)``."""
    rows, columns = place.rows, place.columns
    part = state[0, :, rows.first : rows.last, columns.first : columns.last].permute(1, 2, 0).contiguous()
    return torch.matmul(columns.weights, part).flatten(1)
