"""Errors on held-out blocks, as they come and as they remain once a map agrees with the coarse product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from smdown.networks import Network
from smdown.networks.base import crop
from smdown.training.groups import Group, SampleSet
from smdown.training.loss import cell_moments
from smdown.training.standardise import Scaler

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Held:
    """What networks say of one label on held-out blocks; pixels are samples of their own.

    Parameters
    ----------
    mean, variance : ndarray
        ``(network, n, layer)``, in the layers' units (squared).
    target : ndarray
        ``(n, layer)``, NaN where missing.
    cell : ndarray
        ``(n, 2)``: row and column of the cell.
    day, sample, station : ndarray
        ``(n,)``: number of the day, of the sample that a pixel is of, and of the station (-1 for cells).
    resolution : ndarray
        ``(n,)``: nominal pixel.
    """

    mean: Array
    variance: Array
    target: Array
    cell: Index
    day: Index
    sample: Index
    station: Index
    resolution: Index

    def where(self, keep: npt.NDArray[np.bool_]) -> Held:
        """Return some of the samples."""
        whose = (self.cell[keep], self.day[keep], self.sample[keep], self.station[keep], self.resolution[keep])
        return Held(self.mean[:, keep], self.variance[:, keep], self.target[keep], *whose)

    def layer(self, n: int) -> Held:
        """Return the samples that have a layer, and that layer alone."""
        one = replace(self, mean=self.mean[..., [n]], variance=self.variance[..., [n]], target=self.target[..., [n]])
        return one.where(np.isfinite(one.target[:, 0]))

    @property
    def errors(self) -> Array:
        """``(network, n, layer)``: prediction less label."""
        return np.asarray(self.mean - self.target)


@torch.inference_mode()
def predict_held(
    networks: dict[str, Network], sets: list[SampleSet], target: Scaler, batch_pixels: int
) -> dict[str, Held]:
    """Return what networks say of every label that has held-out samples."""
    found: dict[str, list[Held]] = {}
    for number, samples in enumerate(sets):
        for held in _predict(networks, samples, target, batch_pixels, number):
            found.setdefault(samples.label, []).append(held)
    return {label: _joined(parts) for label, parts in found.items()}


def _predict(
    networks: dict[str, Network], samples: SampleSet, target: Scaler, batch_pixels: int, number: int
) -> Iterator[Held]:
    std, centre = target.std.numpy().astype(np.float64), target.mean.numpy().astype(np.float64)
    start = 0
    for group in samples.groups(batch_pixels):
        means, variances = [], []
        for network in networks.values():
            mean, log_variance = network(crop(group.fine, group.radius - network.radius), group.sequence, group.place)
            if group.label == "cell_mean":
                mean, log_variance = cell_moments(mean, log_variance, group.mask)
            means.append(flat(mean) * std + centre)
            variances.append(flat(log_variance.exp()) * std**2)
        values = flat(group.target) * std + centre
        yield _held(samples, np.stack(means), np.stack(variances), values, start, number)
        start += len(group.target)


def _held(samples: SampleSet, mean: Array, variance: Array, target: Array, start: int, number: int) -> Held:
    """Return what was said of some samples of a set, from number `start` on; `number` is the set's."""
    each = max(1, samples.pixels if samples.label != "cell_mean" else 1)
    rows = np.repeat(np.arange(start, start + len(target) // each), each)
    return Held(
        mean, variance, target, samples.cells.numpy()[rows], samples.day.numpy()[rows], rows + (number << 32),
        samples.station.numpy()[rows], np.full(len(rows), samples.resolution),
    )  # fmt: skip


def validation_score(said: list[Array], sets: list[SampleSet], weights: dict[str, float], block: int) -> float:
    """Return the mean squared error that remains once the map agrees with the coarse product, in standardised units.

    Labels count by their weights, their resolutions alike, and layers alike.

    Parameters
    ----------
    said : list of ndarray
        What a network says of each set, ``(n, layer)``; pixels are samples of their own.
    sets : list of SampleSet
        The held-out samples.
    weights : dict
        Weight of each label.
    block : int
        Cells along one side of a block.
    """
    parts: dict[str, list[Held]] = {}
    for number, (samples, mean) in enumerate(zip(sets, said, strict=True)):
        held = _held(samples, mean[None], np.ones_like(mean)[None], flat(known_target(samples)), 0, number)
        parts.setdefault(samples.label, []).append(held)
    joined = {label: _joined(some) for label, some in parts.items()}
    n_layers = said[0].shape[1] if said else 0
    scores = [_layer_score({y: p.layer(n) for y, p in joined.items()}, weights, block) for n in range(n_layers)]
    finite = [score for score in scores if np.isfinite(score)]
    return float(np.mean(finite)) if finite else float("nan")


def _layer_score(held: dict[str, Held], weights: dict[str, float], block: int) -> float:
    left = constrained_errors({label: part for label, part in held.items() if len(part.target)}, block)
    squares = {
        label: np.mean([np.mean(errors[0][part.resolution == r] ** 2) for r in np.unique(part.resolution)])
        for label, (part, errors) in left.items()
    }
    total = sum(weights[label] for label in squares)
    return float(sum(weights[label] * square for label, square in squares.items()) / total) if squares else np.nan


def known_target(samples: SampleSet | Group) -> torch.Tensor:
    """Return the target with NaN where a pixel's required drivers are missing."""
    if samples.label == "cell_mean":
        return samples.target
    return samples.target.masked_fill(~samples.mask.unsqueeze(1), float("nan"))


def flat(values: torch.Tensor) -> Array:
    """Return ``(n, layer)`` or ``(n, layer, y, x)`` as rows, one a sample or pixel."""
    array = values.double().numpy()
    return array if array.ndim == 2 else np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])


