"""What each stage of a project is told: the configuration, bound to the places of its directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from smdown import evaluation, inference, sources, training
from smdown.evaluation.config import IndependentConfig, ReferenceConfig
from smdown.evaluation.stations import load_stations
from smdown.grid import nominal_ratio
from smdown.training.card import read_card

if TYPE_CHECKING:
    from smdown.project.project import Project


def ingest_context(project: Project) -> sources.IngestContext:
    """Return what every reader is told."""
    period = project.config.period
    return sources.IngestContext(
        nested=project.config.grid,
        start=period.start.isoformat(),
        end=period.end.isoformat(),
        out=project.url("sources"),
        lead_days=project.spec.lead_days,
    )


def layers(project: Project) -> tuple[training.Layer, ...]:
    """Return what is downscaled."""
    return tuple(
        training.Layer(name, layer.source, layer.variable, layer.units, layer.valid_range, layer.uncertainty)
        for name, layer in project.config.layers.items()
    )


def train_context(project: Project) -> training.TrainContext:
    """Return what training is told."""
    label = project.config.training.label("stations")
    return training.TrainContext(
        spec=project.spec,
        cells=project.config.grid.cells,
        layers=project.layers,
        days=project.config.period.days,
        sources_url=project.url("sources"),
        stations_url=None if label is None else project.url("sources", f"{label.source}.zarr"),
        out=project.bundle_url,
        lattice=project.config.grid.lattice,
        map_ratio=project.config.grid.ratio,
    )


def predict_job(project: Project) -> inference.PredictJob:
    """Return what a prediction task is told."""
    config = project.config
    return inference.PredictJob(
        spec=project.spec,
        bundle_url=project.bundle_url,
        mosaic_url=project.mosaic_url,
        members_url=project.members_url,
        grid=config.grid,
        cells_per_tile=config.prediction.cells_per_tile,
        layers=tuple(
            inference.LayerJob(
                name=name,
                source=layer.source,
                variable=layer.variable,
                units=layer.units,
                long_name=layer.long_name or name,
                standard_name=layer.standard_name,
                valid_range=layer.valid_range,
                uncertainty=layer.uncertainty,
                uncertainty_variable=layer.uncertainty_variable,
            )
            for name, layer in config.layers.items()
        ),
        days=config.mapped_days,
        constraint=config.prediction.constraint,
    )


def evaluate_job(project: Project) -> evaluation.EvaluateJob:
    """Return what an evaluation is told."""
    config, collocation = project.config, project.config.evaluation.triple_collocation
    seen = config.evaluation.footprint
    return evaluation.EvaluateJob(
        mosaic_url=project.mosaic_url,
        grid=config.grid,
        layers=tuple(
            evaluation.LayerInput(
                name, project.url("sources", f"{layer.source}.zarr"), layer.variable, layer.long_name, layer.units
            )
            for name, layer in config.layers.items()
        ),
        days=config.mapped_days,
        cells_per_tile=config.prediction.cells_per_tile,
        out_url=project.url("evaluation"),
        members_url=project.members_url,
        truth_url=_truth_url(project),
        stations_url=project.stations_url,
        held_out=_never_seen(project),
        baselines_url=project.baselines_url,
        references=_products(project, config.evaluation.references),
        products=_products(project, {} if collocation is None else collocation.products),
        anomaly_days=None if collocation is None else collocation.anomaly_days,
        footprint=evaluation.Footprint(seen.radius_m, seen.weights, tuple(sorted(seen.networks.items()))),
    )


def _never_seen(project: Project) -> tuple[str, ...] | None:
    """Return the stations of the evaluation that training never saw, None where it saw none at all."""
    if project.stations_url is None:
        return None
    splits = read_card(project.bundle_url).splits
    seen = {*splits.training_stations, *splits.validation_stations}
    return tuple(n for n in load_stations(project.stations_url, ()).names if n not in seen) if seen else None


def _truth_url(project: Project) -> str | None:
    """Return the cube of the fine reference: that of a source, or any."""
    truth = project.config.evaluation.truth
    return project.url("sources", f"{truth}.zarr") if truth in project.config.sources else truth


def _products(
    project: Project, products: Mapping[str, ReferenceConfig] | Mapping[str, IndependentConfig]
) -> tuple[evaluation.ProductInput, ...]:
    """Return the products that the map is set beside, each with the ratio of its comparison, 0 for none."""
    lattice = project.config.grid.lattice
    return tuple(
        evaluation.ProductInput(
            name,
            project.url("sources", f"{product.source}.zarr"),
            tuple(product.variables.items()),
            nominal_ratio(lattice, product.resolution) if isinstance(product, ReferenceConfig) else 0,
        )
        for name, product in products.items()
    )
