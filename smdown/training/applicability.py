"""Area of applicability: how far a pixel's drivers lie from those that training saw (Meyer and Pebesma 2021).

Drivers are standardised as for the networks, without their clipping, and weighted by how much the networks heed them.
The dissimilarity index of a pixel is its distance to the nearest of the training data, over the mean distance between
those. Where it exceeds what held-out blocks show, the map rests on extrapolation (Methods in Ecology and Evolution 12,
https://doi.org/10.1111/2041-210X.13650).

Two things differ from there. Training pixels stand for themselves as the centres of clusters, so that billions of
pixels can be compared; distances of held-out pixels to the same centres set the threshold, so both see the same
coarsening. And importance is the mean size of the networks' gradients, which needs no further predictions.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from smdown.kernels.nearest import coordinates, distances
from smdown.networks import Network
from smdown.networks.base import crop
from smdown.training.card import ApplicabilityCard
from smdown.training.groups import Group, SampleSet
from smdown.training.rows import groups_of
from smdown.training.stream import Streamed

Array = npt.NDArray[np.float64]
CENTRES = 64
"""Clusters that stand for the training data."""
ROWS = 20_000
"""Pixels that are looked at, of training and of held-out blocks each."""
_EACH = 40
_GROUPS = 24
_PAIRS = 2000


def fit_applicability(
    networks: dict[str, Network], training: list[SampleSet | Streamed], held: list[SampleSet], seed: int
) -> ApplicabilityCard:
    """Return what the dissimilarity index is computed from.

    Parameters
    ----------
    networks : dict
        Trained.
    training, held : list
        Samples that were trained on, and held-out ones.
    seed : int
        Of the pixels that are drawn, and the clusters.
    """
    rng = np.random.default_rng(seed)
    rows, others = pixel_rows(training, rng), pixel_rows(held, rng)
    weights = importance(networks, held)
    weighted = rows * weights
    centres, _ = kmeans2(weighted, min(CENTRES, len(np.unique(weighted, axis=0))), minit="++", rng=rng)
    a, b = (weighted[rng.integers(0, len(weighted), _PAIRS)] for _ in range(2))
    scale = max(float(np.linalg.norm(a - b, axis=1).mean()), 1e-9)
    index = _nearest(others * weights, centres) / scale
    low, high = np.percentile(index, [25, 75])
    threshold = min(high + 1.5 * (high - low), float(index.max()))
    return ApplicabilityCard(
        weights=tuple(weights.tolist()),
        centres=tuple(tuple(row) for row in centres.round(6).tolist()),
        scale=scale,
        threshold=float(threshold),
    )


def pixel_rows(sets: list[SampleSet] | list[SampleSet | Streamed], rng: np.random.Generator) -> Array:
    """Return drivers of some pixels of all samples, standardised: every set has its share."""
    parts = [_rows_of(samples, max(1, ROWS // len(sets)), rng) for samples in sets if len(samples)]
    return np.concatenate(parts)


def _rows_of(samples: SampleSet | Streamed, limit: int, rng: np.random.Generator) -> Array:
    found: list[Array] = []
    for group in groups_of(samples):
        fine = crop(group.fine, group.radius).flatten(2)
        valid = group.mask.flatten(1).numpy()
        count = min(_EACH, valid.shape[1])
        chosen = rng.permuted(np.tile(np.arange(valid.shape[1]), (len(valid), 1)), axis=1)[:, :count]
        sample = np.repeat(np.arange(len(valid)), count)
        keep = valid[sample, chosen.ravel()]
        found.append(fine[sample[keep], :, chosen.ravel()[keep]].numpy().astype(np.float64))
    rows = np.concatenate(found)
    return rows if len(rows) <= limit else rows[rng.choice(len(rows), limit, replace=False)]


def importance(networks: dict[str, Network], held: list[SampleSet]) -> Array:
    """Return how much the networks heed each driver, 1 on average.

    That is the mean size of the gradient of their predictions by the standardised driver, over layers, networks and
    some held-out samples of every kind.
    """
    total: Array | None = None
    for network in networks.values():
        for group in _some_groups(held):
            size = _gradient(network, group)
            total = size if total is None else total + size
    if total is None or not total.sum() > 0:
        n = held[0].fine.shape[1] if held else 1
        return np.ones(n)
    return np.asarray(total / total.mean(), dtype=np.float64)


def _some_groups(held: list[SampleSet]) -> Iterator[Group]:
    for samples in held:
        yield from islice(samples.groups(4096), max(1, _GROUPS // len(held)))


def _gradient(network: Network, group: Group) -> Array:
    """Return the mean size of the gradient by driver: each layer's shares, added up."""
    fine = crop(group.fine, group.radius - network.radius).detach().clone().requires_grad_()
    with torch.enable_grad():
        mean, _ = network(fine, group.sequence, group.place)
        valid = group.mask.unsqueeze(1)
        shares = [_share(mean[:, [n]] * valid, fine) for n in range(mean.shape[1])]
    return np.sum(shares, axis=0)


