"""Errors on held-out blocks, as they come and as they remain once a map agrees with the coarse product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from smdown.networks import Network
from smdown.networks.base import crop
from smdown.training.groups import SampleSet
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
            means.append(_flat(mean) * std + centre)
            variances.append(_flat(log_variance.exp()) * std**2)
        count = len(group.target)
        rows = np.repeat(np.arange(start, start + count), len(means[0]) // max(1, count))
        start += count
        yield Held(
            np.stack(means), np.stack(variances), _flat(group.target) * std + centre, samples.cells.numpy()[rows],
            samples.day.numpy()[rows], rows + (number << 32), samples.station.numpy()[rows],
            np.full(len(rows), samples.resolution),
        )  # fmt: skip


def _flat(values: torch.Tensor) -> Array:
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
    _, group, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    errors = part.errors[..., 0]
    means = np.stack([np.bincount(group, row, minlength=len(count)) / count for row in errors])
    size = count[group]
    keep = size > 1
    factor = np.sqrt(size[keep] / (size[keep] - 1.0))
    return part.where(keep), (errors - means[:, group])[:, keep] * factor


def _stations(part: Held, held: dict[str, Held]) -> tuple[Held, Array]:
    """Return errors less that of the cell's mean on the same day, at whatever resolutions it was sampled."""
    cells = [other for label, other in held.items() if label in ("cell_mean", "cubic")]
    if not cells:
        return part.where(np.zeros(len(part.target), dtype=bool)), np.empty((len(part.mean), 0))
    key = np.concatenate([np.column_stack([c.cell, c.day]) for c in cells])
    errors = np.concatenate([c.errors[..., 0] for c in cells], axis=1)
    names, group, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(group.reshape(-1), row, minlength=len(count)) / count for row in errors])
    place = {tuple(name): n for n, name in enumerate(names.tolist())}
    at = np.array([place.get((y, x, d), -1) for (y, x), d in zip(part.cell.tolist(), part.day.tolist(), strict=True)])
    keep = at >= 0
    return part.where(keep), part.errors[:, keep, 0] - means[:, at[keep]]
