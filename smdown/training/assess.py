"""Held-out blocks decide: ensemble weights, calibration of the variance, and what is said about each network.

Errors count as they remain in a map that agrees with the coarse product (see `smdown.training.heldout`): what a network
misses of a whole cell on a day is put right there, so it says nothing of whom to trust inside the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.kernels.bootstrap import rmse_intervals
from smdown.networks import Network
from smdown.training.collect import Collected
from smdown.training.config import TrainingConfig
from smdown.training.context import Layer
from smdown.training.heldout import Held, constrained_errors, predict_held
from smdown.training.stacking import ensemble_weights, mixture
from smdown.training.stated import TrainingSay

Array = npt.NDArray[np.float64]
Before = Callable[[str, Array], float]
"""What the training says of a mixture's variance on a label: see `TrainingSay.scale`."""
OWN_SAY = 6.0
"""Places that the training's say of a variance counts as, beside the held-out places that contradict it."""
Z_90 = 1.6448536269514722
_LEAST_BLOCKS = 5
PIXEL_LABELS = ("stations", "gridded")
"""Labels that tell the error of a pixel, the best first."""


@dataclass(frozen=True)
class Assessment:
    """What held-out blocks say.

    Parameters
    ----------
    weights : dict
        Per layer and network.
    variance_scale : dict
        Per layer: what the ensemble's variance is multiplied by in a map that agrees with the coarse product.
    metrics : dict
        Per layer, label and member: number of samples and blocks, root mean squared error (``rmse``, and
        ``rmse_constrained`` in such a map), bias, correlation, share of samples inside the calibrated 90 % interval,
        and the interval of its error over that of the ensemble.
    unconstrained_scale : dict
        Per layer: the same for a map that is not made to agree.
    member_scale : dict
        Per layer and network: the same for each network's own map that agrees.
    """

    weights: dict[str, dict[str, float]]
    variance_scale: dict[str, float]
    metrics: dict[str, Any]
    unconstrained_scale: dict[str, float] = field(default_factory=dict)
    member_scale: dict[str, dict[str, float]] = field(default_factory=dict)


def assess(
    config: TrainingConfig, networks: dict[str, Network], data: Collected, layers: tuple[Layer, ...]
) -> Assessment:
    """Weigh and calibrate the networks on the validation samples, in physical units."""
    names = list(networks)
    everything = predict_held(networks, data.validation, data.target, 4 * config.batch_pixels)
    found = Assessment({}, {}, {}, {}, {})
    trained = TrainingSay(networks, data.training, config.seed)
    for n, layer in enumerate(layers):
        held = {label: part.layer(n) for label, part in everything.items()}
        held = {label: part for label, part in held.items() if len(part.target)}
        left = constrained_errors(held, config.block_cells)
        share = _weights(config, left, len(names))
        scale, free, alone = _scales(held, left, share, layer.uncertainty, partial(trained.scale, n))
        found.weights[layer.name] = dict(zip(names, share.tolist(), strict=True))
        found.variance_scale[layer.name], found.unconstrained_scale[layer.name] = scale, free
        found.member_scale[layer.name] = dict(zip(names, alone, strict=True))
        extra = {"scale": scale, "alone": alone, "uncertainty": layer.uncertainty}
        found.metrics[layer.name] = {
            label: _scores(part, *left[label], names, share, config, extra) for label, part in held.items()
        }
    return found


def _weights(config: TrainingConfig, left: dict[str, tuple[Held, Array]], n_networks: int) -> Array:
    """Return the ensemble's weights; a label counts by its weight, whatever its number of samples."""
    if not left:
        return np.full(n_networks, 1 / n_networks)
    shares: dict[str, float] = {label.kind: label.weight for label in config.labels}
    errors = {label: error for label, (_, error) in left.items()}
    weight = np.concatenate([np.full(e.shape[1], shares[label] / e.shape[1]) for label, e in errors.items()])
    joined = np.concatenate(list(errors.values()), axis=1)
    return ensemble_weights(config.ensemble, joined, np.zeros(joined.shape[1]), weight, config.shrinkage)


