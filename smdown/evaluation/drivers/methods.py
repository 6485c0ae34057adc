"""Sobol indices, gradients and effects at one resolution, as they stand in ``sensitivity.json``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from smdown.evaluation.drivers.ale import common_edges, effect
from smdown.evaluation.drivers.channels import Channels
from smdown.evaluation.drivers.gradients import integrated_gradients
from smdown.evaluation.drivers.pixels import Array, PixelModel, Pixels, within
from smdown.evaluation.drivers.sobol import sobol_indices

if TYPE_CHECKING:
    from smdown.training import Predictor

METHODS = ("permutation", "sobol", "gradients", "ale")
NEEDS = {"sobol": "SALib", "gradients": "captum"}
"""Libraries of the extra ``sensitivity``."""
WORDS = {
    "permutation": (
        "Grouped permutation: whole cells and days are exchanged, so that what is alike in space and time moves "
        "together. pattern: root mean square change of the prediction's anomaly from its cell mean."
    ),
    "sobol": (
        "Sobol indices over pixels: factors are drawn independently of each other, a group as a whole from one donor "
        "pixel; they tell what the networks do with their inputs. total: share of the variance that a factor has "
        "part in."
    ),
    "gradients": (
        "Integrated gradients from the mean driver of the training: mean size of what a driver adds to the "
        "prediction's anomaly from its cell mean."
    ),
    "ale": "Accumulated local effects: standard deviation, over pixels, of the effect of a driver on the prediction.",
}
_GRADIENT_PIXELS = 512
_EFFECT_PIXELS = 1024


def usable(wanted: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the methods whose libraries are installed, and why the others are left out."""
    missing = {m: NEEDS[m] for m in wanted if m in NEEDS and importlib.util.find_spec(NEEDS[m]) is None}
    why = {m: f"{library} is not installed; pip install smdown[sensitivity]" for m, library in missing.items()}
    return [m for m in wanted if m not in missing], why


@dataclass(frozen=True, eq=False)
class Study:
    """What is studied.

    Parameters
    ----------
    predictor : Predictor
        The networks.
    pixels : dict
        Pixels by resolution.
    drivers, groups : dict
        Channels by name.
    seed : int
        Of everything that is drawn.
    """

    predictor: Predictor
    pixels: Mapping[str, Pixels]
    drivers: Mapping[str, Channels]
    groups: Mapping[str, Channels]
    seed: int = 0

    def at(self, resolution: str, methods: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """Return, by layer and member, the results of every method at a resolution."""
        model, pixels = PixelModel(self.predictor), self.pixels[resolution]
        layers = [layer.name for layer in self.predictor.card.layers]
        out: dict[str, dict[str, dict[str, Any]]] = {y: {m: {} for m in model.members} for y in layers}
        run = {"sobol": self._sobol, "gradients": self._gradients, "ale": self._effects}
        for method in (m for m in methods if m in run):
            for (member, layer), found in run[method](model, pixels).items():
                out[layers[layer]][model.members[member]][method] = found
        return out

    def _sobol(self, model: PixelModel, pixels: Pixels) -> dict[tuple[int, int], Any]:
        kinds = {"groups": self.groups, "drivers": self.drivers}
        found = {kind: sobol_indices(model, pixels, factors, seed=self.seed) for kind, factors in kinds.items()}
        return {
            place: {
                kind: {name: {k: float(v[place]) for k, v in entry.items()} for name, entry in table.items()}
                for kind, table in found.items()
            }
            for place in np.ndindex(len(model.members), len(model.spread))
        }

    def _gradients(self, model: PixelModel, pixels: Pixels) -> dict[tuple[int, int], Any]:
        some = subset(pixels, _GRADIENT_PIXELS)
        found = integrated_gradients(model, some)
        tables: dict[str, dict[str, Array]] = {}
        for kind, factors in (("drivers", self.drivers), ("groups", self.groups)):
            tables[kind] = {}
            for name, channels in factors.items():
                total = found.fine[..., list(channels.fine)].sum(axis=-1)
                total = total + found.sequence[..., list(channels.sequence)].sum(axis=-1)
                tables[kind][name] = np.abs(within(total, some.cell)).mean(axis=-1)
        return {
            place: {kind: {name: float(v[place]) for name, v in table.items()} for kind, table in tables.items()}
            | {"left_over": float(found.left_over[place])}
            for place in np.ndindex(len(model.members), len(model.spread))
        }

    def _effects(self, model: PixelModel, pixels: Pixels) -> dict[tuple[int, int], Any]:
        some = subset(pixels, _EFFECT_PIXELS)
        card = self.predictor.card
        out: dict[tuple[int, int], Any] = {
            (m, y): {"drivers": {}} for m in range(len(model.members)) for y in range(len(model.spread))
        }
        for name, channels in self.drivers.items():
            if not channels.fine:
                continue
            channel = channels.fine[0]
            found = effect(model, some, channel, common_edges(list(self.pixels.values()), channel))
            own = card.drivers[channel]
            edges = (found.edges * own.std + own.mean).tolist()
            for place, entry in out.items():
                entry["drivers"][name] = {
                    "importance": float(found.importance[place]),
                    "edges": edges,
                    "values": found.values[place].tolist(),
                }
        return out


def subset(pixels: Pixels, count: int) -> Pixels:
    """Return about so many pixels, evenly taken."""
    step = max(1, len(pixels) // count)
    kept = np.arange(0, len(pixels), step)
    _, cell = np.unique(pixels.cell[kept], return_inverse=True)
    return Pixels(pixels.fine[kept], pixels.series[kept], cell)
