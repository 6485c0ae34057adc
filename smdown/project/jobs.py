"""What each stage of a project is told: the configuration, bound to the places of its directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smdown import evaluation, inference, sources, training
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
    config, seen = project.config, project.config.evaluation.footprint
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
        truth_url=config.evaluation.truth,
        stations_url=project.stations_url,
        held_out=tuple(read_card(project.bundle_url).splits.held_out_stations) if project.stations_url else None,
        baselines_url=project.baselines_url,
        footprint=evaluation.Footprint(seen.radius_m, seen.weights, tuple(sorted(seen.networks.items()))),
    )
