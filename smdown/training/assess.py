"""Held-out blocks decide: ensemble weights, calibration of the variance, and what is said about each network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from smdown.networks import Network
from smdown.networks.base import crop
from smdown.training.collect import Collected
from smdown.training.config import TrainingConfig
from smdown.training.data import SampleSet
from smdown.training.loss import cell_moments
from smdown.training.stacking import ensemble_weights, mixture

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Assessment:
    """What held-out blocks say.

    Parameters
    ----------
    weights : dict
        Per layer and network.
    variance_scale : dict
        Per layer: what makes the mean squared error equal the mean variance.
    metrics : dict
        Per layer, label and member: number of samples, root mean squared error, correlation.
    """

    weights: dict[str, dict[str, float]]
    variance_scale: dict[str, float]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class _Held:
    """Predictions of one label on held-out blocks: ``(network, n)``, and the label's values ``(n,)``."""

    mean: Array
    variance: Array
    target: Array


def assess(config: TrainingConfig, networks: dict[str, Network], data: Collected, layers: list[str]) -> Assessment:
    """Weigh and calibrate the networks on the validation samples, in physical units."""
    weights, scales, metrics = {}, {}, {}
    by_label: dict[str, tuple[Array, Array, Array]] = {
        label.kind: _predict(config, networks, [s for s in data.validation if s.label == label.kind], data)
        for label in config.labels
    }
    for n, layer in enumerate(layers):
        held = {kind: _layer(found, n) for kind, found in by_label.items() if len(found[2])}
        held = {kind: part for kind, part in held.items() if len(part.target)}
        share = _weights(config, held, len(networks))
        weights[layer] = dict(zip(networks, share.tolist(), strict=True))
        scales[layer] = _variance_scale(held, share)
        metrics[layer] = {kind: _scores(part, list(networks), share) for kind, part in held.items()}
    return Assessment(weights, scales, metrics)


@torch.inference_mode()
def _predict(
    config: TrainingConfig, networks: dict[str, Network], sets: list[SampleSet], data: Collected
) -> tuple[Array, Array, Array]:
    """Return mean and variance ``(network, n, layer)`` and target ``(n, layer)``; pixels are samples of their own."""
    means: list[list[Array]] = [[] for _ in networks]
    variances: list[list[Array]] = [[] for _ in networks]
    targets = []
    std, centre = data.target.std.numpy().astype(np.float64), data.target.mean.numpy().astype(np.float64)
    for group in (group for samples in sets for group in samples.groups(4 * config.batch_pixels)):
        targets.append(_flat(group.target) * std + centre)
        for k, network in enumerate(networks.values()):
            fine = crop(group.fine, group.radius - network.radius)
            mean, log_variance = network(fine, group.sequence, group.place)
            if group.label == "cell_mean":
                mean, log_variance = cell_moments(mean, log_variance, group.mask)
            means[k].append(_flat(mean) * std + centre)
            variances[k].append(_flat(log_variance.exp()) * std**2)
    if not targets:
        nothing = np.empty((len(networks), 0, len(std)))
        return nothing, nothing, nothing[0]
    return (
        np.stack([np.concatenate(m) for m in means]),
        np.stack([np.concatenate(v) for v in variances]),
        np.concatenate(targets),
    )


def _flat(values: torch.Tensor) -> Array:
    array = values.double().numpy()
    return array if array.ndim == 2 else np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])


def _layer(found: tuple[Array, Array, Array], n: int) -> _Held:
    mean, variance, target = (values[..., n] for values in found)
    known = np.isfinite(target)
    return _Held(mean[:, known], variance[:, known], target[known])


def _weights(config: TrainingConfig, held: dict[str, _Held], n_networks: int) -> Array:
    """Return the ensemble's weights; a label counts by its weight, whatever its number of samples."""
    if not held:
        return np.full(n_networks, 1 / n_networks)
    shares: dict[str, float] = {label.kind: label.weight for label in config.labels}
    sample_weight = np.concatenate([np.full(len(p.target), shares[k] / len(p.target)) for k, p in held.items()])
    predictions = np.concatenate([p.mean for p in held.values()], axis=1)
    target = np.concatenate([p.target for p in held.values()])
    return ensemble_weights(config.ensemble, predictions, target, sample_weight, config.shrinkage)


def _variance_scale(held: dict[str, _Held], weights: Array) -> float:
    """Return mean squared error over mean variance, of stations where there are any, since the map is of pixels."""
    part = held.get("stations") or next(iter(held.values()), None)
    if part is None:
        return 1.0
    mean, variance = mixture(part.mean, part.variance, weights[:, None])
    return float(np.clip(((mean - part.target) ** 2).mean() / max(variance.mean(), 1e-12), 1e-3, 1e3))


def _scores(part: _Held, names: list[str], weights: Array) -> dict[str, Any]:
    fields = dict(zip(names, part.mean, strict=True)) | {
        "ensemble": weights @ part.mean,
        "mean": part.mean.mean(axis=0),
    }
    return {name: _score(field, part.target) for name, field in fields.items()}


def _score(field: Array, target: Array) -> dict[str, float]:
    rmse = float(np.sqrt(((field - target) ** 2).mean()))
    spread = float(field.std() * target.std())
    covariance = float(((field - field.mean()) * (target - target.mean())).mean())
    return {
        "n": len(target),
        "rmse": rmse,
        "bias": float((field - target).mean()),
        "r": covariance / spread if spread else 0.0,
    }
