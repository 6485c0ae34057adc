"""Prediction over a window: every network of a bundle, in physical units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smdown.errors import BundleError
from smdown.grid import Window
from smdown.kernels.blend import blend
from smdown.kernels.standard import standardise
from smdown.networks import Network
from smdown.networks.base import crop
from smdown.networks.placement import placement
from smdown.training.bundle import Bundle
from smdown.training.context import Field
from smdown.training.standardise import CLIP, Scaler

TILE = 100
"""Side of the windows that go through a network at once; what they need then stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What every network says.

    Parameters
    ----------
    mean, variance : ndarray
        float32, ``(member, layer, y, x)``, in the layers' units (squared).
    members, layers : tuple of str
        Their names.
    """

    mean: Field
    variance: Field
    members: tuple[str, ...]
    layers: tuple[str, ...]


class Predictor:
    """A bundle at work.

    Parameters
    ----------
    bundle : Bundle
        What to predict with.
    threads : int, optional
        Threads of the numeric library, in all of this process.
    device : str, optional
        Where to compute; a GPU if there is one.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None, device: str | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        card = bundle.card
        self.card = card
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.networks: dict[str, Network] = {name: n.to(self.device) for name, n in bundle.networks.items()}
        self.fine = Scaler.of([d.mean for d in card.drivers], [d.std for d in card.drivers]).to(self.device)
        drivers = card.sequence.drivers if card.sequence else ()
        self.sequence = Scaler.of([d.mean for d in drivers], [d.std for d in drivers]).to(self.device)
        self.target = Scaler.of([y.mean for y in card.layers], [y.std for y in card.layers]).to(self.device)

    @property
    def radius(self) -> int:
        """Pixels that drivers must have around the core on every side."""
        return max(network.radius for network in self.networks.values())

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the networks."""
        return tuple(self.networks)

    @torch.inference_mode()
    def predict(
        self,
        fine: Field,
        sequence: Field | None,
        core: Window,
        ratio: int,
        sequence_origin: tuple[int, int] = (0, 0),
    ) -> Prediction:
        """Predict the pixels of a window.

        Parameters
        ----------
        fine : ndarray
            float32, ``(feature, y + 2R, x + 2R)``, in the drivers' units; NaN where missing (the mean is taken there).
        sequence : ndarray, optional
            float32, ``(day, feature, Y, X)``, at least one sequence pixel beyond the core; not needed without an LSTM.
        core : Window
            The pixels, in global indices.
        ratio : int
            Pixels along a cell.
        sequence_origin : (int, int)
            Global row and column of the first sequence pixel.

        Returns
        -------
        Prediction
            A pixel's value depends on its drivers and place alone.
        """
        self._check(fine, sequence, core)
        drivers = torch.from_numpy(np.ascontiguousarray(fine, dtype=np.float32))
        states = self._encode(sequence)
        shape = (len(self.networks), len(self.card.layers), *core.shape)
        mean, variance = torch.empty(shape), torch.empty(shape)
        centre, std = self.target.mean.view(-1, 1, 1), self.target.std.view(-1, 1, 1)
        for part in _parts(core.shape):
            block = self._standardised(drivers, part)
            place = self._place(part.shift(core.y0, core.x0), ratio, sequence_origin, states)
            ys, xs = part.slices
            for n, (name, network) in enumerate(self.networks.items()):
                mu, log_variance = network.decode(crop(block, self.radius - network.radius), states.get(name), place)
                mean[n, :, ys, xs] = torch.addcmul(centre, mu[0], std)
                variance[n, :, ys, xs] = log_variance[0].exp().mul_(std**2)
        return Prediction(mean.numpy(), variance.numpy(), self.members, tuple(y.name for y in self.card.layers))

    def _check(self, fine: Field, sequence: Field | None, core: Window) -> None:
        wanted = (len(self.card.drivers), core.height + 2 * self.radius, core.width + 2 * self.radius)
        if fine.shape != wanted:
            raise BundleError(f"got drivers of shape {fine.shape}, wanted {wanted}; read {self.radius} pixels around")
        if self.card.sequence is None or "lstm" not in {config.kind for config in self.card.networks.values()}:
            return
        expected = (self.card.sequence.days, len(self.card.sequence.drivers))
        if sequence is None or sequence.shape[:2] != expected:
            got = None if sequence is None else sequence.shape
            raise BundleError(f"got a sequence of shape {got}, wanted {expected} and the pixels; read it for the tile")

    def _encode(self, sequence: Field | None) -> dict[str, Tensor]:
        if sequence is None or self.card.sequence is None:
            return {}
        series = torch.from_numpy(np.ascontiguousarray(sequence, dtype=np.float32))[None].to(self.device)
        series = self.sequence.forward(series, 2)
        found = ((name, network.encode(series)) for name, network in self.networks.items())
        return {name: state for name, state in found if state is not None}

    def _standardised(self, drivers: Tensor, part: Window) -> Tensor:
        """Return the drivers of a part and its surroundings, ``(1, feature, y, x)`` with features last in memory."""
        whole = Window(part.y0, part.y1 + 2 * self.radius, part.x0, part.x1 + 2 * self.radius)
        if self.device.type != "cpu":
            block = drivers[(slice(None), *whole.slices)][None].to(self.device)
            return self.fine.forward(block.contiguous(memory_format=torch.channels_last), 1)
        mean, factor = self.fine.mean.numpy(), (1 / self.fine.std).numpy()
        out = np.empty((*whole.shape, len(drivers)), np.float32)
        standardise(drivers.numpy(), whole.y0, whole.x0, mean, factor, np.float32(CLIP), out)
        return torch.from_numpy(out).permute(2, 0, 1)[None]

    def _place(self, part: Window, ratio: int, origin: tuple[int, int], states: dict[str, Tensor]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        if not states or self.card.sequence is None:
            return None
        return placement(part, ratio, origin, self.card.sequence.ratio).to(self.device)


def _parts(shape: tuple[int, int]) -> Iterator[Window]:
    for y in range(0, shape[0], TILE):
        for x in range(0, shape[1], TILE):
            yield Window(y, min(y + TILE, shape[0]), x, min(x + TILE, shape[1]))


def combine(
    prediction: Prediction, weights: dict[str, dict[str, float]], variance_scale: dict[str, float]
) -> tuple[Field, Field]:
    """Join the networks into one mean and standard deviation.

    Parameters
    ----------
    prediction : Prediction
        Of all networks.
    weights : dict
        Per layer and network, as in the bundle's card.
    variance_scale : dict
        Per layer: what the mixture's variance is multiplied by.

    Returns
    -------
    mean, std : ndarray
        float32, ``(layer, y, x)``.
    """
    mean, std = np.empty(prediction.mean.shape[1:], np.float32), np.empty(prediction.mean.shape[1:], np.float32)
    for n, layer in enumerate(prediction.layers):
        share = np.array([weights[layer][name] for name in prediction.members], dtype=np.float32)
        scale = np.float32(variance_scale[layer])
        blend(prediction.mean[:, n], prediction.variance[:, n], share, scale, mean[n], std[n])
    return mean, std


def member_std(prediction: Prediction, scales: dict[str, dict[str, float]]) -> Field:
    """Return the standard deviation of every network alone, ``(member, layer, y, x)``.

    Parameters
    ----------
    prediction : Prediction
        Of all networks.
    scales : dict
        Per layer and network: what its variance is multiplied by.
    """
    factor = [[scales[layer][name] for layer in prediction.layers] for name in prediction.members]
    return np.sqrt(prediction.variance * np.array(factor, dtype=np.float32)[:, :, None, None])
