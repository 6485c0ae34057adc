"""Describe a model bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from smdown.cubes.store import sizes
from smdown.describe.texts import days_text, facts, grid, interval, size_text
from smdown.training import Bundle


def bundle_tables(path: str, bundle: Bundle) -> list[Table]:
    """Return the tables that describe a bundle."""
    card = bundle.card
    sequence, splits = card.sequence, card.splits
    about = {
        "kind": "model bundle",
        "layers": ", ".join(f"{v.name} ({v.units}, {interval(v.valid_range)})" for v in card.layers),
        "trained at": ", ".join(f"{r} m" for r in card.resolutions),
        "lattice": card.lattice,
        "sequence": f"{sequence.days} days at {sequence.resolution} m" if sequence else "none",
        "cells": f"{len(splits.training_cells)} for training, {len(splits.validation_cells)} for validation",
        "stations": f"{len(splits.training_stations)} for training, {len(splits.validation_stations)} for validation, "
        f"{len(splits.held_out_stations)} never seen",
        "days": days_text(np.array(splits.days, dtype="datetime64[D]")),
        "size": size_text(sum(sizes(path).values())),
    }
    about |= {f"provenance, {key}": _plain(value) for key, value in card.provenance.items()}
    networks = (
        (name, _plain({k: v for k, v in config.model_dump().items() if k != "kind"}),
         sum(p.numel() for p in bundle.networks[name].parameters()),
         ", ".join(f"{layer} {weights.get(name, 0):.2f}" for layer, weights in card.weights.items()))
        for name, config in card.networks.items()
    )  # fmt: skip
    drivers = [(f.name, f.units, f"{f.mean:.4g}", f"{f.std:.4g}", "same day") for f in card.drivers]
    drivers += (
        [(f.name, f.units, f"{f.mean:.4g}", f"{f.std:.4g}", "sequence") for f in sequence.drivers] if sequence else []
    )
    tables = [
        facts(path, about),
        grid("Networks", "name|settings|parameters>|weight in the ensemble", networks),
        grid("Drivers", "name|units|mean>|deviation>|as", drivers),
    ]
    return [*tables, *_metric_tables(card.metrics)]


def _metric_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return validation metrics: layer, reference, member, then whatever numbers there are."""
    rows = [
        (layer, reference, member, numbers)
        for layer, references in metrics.items() if isinstance(references, Mapping)
        for reference, members in references.items() if isinstance(members, Mapping)
        for member, numbers in members.items() if isinstance(numbers, Mapping)
    ]  # fmt: skip
    names = list(dict.fromkeys(k for *_, numbers in rows for k, v in numbers.items() if isinstance(v, int | float)))
    columns = "|".join(["layer", "against", "member", *(f"{n}>" for n in names)])
    texts = ([*head, *(_number(numbers.get(n)) for n in names)] for *head, numbers in rows)
    return [grid("Validation", columns, texts)] if rows else []


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)
