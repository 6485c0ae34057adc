"""Windows of drivers through all networks of a bundle, into physical units; one way for each kind of device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from smdown.grid import Window
from smdown.kernels.blend import physical
from smdown.kernels.standard import standardise
from smdown.networks import Network
from smdown.networks.base import LOG_VARIANCE_RANGE, crop
from smdown.networks.lean import head_terms, lean
from smdown.networks.placement import Banded
from smdown.training.context import Field
from smdown.training.standardise import CLIP, Scaler

TILE = 200
"""Side of the windows that go through a network at once; what a convolution needs then stays in the cache."""
BAND_PX = 4000
"""Pixels that go at once through the layers that look at one pixel; 64 units of each stay in the cache."""
GPU_TILE = 600
"""Side of the windows on a GPU, which wants more work at a time."""
_NOTHING = np.empty((0, 1), np.float32)

Said = tuple[Window, Field, Field]
"""Pixels, counted from the first one of the core, with the mean and the variance of every network there, float32
``(member, layer, y, x)``, in the layers' units (squared)."""
Placing = Callable[[Window], Banded | None]
"""Says where the pixels of a part of the core lie between those of the sequence."""


class Forward(Protocol):
    """A way through the networks."""

    def windows(self, fine: Field, states: Mapping[str, Tensor], core: Window, place: Placing) -> Iterator[Said]:
        """Yield what the networks say, part by part.

        Parameters
        ----------
        fine : ndarray
            float32 ``(feature, y + 2 R, x + 2 R)``, contiguous, in the drivers' units.
        states : mapping
            What networks made of the sequence, by name.
        core : Window
            The pixels, in global indices.
        place : callable
            See `Placing`.
        """
        ...


class ProcessorForward:
    """On a processor: convolutions over windows, all else over a few rows of them.

    Parameters
    ----------
    networks : dict
        By name.
    scaler : Scaler
        Of the drivers.
    centre, spread : ndarray
        float32 ``(layer,)``: what makes physical units.
    """

    def __init__(self, networks: dict[str, Network], scaler: Scaler, centre: Field, spread: Field) -> None:
        self._networks = {name: (network.radius, lean(network)) for name, network in networks.items()}
        self._radius = max(network.radius for network in networks.values())
        self._mean, self._factor = scaler.mean.numpy(), (1 / scaler.std).numpy()
        self._centre, self._spread = centre, spread
        heads = [head_terms(network) for network in networks.values()]
        self._linear = torch.cat([linear for linear, _ in heads]).t().contiguous()
        self._biases = [bias.numpy() for _, bias in heads]

    @torch.inference_mode()
    def windows(self, fine: Field, states: Mapping[str, Tensor], core: Window, place: Placing) -> Iterator[Said]:
        """See `Forward.windows`."""
        for part in parts(core.shape, TILE):
            wide, where = self._standardised(fine, part), place(part)
            answers = [
                network.over(crop_pixels(wide, self._radius - radius), states.get(name), where)
                for name, (radius, network) in self._networks.items()
            ]
            inner = crop_pixels(wide, self._radius)
            step = max(1, BAND_PX // part.width)
            for top in range(0, part.height, step):
                rows = slice(top, min(top + step, part.height))
                drivers = inner[rows].reshape(-1, len(fine))
                band = Window(part.y0 + rows.start, part.y0 + rows.stop, part.x0, part.x1)
                linear = torch.mm(drivers, self._linear).numpy()
                shape = (len(answers), len(self._centre), len(drivers))
                mean, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
                for n, answer in enumerate(answers):
                    hidden = torch.empty((len(drivers), 2 * shape[1]))
                    extra = answer(drivers, rows, hidden)
                    self._in_units(n, hidden, linear, extra, mean[n], variance[n])
                yield band, mean.reshape(*shape[:2], *band.shape), variance.reshape(*shape[:2], *band.shape)

    def _in_units(
        self, n: int, hidden: Tensor, linear: Field, extra: Tensor | None, mean: Field, variance: Field
    ) -> None:
        more = _NOTHING if extra is None else extra.numpy()
        units = self._biases[n], self._centre, self._spread
        physical(hidden.numpy(), linear, n * len(mean), more, LOG_VARIANCE_RANGE, *units, mean, variance)

    def _standardised(self, fine: Field, part: Window) -> Tensor:
        """Return the drivers of a part and its surroundings, ``(y, x, feature)``."""
        height, width = part.height + 2 * self._radius, part.width + 2 * self._radius
        out = np.empty((height, width, len(fine)), np.float32)
        standardise(fine, part.y0, part.x0, self._mean, self._factor, np.float32(CLIP), out)
        return torch.from_numpy(out)


class DeviceForward:
    """On any device of PyTorch, by its own layers.

    Parameters
    ----------
    networks, scaler, centre, spread
        As for `ProcessorForward`; networks and scaler on the device.
    device : torch.device
        Which.
    """

    def __init__(
        self, networks: dict[str, Network], scaler: Scaler, centre: Field, spread: Field, device: torch.device
    ) -> None:
        self._networks = networks
        self._radius = max(network.radius for network in networks.values())
        self._scaler, self._device = scaler, device
        self._centre, self._spread = centre, spread
        self._no_bias = np.zeros(2 * len(centre), np.float32)

    @torch.inference_mode()
    def windows(self, fine: Field, states: Mapping[str, Tensor], core: Window, place: Placing) -> Iterator[Said]:
        """See `Forward.windows`."""
        drivers = torch.from_numpy(fine)
        for part in parts(core.shape, GPU_TILE):
            block, where = self._standardised(drivers, part), place(part)
            shape = (len(self._networks), len(self._centre), part.size)
            mean, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
            for n, (name, network) in enumerate(self._networks.items()):
                own = crop(block, self._radius - network.radius)
                terms = network.terms(own, states.get(name), where)
                hidden, linear, extra = (None if t is None else t[0].float().cpu().flatten(0, 1).numpy() for t in terms)
                assert hidden is not None
                assert linear is not None
                more = _NOTHING if extra is None else np.ascontiguousarray(extra)
                units = self._no_bias, self._centre, self._spread
                physical(hidden, linear, 0, more, LOG_VARIANCE_RANGE, *units, mean[n], variance[n])
            yield part, mean.reshape(*shape[:2], *part.shape), variance.reshape(*shape[:2], *part.shape)

    def _standardised(self, drivers: Tensor, part: Window) -> Tensor:
        """Return the drivers of a part and its surroundings, ``(1, feature, y, x)`` with features last in memory."""
        whole = Window(part.y0, part.y1 + 2 * self._radius, part.x0, part.x1 + 2 * self._radius)
        block = drivers[(slice(None), *whole.slices)][None].to(self._device)
        return self._scaler.forward(block.contiguous(memory_format=torch.channels_last), 1)


def parts(shape: tuple[int, int], side: int) -> Iterator[Window]:
    """Yield windows of at most `side` pixels along each side that cover a shape."""
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            yield Window(y, min(y + side, shape[0]), x, min(x + side, shape[1]))


def crop_pixels(wide: Tensor, radius: int) -> Tensor:
    """Return ``(y, x, feature)`` without its outer `radius` pixels."""
    return wide if radius == 0 else wide[radius:-radius, radius:-radius]