def _scales(
    held: dict[str, Held], left: dict[str, tuple[Held, Array]], share: Array, uncertainty: float, before: Before
) -> tuple[float, float, list[float]]:
    """Return what variances are multiplied by: the ensemble's, the same without the constraint, each network's.

    Stations, or else a finer product, tell the error of a pixel. Without either it is taken from that of the cells'
    means as it is, on the assumption that the relation is as good inside the cells as between them.
    """
    label = next((kind for kind in PIXEL_LABELS if kind in held), next(iter(held), None))
    if label is None:
        return 1.0, 1.0, [1.0] * len(share)
    part = held[label]
    some, errors = left[label] if label in PIXEL_LABELS else (part, part.errors[..., 0])
    known = uncertainty if label in PIXEL_LABELS else 0.0
    own = before(label, share)
    free = variance_scale(*_mixed(part, part.errors[..., 0], share), part, uncertainty, own)
    alone = [
        variance_scale(errors[k], some.variance[k, :, 0], some, known, before(label, only))
        for k, only in enumerate(np.eye(len(share)))
    ]
    return variance_scale(*_mixed(some, errors, share), some, known, own), free, alone


def _mixed(part: Held, errors: Array, share: Array) -> tuple[Array, Array]:
    """Return the ensemble's errors and variance."""
    mean, variance = mixture(errors, part.variance[..., 0], share[:, None])
    return np.asarray(mean), np.asarray(variance)


def variance_scale(errors: Array, variance: Array, part: Held, uncertainty: float, before: float = 1.0) -> float:
    """Return the factor that brings a stated variance to the size of the errors, as far as they can tell.

    Errors of a place last from day to day, so places count, not samples: with *m* of them, `OWN_SAY` = *k* and `before`
    = *b*, the factor is ``(m s + k b) / (m + k)`` with *s* the mean squared error, less the coarse product's variance
    that the map adds, over the mean variance. That is the posterior mean of a scaled variance whose prior is what the
    training says.
    """
    place = part.station if (part.station >= 0).any() else np.unique(part.cell, axis=0, return_inverse=True)[1]
    count = len(np.unique(place))
    own = max(float((errors**2).mean()) - uncertainty**2, 0.0) / max(float(variance.mean()), 1e-12)
    return float(np.clip((count * own + OWN_SAY * before) / (count + OWN_SAY), 1e-3, 1e3))


def _scores(
    part: Held, left: Held, errors: Array, names: list[str], share: Array, config: TrainingConfig, extra: dict[str, Any]
) -> dict[str, Any]:
    """Return the figures of every network, the ensemble, and the means that it might have been."""
    mean, target = part.mean[..., 0], part.target[:, 0]
    n = len(names)
    weights = {name: np.eye(n)[k] for k, name in enumerate(names)} | {"ensemble": share, "mean": np.full(n, 1 / n)}
    out = {name: _score(weight @ mean, target) for name, weight in weights.items()}
    scales = dict(zip(names, extra["alone"], strict=True))
    for name, weight in weights.items():
        error, variance = _mixed(left, errors, weight)
        std = np.sqrt(variance * scales.get(name, extra["scale"]) + extra["uncertainty"] ** 2)
        out[name]["rmse_constrained"] = float(np.sqrt((error**2).mean()))
        out[name]["coverage_90"] = float((np.abs(error) <= Z_90 * std).mean())
    _add_ratios(out, left, np.stack([weights[name] @ errors for name in out]), list(out), config)
    return out


def _add_ratios(
    out: dict[str, dict[str, float]], left: Held, errors: Array, names: list[str], config: TrainingConfig
) -> None:
    """Add intervals of the errors over that of the ensemble; a block is a held-out block of cells on one day."""
    key = np.column_stack([left.cell // max(1, config.block_cells), left.day])
    _, block = np.unique(key, axis=0, return_inverse=True)
    block = block.reshape(-1)
    counts: Array = np.asarray(np.bincount(block), dtype=np.float64)
    squares: Array = np.stack([np.bincount(block, e**2, minlength=len(counts)) for e in errors]).astype(np.float64)
    base = names.index("ensemble")
    few = len(counts) < _LEAST_BLOCKS or squares[base].sum() <= 0
    for k, name in enumerate(names):
        out[name]["blocks"] = len(counts)
        if not few:
            out[name]["ratio"] = float(np.sqrt(squares[k].sum() / squares[base].sum()))
    if not few:
        _, ratio = rmse_intervals(counts, squares, base)
        for name, (low, high) in zip(names, ratio.tolist(), strict=True):
            out[name] |= {"ratio_low": low, "ratio_high": high}


def _score(values: Array, target: Array) -> dict[str, float]:
    rmse = float(np.sqrt(((values - target) ** 2).mean()))
    spread = float(values.std() * target.std())
    covariance = float(((values - values.mean()) * (target - target.mean())).mean())
    return {
        "n": len(target),
        "rmse": rmse,
        "bias": float((values - target).mean()),
        "r": covariance / spread if spread else 0.0,
    }
