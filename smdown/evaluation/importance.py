"""Which drivers the map relies on: grouped permutation importance, at every resolution that was trained on.

A driver, or a group of drivers, is taken from another cell and day while everything else is kept (Breiman 2001;
whole cell-days are exchanged, so that what is alike in space and time moves together).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from smdown.cubes import join
from smdown.evaluation.drivers.agreement import agreement_by_method, rankings
from smdown.evaluation.drivers.channels import Channels, default_groups, driver_channels, group_channels
from smdown.evaluation.drivers.methods import METHODS, WORDS, Study, usable
from smdown.evaluation.drivers.pixels import Pixels, draw_pixels
from smdown.evaluation.job import EvaluateJob
from smdown.evaluation.partials import write_json
from smdown.evaluation.samples import Sample, Sampler
from smdown.grid import nominal_ratio

if TYPE_CHECKING:
    from smdown.training import Bundle, Predictor, TrainContext

Progress = Callable[[str, int, int], None]
Outputs = list[npt.NDArray[np.float64]]

PIXELS = 4096
"""Pixels of a resolution that Sobol indices, gradients and effects are computed from."""
METHOD = (
    "Grouped permutation: drivers are exchanged between cells and days, everything else is kept. "
    "pattern: root mean square change of the prediction's anomaly from its cell mean; "
    "cells: growth of the RMSE of cell means in validation cells; "
    "stations: growth of the RMSE at stations that training never saw."
)


def sensitivity(
    job: EvaluateJob,
    context: TrainContext,
    bundle_url: str,
    *,
    resolutions: Sequence[int],
    groups: Mapping[str, str] | None = None,
    methods: Sequence[str] = METHODS,
    pixels: int = 100_000,
    samples: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Rank the drivers by every method and write ``sensitivity.json``.

    Parameters
    ----------
    job : EvaluateJob
        Where results go, and which stations are independent.
    context : TrainContext
        Drivers, region, days and layers.
    bundle_url : str
        The trained ensemble.
    resolutions : sequence of int
        Nominal pixel sizes, each judged apart: agreement between them is what scale invariance means.
    groups : mapping of str to str, optional
        Group by driver (``<name>_sequence`` for those of the sequence); see `default_groups`.
    methods : sequence of str
        Of ``permutation`` (always), ``sobol``, ``gradients`` and ``ale``; those whose library is missing are left out.
    pixels : int
        Pixels predicted in one pass at a resolution, about.
    samples : int
        Cell-days at a resolution, at most; never less than 8.
    seed : int
        Same seed, same samples.
    progress : callable, optional
        Told what is done, how much of it, and of how much.

    Returns
    -------
    dict
        ``layers / <layer> / <resolution> / <member> / {rmse, groups, drivers, ranking, sobol, gradients, ale}``,
        ``rankings``, ``agreement`` (of permutation) and ``agreement_by_method``, and what was ``skipped``.
    """
    from smdown.features import get_loader
    from smdown.training import Bundle, Predictor

    bundle = Bundle.load(bundle_url)
    predictor = Predictor(bundle)
    sampler = Sampler(job, context, bundle.card, get_loader(context.spec), predictor)
    drivers = driver_channels(context.spec)
    grouped = group_channels(drivers, groups or default_groups(context.spec))
    steps = [("", Channels()), *(("groups " + g, c) for g, c in grouped.items())]
    steps += [("drivers " + d, c) for d, c in drivers.items()]
    tell = progress or (lambda _text, _done, _total: None)
    layers: dict[str, Any] = {layer.name: {} for layer in context.layers}
    counts = {}
    chosen, skipped = usable([m for m in methods if m != "permutation"])
    rows: dict[str, Pixels] = {}
    total = len(resolutions) * (len(steps) + len(chosen))
    for n, resolution in enumerate(resolutions):
        ratio = nominal_ratio(context.lattice, resolution)
        drawn = sampler.draw(ratio, max(8, min(samples, pixels // ratio**2)), seed)
        counts[str(resolution)] = len(drawn)
        judge = _Judge(predictor, bundle, drawn, ratio)
        for k, (step, channels) in enumerate(steps):
            judge.run(step, channels)
            tell(f"{resolution} m", n * len(steps) + k + 1, total)
        if chosen and drawn:
            rows[str(resolution)] = draw_pixels(drawn, predictor, PIXELS, seed)
        for layer, result in judge.results([layer.name for layer in context.layers]).items():
            layers[layer][str(resolution)] = result
    study, done = Study(predictor, rows, drivers, grouped, seed), len(resolutions) * len(steps)
    for name in rows:
        for layer, found in study.at(name, chosen).items():
            for member, entry in found.items():
                layers[layer][name][member] |= entry
        done += len(chosen)
        tell(f"{name} m, {', '.join(chosen)}", done, total)
    used = ["permutation", *chosen]
    out = {
        "method": METHOD,
        "methods": {m: WORDS[m] for m in used},
        "skipped": skipped,
        "samples": counts,
        "layers": layers,
        "rankings": rankings(layers, used),
        "agreement": agreement(layers),
        "agreement_by_method": agreement_by_method(layers, used),
    }
    write_json(join(job.out_url, "sensitivity.json"), out)
    return out


class _Judge:
    """Predicts all samples with some channels exchanged, and compares with the prediction as it was."""

    def __init__(self, predictor: Predictor, bundle: Bundle, samples: list[Sample], ratio: int) -> None:
        self.predictor, self.bundle, self.samples, self.ratio = predictor, bundle, samples, ratio
        self.members = (*predictor.members, "ensemble")
        self.base: Outputs = []
        self.rmse: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
        self.pattern: dict[str, npt.NDArray[np.float64]] = {}

    def run(self, step: str, channels: Channels) -> None:
        """Predict with channels exchanged; the first step, without any, is what the others compare with."""
        outputs = [self._predict(sample) for sample in exchanged(self.samples, channels)]
        if not self.base:
            self.base = outputs
        self.rmse[step] = {"cells": self._cells(outputs), "stations": self._stations(outputs)}
        changes = [_anomaly(new) - _anomaly(old) for new, old in zip(outputs, self.base, strict=True)]
        squares = [np.mean(change**2, axis=(2, 3)) for change in changes]
        shape = (len(self.members), len(self.predictor.card.layers))
        self.pattern[step] = np.sqrt(np.mean(squares, axis=0)) if squares else np.full(shape, math.nan)

    def _predict(self, sample: Sample) -> npt.NDArray[np.float64]:
        """Return the means of every member and of the ensemble, ``(member, layer, y, x)``."""
        from smdown.training import combine

        card = self.bundle.card
        origin = (0, 0)
        if card.sequence is not None:
            origin = (sample.cell.y0 * card.sequence.ratio - 1, sample.cell.x0 * card.sequence.ratio - 1)
        found = self.predictor.predict(sample.fine, sample.sequence, sample.core, self.ratio, origin)
        mean, _ = combine(found, card.weights, card.variance_scale)
        return np.concatenate([found.mean, mean[None]]).astype(np.float64)

    def _cells(self, outputs: Outputs) -> npt.NDArray[np.float64]:
        errors = [o.mean(axis=(2, 3)) - s.coarse for o, s in zip(outputs, self.samples, strict=True)]
        return _rms(errors, (len(self.members), len(self.predictor.card.layers)))

    def _stations(self, outputs: Outputs) -> npt.NDArray[np.float64]:
        errors = [o[:, :, y, x] - seen for o, s in zip(outputs, self.samples, strict=True) for y, x, seen in s.stations]
        return _rms(errors, (len(self.members), len(self.predictor.card.layers)))

    def results(self, layers: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the results by layer and member."""
        return {layer: {m: self._result(i, j) for i, m in enumerate(self.members)} for j, layer in enumerate(layers)}

    def _result(self, member: int, layer: int) -> dict[str, Any]:
        base = {kind: float(values[member, layer]) for kind, values in self.rmse[""].items()}
        out: dict[str, Any] = {"rmse": base, "groups": {}, "drivers": {}}
        for step, changed in self.rmse.items():
            if step:
                kind, name = step.split(" ", 1)
                entry = {k: float(v[member, layer]) - base[k] for k, v in changed.items()}
                out[kind][name] = entry | {"pattern": float(self.pattern[step][member, layer])}
        out["ranking"] = sorted(out["groups"], key=lambda g: -out["groups"][g]["pattern"])
        return out


def exchanged(samples: list[Sample], channels: Channels) -> list[Sample]:
    """Return the samples with some channels taken from another sample: of another cell, and of another day.

    Where there is one cell only, another day of the same cell is turned by half a turn.
    """
    if not channels.fine and not channels.sequence:
        return samples
    shift = _shift(samples)
    return [_with(s, samples[(i + shift) % len(samples)], channels) for i, s in enumerate(samples)]


def _shift(samples: Sequence[Sample]) -> int:
    """Return how far down the list donors stand: most of them in another cell, then on another day, then far away."""
    count = len(samples)

    def worth(shift: int) -> tuple[int, int, int]:
        pairs = [(s, samples[(i + shift) % count]) for i, s in enumerate(samples)]
        cells, days = (sum(a != b for a, b in which) for which in (
            [(s.cell, d.cell) for s, d in pairs], [(s.day, d.day) for s, d in pairs]
        ))  # fmt: skip
        return cells, days, -abs(2 * shift - count)

    return max(range(1, count), key=worth, default=0)


def _with(sample: Sample, donor: Sample, channels: Channels) -> Sample:
    fine, sequence = sample.fine, sample.sequence
    if channels.fine:
        fine, turn = fine.copy(), -1 if donor.cell == sample.cell else 1
        fine[list(channels.fine)] = donor.fine[list(channels.fine), ::turn, ::turn]
    if channels.sequence and sequence is not None and donor.sequence is not None:
        sequence = sequence.copy()
        sequence[:, list(channels.sequence)] = donor.sequence[:, list(channels.sequence)]
    return replace(sample, fine=fine, sequence=sequence)


def _anomaly(field: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(field - field.mean(axis=(2, 3), keepdims=True))


def _rms(errors: list[npt.NDArray[np.float64]], shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return the root mean square over samples, NaN where there is nothing to average."""
    if not errors:
        return np.full(shape, math.nan)
    stack = np.stack(errors)
    known = np.isfinite(stack)
    squares = np.where(known, stack, 0.0) ** 2
    count = known.sum(axis=0)
    return np.where(count > 0, np.sqrt(squares.sum(axis=0) / np.maximum(count, 1)), math.nan)


def agreement(layers: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return the rank correlation (Spearman) of the drivers' importance between resolutions, for the ensemble."""
    out: dict[str, dict[str, float]] = {}
    for layer, resolutions in layers.items():
        columns = {
            res: {name: entry["pattern"] for name, entry in members["ensemble"]["drivers"].items()}
            for res, members in resolutions.items()
        }
        ranks = pd.DataFrame(columns).rank()
        names = list(columns)
        out[layer] = {
            f"{a}-{b}": float(np.corrcoef(ranks[a], ranks[b])[0, 1]) if ranks[[a, b]].nunique().min() > 1 else math.nan
            for i, a in enumerate(names)
            for b in names[i + 1 :]
        }
    return out
