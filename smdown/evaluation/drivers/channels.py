"""Drivers and groups of drivers as positions among what networks are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smdown.features import FeatureSpec


@dataclass(frozen=True)
class Channels:
    """What is exchanged together.

    Parameters
    ----------
    fine, sequence : tuple of int
        Positions among the drivers, and among the sequence's drivers.
    """

    fine: tuple[int, ...] = ()
    sequence: tuple[int, ...] = ()

    def __or__(self, other: Channels) -> Channels:
        return Channels(self.fine + other.fine, self.sequence + other.sequence)


def driver_channels(spec: FeatureSpec) -> dict[str, Channels]:
    """Return the channels of every single driver; those of the sequence are named ``<name>_sequence``."""
    fine = {name: Channels(fine=(n,)) for n, name in enumerate(spec.names)}
    return fine | {f"{name}_sequence": Channels(sequence=(n,)) for n, name in enumerate(spec.sequence_names)}


def group_channels(drivers: Mapping[str, Channels], groups: Mapping[str, str]) -> dict[str, Channels]:
    """Return the channels of every group, in the order in which they first occur."""
    out: dict[str, Channels] = {}
    for name, channels in drivers.items():
        group = groups.get(name, name)
        out[group] = out.get(group, Channels()) | channels
    return out


def default_groups(spec: FeatureSpec) -> dict[str, str]:
    """Return the group of every driver: terrain, vegetation (normalised differences), else its source's name."""
    ground = {d.source for d in spec.drivers if d.kind == "terrain"}
    names = {"normalized_difference": "vegetation"}
    out = {d.name: "terrain" if d.source in ground else names.get(d.kind, d.source) for d in spec.drivers}
    sequence = spec.sequence.drivers if spec.sequence else ()
    return out | {f"{d.name}_sequence": d.source for d in sequence}
