"""Prediction over a window: every network of a bundle, in physical units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from smdown.errors import BundleError
from smdown.grid import Window
from smdown.kernels.blend import blend
from smdown.networks import Network
from smdown.networks.placement import Banded, placement
from smdown.training.bundle import Bundle
from smdown.training.card import BundleCard
from smdown.training.context import Field
from smdown.training.forward import DeviceForward, Forward, ProcessorForward, Said
from smdown.training.standardise import Scaler


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


@dataclass(frozen=True, eq=False)
class Mixture:
    """How networks are joined, for some of their layers.

    Parameters
    ----------
    places : tuple of int
        Positions of the layers among those of the networks.
    weights : ndarray
        float32, ``(layer, member)``; those of a layer sum to one.
    scales : ndarray
        float32, ``(layer,)``: what the mixture's variance is multiplied by.
    """

    places: tuple[int, ...]
    weights: Field
    scales: Field


@dataclass(frozen=True, eq=False)
class Joined:
    """What the networks say together, and each alone where that was kept.

    Parameters
    ----------
    mean, std : ndarray
        float32, ``(layer, y, x)``, in the layers' units.
    alone : Prediction, optional
        Of every network.
    """

    mean: Field
    std: Field
    alone: Prediction | None


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
        self.centre = np.array([y.mean for y in card.layers], dtype=np.float32)
        self.spread = np.array([y.std for y in card.layers], dtype=np.float32)

    @property
    def radius(self) -> int:
        """Pixels that drivers must have around the core on every side."""
        return max(network.radius for network in self.networks.values())

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the networks."""
        return tuple(self.networks)

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
        out = self._empty(core)
        for part, mean, variance in self._windows(fine, sequence, core, ratio, sequence_origin):
            out.mean[..., *part.slices], out.variance[..., *part.slices] = mean, variance
        return out

    def join(
        self,
        fine: Field,
        sequence: Field | None,
        core: Window,
        ratio: int,
        sequence_origin: tuple[int, int],
        mixture: Mixture,
        *,
        keep: bool = False,
    ) -> Joined:
        """Predict the pixels of a window and join the networks while their answers are in the processor's cache.

        Parameters
        ----------
        fine, sequence, core, ratio, sequence_origin
            See `predict`.
        mixture : Mixture
            How, and for which layers.
        keep : bool
            Keep what every network says alone, for all layers.
        """
        shape = (len(mixture.places), *core.shape)
        joined = Joined(np.empty(shape, np.float32), np.empty(shape, np.float32), self._empty(core) if keep else None)
        for part, mean, variance in self._windows(fine, sequence, core, ratio, sequence_origin):
            place = part.slices
            for n, layer in enumerate(mixture.places):
                out = joined.mean[n][place], joined.std[n][place]
                blend(mean[:, layer], variance[:, layer], mixture.weights[n], mixture.scales[n], *out)
            if joined.alone is not None:
                joined.alone.mean[..., *place], joined.alone.variance[..., *place] = mean, variance
        return joined

    def _empty(self, core: Window) -> Prediction:
        shape = (len(self.networks), len(self.card.layers), *core.shape)
        layers = tuple(y.name for y in self.card.layers)
        return Prediction(np.empty(shape, np.float32), np.empty(shape, np.float32), self.members, layers)

    @cached_property
    def _forward(self) -> Forward:
        what = (self.networks, self.fine, self.centre, self.spread)
        return ProcessorForward(*what) if self.device.type == "cpu" else DeviceForward(*what, self.device)

    @torch.inference_mode()
    def _windows(
        self, fine: Field, sequence: Field | None, core: Window, ratio: int, origin: tuple[int, int]
    ) -> Iterator[Said]:
        """Yield parts of the core, counted from its first pixel, with what every network says."""
        self._check(fine, sequence, core)
        states = self._encode(sequence)

        def place(part: Window) -> Banded | None:
            return self._place(part.shift(core.y0, core.x0), ratio, origin, states)

        drivers = np.ascontiguousarray(fine, dtype=np.float32)
        yield from self._forward.windows(drivers, states, core, place)

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

    def _place(self, part: Window, ratio: int, origin: tuple[int, int], states: dict[str, Tensor]) -> Banded | None:
        if not states or self.card.sequence is None:
            return None
        return Banded.of(placement(part, ratio, origin, self.card.sequence.ratio).to(self.device))


def mixture(card: BundleCard, layers: Sequence[str], scales: Mapping[str, float]) -> Mixture:
    """Return how the networks of a bundle are joined for some layers.

    Parameters
    ----------
    card : BundleCard
        Its weights.
    layers : sequence of str
        Names.
    scales : mapping
        Per layer: what the mixture's variance is multiplied by.
    """
    known = [layer.name for layer in card.layers]
    weights = np.array([[card.weights[y][name] for name in card.networks] for y in layers], dtype=np.float32)
    factors = np.array([scales[y] for y in layers], dtype=np.float32)
    return Mixture(tuple(known.index(name) for name in layers), weights, factors)


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