def _share(field: Tensor, fine: Tensor) -> Array:
    (gradient,) = torch.autograd.grad(field.sum(), fine, retain_graph=True)
    size = gradient.abs().mean(dim=(0, 2, 3)).double().numpy()
    return np.asarray(size / max(float(size.sum()), 1e-12), dtype=np.float64)


def _nearest(rows: Array, centres: Array) -> Array:
    """Return the distance to the nearest centre."""
    square = (rows**2).sum(axis=1)[:, None] - 2 * rows @ centres.T + (centres**2).sum(axis=1)
    return np.sqrt(np.maximum(square.min(axis=1), 0.0))


class Applicability:
    """The dissimilarity index at work.

    Parameters
    ----------
    card : ApplicabilityCard
        What it is computed from.
    mean, std : Tensor
        Of the drivers, in their order.
    """

    def __init__(self, card: ApplicabilityCard, mean: Tensor, std: Tensor) -> None:
        self.threshold = card.threshold
        weights = np.array(card.weights, dtype=np.float32)
        self._mean = mean.cpu().numpy()
        self._factor = weights / std.cpu().numpy() / np.float32(card.scale)
        centres = np.array(card.centres, dtype=np.float64) / card.scale
        half = (centres**2).sum(axis=1, keepdims=True) / 2
        self._centres = torch.from_numpy(np.hstack([centres, -half]).astype(np.float32))

    def index(self, fine: npt.NDArray[np.float32], margin: int = 0) -> npt.NDArray[np.float32]:
        """Return the dissimilarity index ``(y, x)`` of drivers ``(feature, y, x)`` in their own units.

        A missing driver counts as its mean, as it does for the networks; `margin` pixels on every side are left out.
        """
        fine = np.ascontiguousarray(fine, dtype=np.float32)
        out = np.empty((fine.shape[1] - 2 * margin, fine.shape[2] - 2 * margin), dtype=np.float32)
        step = max(1, _AT_ONCE // max(1, out.shape[1]))
        for y in range(0, len(out), step):
            self._fill(fine, margin, y, out[y : y + step])
        return out

    def _fill(self, fine: npt.NDArray[np.float32], margin: int, y: int, out: npt.NDArray[np.float32]) -> None:
        """Fill some rows, few enough for their scores to stay in the cache."""
        x = np.ones((len(fine) + 1, *out.shape), dtype=np.float32)
        coordinates(fine, margin + y, margin, self._mean, self._factor, np.float32(_FARTHEST), x, out)
        with torch.inference_mode():
            scores = torch.mm(self._centres, torch.from_numpy(x.reshape(len(x), -1)))
        distances(scores.numpy(), out.reshape(-1))


_AT_ONCE = 2400
"""Pixels that are compared at once."""
_FARTHEST = 1e3
