"""The bundle's card: everything that prediction must know about what was trained, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import fsspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from smdown.errors import BundleError
from smdown.networks.config import NetworkConfig

CARD = "bundle.json"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureCard(_Model):
    """One driver and the statistics that it is standardised with."""

    name: str
    units: str = ""
    mean: float = Field(allow_inf_nan=False)
    std: float = Field(gt=0, allow_inf_nan=False)


class LayerCard(_Model):
    """One predicted variable and the statistics that its values are restored with."""

    name: str
    units: str
    valid_range: tuple[float, float]
    mean: float = Field(allow_inf_nan=False)
    std: float = Field(gt=0, allow_inf_nan=False)


class SequenceCard(_Model):
    """The daily sequence."""

    drivers: tuple[FeatureCard, ...]
    days: int = Field(ge=1)
    resolution: int = Field(ge=1)
    ratio: int = Field(ge=1)


class SplitCard(_Model):
    """Who was trained on, who validated, who was never seen; cells as row and column of the lattice."""

    training_cells: tuple[tuple[int, int], ...] = ()
    validation_cells: tuple[tuple[int, int], ...] = ()
    training_stations: tuple[str, ...] = ()
    validation_stations: tuple[str, ...] = ()
    held_out_stations: tuple[str, ...] = ()
    days: tuple[str, ...] = ()


class ApplicabilityCard(_Model):
    """What the dissimilarity index is computed from; see `smdown.training.applicability`."""

    weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]
    """How much the networks heed each driver, 1 on average."""
    centres: tuple[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], ...] = Field(min_length=1)
    """Clusters of the training data, in standard deviations times weights."""
    scale: float = Field(gt=0, allow_inf_nan=False)
    """Mean distance between training data."""
    threshold: float = Field(ge=0, allow_inf_nan=False)
    """Index beyond which the map rests on extrapolation."""


class BundleCard(_Model):
    """Everything about a bundle but its weights' values."""

    schema_version: Literal[1] = 1
    lattice: str
    resolutions: tuple[int, ...]
    layers: tuple[LayerCard, ...] = Field(min_length=1)
    drivers: tuple[FeatureCard, ...]
    sequence: SequenceCard | None = None
    networks: dict[str, Annotated[NetworkConfig, Field(discriminator="kind")]] = Field(min_length=1)
    weights: dict[str, dict[str, Annotated[float, Field(ge=0, le=1 + 1e-9)]]]
    variance_scale: dict[str, Annotated[float, Field(gt=0)]]
    unconstrained_scale: dict[str, Annotated[float, Field(gt=0)]] = {}
    member_scale: dict[str, dict[str, Annotated[float, Field(gt=0)]]] = {}
    applicability: ApplicabilityCard | None = None
    metrics: dict[str, Any] = {}
    splits: SplitCard = SplitCard()
    provenance: dict[str, Any] = {}

    @model_validator(mode="after")
    def _applicability_of_the_drivers(self) -> Self:
        found, wanted = self.applicability, len(self.drivers)
        if found is not None and {len(found.weights), *map(len, found.centres)} != {wanted}:
            raise ValueError(f"applicability is not of {wanted} drivers")
        return self


def read_card(path: str) -> BundleCard:
    """Read the card of a bundle from its folder or fsspec URL.

    Raises
    ------
    BundleError
        If there is none, or it is of another version.
    """
    try:
        return BundleCard.model_validate_json(read_object(path, CARD))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path}/{CARD}: {where}: {first['msg']}; train again with this version") from error


def read_object(path: str, name: str) -> bytes:
    """Return the bytes of one file of a bundle.

    Raises
    ------
    BundleError
        If it is missing.
    """
    url = f"{str(path).rstrip('/')}/{name}"
    try:
        with fsspec.open(url, "rb") as file:
            return bytes(file.read())
    except FileNotFoundError as error:
        raise BundleError(f"{url} is missing; run the stage train first") from error


def check_drivers(
    card: BundleCard, names: Sequence[str], units: Mapping[str, str], sequence_names: Sequence[str] | None = None
) -> None:
    """Refuse a project whose drivers are not those that the networks were trained on.

    Parameters
    ----------
    card : BundleCard
        Of the bundle.
    names, sequence_names : sequence of str
        The project's drivers in channel order; those of its sequence (None: not compared).
    units : mapping of str to str
        Their units.

    Raises
    ------
    BundleError
        Naming every difference.
    """
    found = _differences("driver", card.drivers, names, units)
    if sequence_names is not None and card.sequence is not None:
        found += _differences("sequence driver", card.sequence.drivers, sequence_names, units)
    if found:
        raise BundleError(
            f"the bundle does not fit the project: {'; '.join(found)}; "
            "train again, or restore the drivers it was trained on"
        )


def _differences(what: str, cards: Sequence[FeatureCard], names: Sequence[str], units: Mapping[str, str]) -> list[str]:
    wanted = [card.name for card in cards]
    found = [f"{what} {name} is missing" for name in wanted if name not in names]
    found += [f"{what} {name} is not of the bundle" for name in names if name not in wanted]
    if not found and list(names) != wanted:
        found.append(f"{what}s come as {', '.join(names)} but were trained as {', '.join(wanted)}")
    return found + [
        f"{what} {card.name} is in {units.get(card.name, '')!r} but was trained in {card.units!r}"
        for card in cards
        if card.name in names and units.get(card.name, "") != card.units
    ]
