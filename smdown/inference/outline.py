"""What a plan must know of a bundle, from its files alone: a client that submits tiles needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from smdown.errors import BundleError
from smdown.features import FeatureSpec
from smdown.inference.engine import Engine
from smdown.inference.job import PredictJob
from smdown.inference.memory import Needs
from smdown.inference.smooth import RING
from smdown.training.card import BundleCard, SequenceCard, check_drivers, read_card
from smdown.training.weights import read_digest


@dataclass(frozen=True)
class Outline:
    """Facts about an ensemble.

    Parameters
    ----------
    members : tuple of str
        Names of the networks.
    needs : Needs
        Counts that determine the memory of a tile.
    threshold : float, optional
        Dissimilarity index beyond which a value rests on extrapolation; none where the ensemble does not know.
    provenance : mapping
        Texts that say what it was made from.
    """

    members: tuple[str, ...]
    needs: Needs
    threshold: float | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, job: PredictJob, engine: Engine) -> Outline:
        """Return the same from an ensemble that is open."""
        radius, members = engine.ensemble.radius, engine.ensemble.members
        static, dynamic = len(engine.static_names), len(engine.dynamic_names)
        sequence = sequence_bytes(job, engine.sequence_ratio, *engine.sequence_shape)
        known = engine.applicability
        needs = Needs(static, dynamic, len(members), radius, sequence)
        return cls(members, needs, None if known is None else known.threshold, engine.provenance)


def read_outline(job: PredictJob) -> Outline:
    """Read what a plan must know of a job's bundle.

    Raises
    ------
    BundleError
        If the bundle cannot be read, or was trained with other drivers, layers or units.
    """
    card, spec = read_card(job.bundle_url), job.spec
    check_fit(job, card)
    radius = max(getattr(network, "depth", 0) for network in card.networks.values())
    series = sequence_of(card)
    shape = (series.ratio, series.days, len(series.drivers)) if series else (0, 0, 0)
    needs = Needs(
        len(spec.static_names), len(spec.dynamic_names), len(card.networks), radius, sequence_bytes(job, *shape)
    )
    threshold = None if card.applicability is None else card.applicability.threshold
    return Outline(tuple(card.networks), needs, threshold, provenance(job, card, read_digest(job.bundle_url, card)))


def sequence_of(card: BundleCard) -> SequenceCard | None:
    """Return the sequence of a bundle, if any of its networks reads it."""
    return card.sequence if any(network.kind == "lstm" for network in card.networks.values()) else None


def provenance(job: PredictJob, card: BundleCard, digest: str) -> dict[str, str]:
    """Return texts that say what a map is made from."""
    return {
        "bundle": digest,
        "networks": ", ".join(card.networks),
        "drivers": ", ".join(job.spec.names),
        "software": ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "numba", "zarr")),
    }


def sequence_bytes(job: PredictJob, ratio: int, days: int, drivers: int) -> int:
    """Return the bytes of one day's sequence of a tile, on a grid that cuts cells into `ratio` pixels a side."""
    ring = 2 * RING if job.constraint == "smooth" else 0
    height, width = ((min(job.cells_per_tile, side) + ring) * ratio + 2 for side in job.grid.cells.shape)
    return 4 * days * drivers * height * width


def check_fit(job: PredictJob, card: BundleCard) -> None:
    """Refuse a job that a bundle was not trained for.

    Raises
    ------
    BundleError
        If drivers, layers, units, sequence or lattice differ.
    """
    spec: FeatureSpec = job.spec
    check_drivers(card, spec.names, spec.units, spec.sequence_names if card.sequence else None)
    trained = {layer.name: layer for layer in card.layers}
    for layer in job.layers:
        if layer.name not in trained:
            raise BundleError(
                f"got the layer {layer.name}, but {job.bundle_url} was trained for {', '.join(trained)}; "
                "drop it from layers, or train again"
            )
        if layer.units != trained[layer.name].units:
            raise BundleError(
                f"got {layer.name} in {layer.units!r}, but it was trained in {trained[layer.name].units!r}; train again"
            )
    series = card.sequence
    if series and spec.sequence and (series.ratio, series.days) != (spec.sequence_ratio, spec.sequence.days):
        raise BundleError(
            f"got a sequence of {spec.sequence.days} days on cells cut into {spec.sequence_ratio}, but it was trained "
            f"with {series.days} days and {series.ratio}; restore features.sequence, or train again"
        )
    if card.lattice != job.grid.lattice.name:
        raise BundleError(
            f"got the lattice {job.grid.lattice.name}, but the bundle was trained on {card.lattice}; train again"
        )