def _joined(parts: list[Held]) -> Held:
    rows = ("target", "cell", "day", "sample", "station", "resolution")
    return Held(
        np.concatenate([p.mean for p in parts], axis=1),
        np.concatenate([p.variance for p in parts], axis=1),
        *(np.concatenate([getattr(p, name) for p in parts]) for name in rows),
    )


def constrained_errors(held: dict[str, Held], block: int) -> dict[str, tuple[Held, Array]]:
    """Return the errors of one layer that remain once the map agrees with the coarse product, and whose they are.

    A map is shifted until its cells have the coarse product's means, so that what a network misses of a whole cell or
    day does not reach the map. Per label:

    - stations lose the error of their cell's mean on that day, where that is known;
    - pixels of a finer label lose the mean error of their sample;
    - cell means lose the mean error of their block of cells on that day: blocks stand to cells as cells to pixels.

    What is left of *n* samples once their own mean is gone is scaled up by ``n / (n - 1)`` in the mean square.

    Where that cannot be done (cells without neighbours, stations without cells) errors are taken as they are.

    Parameters
    ----------
    held : dict of str to Held
        By label, each of one layer.
    block : int
        Cells along one side of a block; two at least.

    Returns
    -------
    dict
        By label: the samples that are left, and their errors ``(network, n)``.
    """
    out = {}
    for label, part in held.items():
        if label == "stations":
            found = _stations(part, held)
        elif label == "cell_mean":
            found = _anomalies(part, np.column_stack([part.cell // max(2, block), part.day, part.resolution]))
        else:
            found = _anomalies(part, part.sample[:, None])
        out[label] = found if len(found[0].target) else (part, part.errors[..., 0])
    return out


def _anomalies(part: Held, key: Index) -> tuple[Held, Array]:
    """Return errors less their mean over all samples of one key; those that are alone are left out."""
    _, group, count = np.unique(_codes(key), return_inverse=True, return_counts=True)
    errors = part.errors[..., 0]
    means = np.stack([np.bincount(group, row, minlength=len(count)) / count for row in errors])
    size = count[group]
    keep = size > 1
    factor = np.sqrt(size[keep] / (size[keep] - 1.0))
    return part.where(keep), (errors - means[:, group])[:, keep] * factor


def _stations(part: Held, held: dict[str, Held]) -> tuple[Held, Array]:
    """Return errors less that of the cell's mean on the same day, at whatever resolutions it was sampled."""
    cells = [other for label, other in held.items() if label in ("cell_mean", "cubic")]
    if not cells or not len(part.target):
        return part.where(np.zeros(len(part.target), dtype=bool)), np.empty((len(part.mean), 0))
    codes = _codes(np.concatenate([np.column_stack([c.cell, c.day]) for c in (part, *cells)]))
    own, theirs = codes[: len(part.target)], codes[len(part.target) :]
    errors = np.concatenate([c.errors[..., 0] for c in cells], axis=1)
    names, group, count = np.unique(theirs, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(group, row, minlength=len(count)) / count for row in errors])
    at = np.minimum(np.searchsorted(names, own), len(names) - 1)
    keep = names[at] == own
    return part.where(keep), part.errors[:, keep, 0] - means[:, at[keep]]


def _codes(key: Index) -> Index:
    """Return one number for each different row: sorting numbers is far faster than sorting rows."""
    codes = np.zeros(len(key), dtype=np.int64)
    for column in key.T if len(key) else ():
        low = column.min()
        codes = codes * (column.max() - low + 1) + (column - low)
    return codes
