"""The card of a training: everything that prediction must know about it."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version

from torch import Tensor

from smdown.networks.config import NetworkConfig
from smdown.training.assess import Assessment
from smdown.training.card import ApplicabilityCard, BundleCard, FeatureCard, LayerCard, SequenceCard, SplitCard
from smdown.training.collect import Collected
from smdown.training.config import TrainingConfig
from smdown.training.context import Layer, TrainContext
from smdown.training.samples import sequence_ratio


def make_card(
    config: TrainingConfig,
    context: TrainContext,
    configs: dict[str, NetworkConfig],
    data: Collected,
    assessment: Assessment,
    seed: int,
    applicability: ApplicabilityCard | None = None,
) -> BundleCard:
    """Return the card of what was trained on some samples and judged on held-out ones."""
    spec, target = context.spec, data.target
    return BundleCard(
        lattice=context.lattice.name,
        resolutions=config.resolutions,
        layers=tuple(
            _layer(layer, float(target.mean[n]), float(target.std[n])) for n, layer in enumerate(context.layers)
        ),
        drivers=_features(spec.names, spec.units, data.fine.mean, data.fine.std),
        sequence=None
        if spec.sequence is None
        else SequenceCard(
            drivers=_features(spec.sequence_names, spec.units, data.sequence.mean, data.sequence.std),
            days=spec.sequence.days,
            resolution=spec.sequence.resolution,
            ratio=sequence_ratio(context),
        ),
        networks=configs,
        weights=assessment.weights,
        variance_scale=assessment.variance_scale,
        unconstrained_scale=assessment.unconstrained_scale,
        member_scale=assessment.member_scale,
        applicability=applicability,
        metrics=assessment.metrics,
        splits=_splits(data),
        provenance={
            "seed": seed,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "labels": [label.model_dump(mode="json") for label in config.labels],
            "versions": {name: version(name) for name in ("torch", "pytorch-lightning", "numpy")},
        },
    )


def _layer(layer: Layer, mean: float, std: float) -> LayerCard:
    return LayerCard(name=layer.name, units=layer.units, valid_range=layer.valid_range, mean=mean, std=std)


def _features(names: tuple[str, ...], units: dict[str, str], mean: Tensor, std: Tensor) -> tuple[FeatureCard, ...]:
    return tuple(
        FeatureCard(name=name, units=units.get(name, ""), mean=float(mean[n]), std=float(std[n]))
        for n, name in enumerate(names)
    )


def _splits(data: Collected) -> SplitCard:
    roles, labels = data.roles, data.labels
    names = labels.stations.names
    seen = [not held and not val for held, val in zip(roles.held_out, roles.validation_station, strict=True)]
    return SplitCard(
        training_cells=tuple((int(y), int(x)) for y, x in labels.cells[~roles.validation_cell]),
        validation_cells=tuple((int(y), int(x)) for y, x in labels.cells[roles.validation_cell]),
        training_stations=tuple(name for name, yes in zip(names, seen, strict=True) if yes),
        validation_stations=tuple(name for name, yes in zip(names, roles.validation_station, strict=True) if yes),
        held_out_stations=tuple(name for name, yes in zip(names, roles.held_out, strict=True) if yes),
        days=labels.days,
    )
