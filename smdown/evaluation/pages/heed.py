"""What the networks heed: drivers by several methods, how alike these are between resolutions, and effects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from smdown.evaluation import charts, words
from smdown.evaluation.drivers.agreement import importance_of
from smdown.evaluation.pages.uncertainty import Table
from smdown.evaluation.record import Record, number

NAMES = {
    "permutation": "Permutation",
    "sobol": "Sobol, total",
    "gradients": "Integrated gradients",
    "ale": "Effects (ALE)",
}
_WITHOUT_UNITS = {"sobol"}
_SHOWN = 4


def method_tables(record: Record, layer: str, units: str) -> list[Table]:
    """Return the drivers' importance by method at the finest resolution, and its agreement between resolutions."""
    data = record.sensitivity
    methods = [m for m in data.get("methods", {}) if m in NAMES]
    if len(methods) < 2:
        return []
    finest, entry = _finest(data["layers"][layer])
    found = {m: importance_of(entry, m) for m in methods}
    headings = [NAMES[m] if m in _WITHOUT_UNITS else f"{NAMES[m]} [{units}]" for m in methods]
    rows = [
        (name.replace("_", " "), False, [words.figures(number(found[m].get(name)), 2) for m in methods])
        for name in by_mean_rank(found)
    ]
    tables = [Table(f"Single drivers at {finest} m, by their mean rank", ["Driver", *headings], rows)]
    pairs = data.get("agreement_by_method", {}).get(layer, {})
    columns = list(dict.fromkeys(pair for m in methods for pair in pairs.get(m, {})))
    if columns:
        alike = [
            (NAMES[m], False, [words.figures(number(pairs.get(m, {}).get(c, {}).get("rank")), 2) for c in columns])
            for m in methods
        ]
        curves = pairs.get("ale", {})
        if curves:
            cells = [words.figures(number(curves.get(c, {}).get("curves")), 2) for c in columns]
            alike.append(("Effects: correlation of the curves", False, cells))
            cells = [words.percent(number(curves.get(c, {}).get("difference"))) for c in columns]
            alike.append(("Effects: difference of the curves", False, cells))
        titles = [f"{c.replace('-', ' and ')} m" for c in columns]
        caption = "Do relations hold across scales? Rank correlation of the drivers' importance between resolutions"
        tables.append(Table(caption, ["Method", *titles], alike))
    return tables


def by_mean_rank(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the drivers from the most to the least important over all methods."""
    names = list(dict.fromkeys(name for values in found.values() for name in values))
    ranks: dict[str, list[int]] = {name: [] for name in names}
    for values in found.values():
        order = sorted(values, key=lambda name: -_known(values[name]))
        for place, name in enumerate(order):
            ranks[name].append(place)
    return sorted(names, key=lambda name: float(np.mean(ranks[name])) if ranks[name] else math.inf)


def effect_charts(record: Record, layer: str, units: str) -> list[tuple[str, str]]:
    """Draw the effects of the drivers that have the largest, at every resolution."""
    resolutions = record.sensitivity.get("layers", {}).get(layer, {})
    effects: dict[str, Any] = {
        res: found
        for res, members in resolutions.items()
        if (found := members.get("ensemble", {}).get("ale", {}).get("drivers"))
    }
    if not effects:
        return []
    finest = min(effects, key=int)
    order = sorted(effects[finest], key=lambda name: -_known(effects[finest][name]["importance"]))
    out = []
    for name in order[:_SHOWN]:
        lines = {f"{res} m": (found[name]["edges"], found[name]["values"]) for res, found in effects.items()}
        title = name.replace("_", " ")
        out.append((charts.effects(f"effect-{layer}-{name}", lines, title, f"effect [{units}]"), title))
    return out


def _finest(resolutions: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    finest = min(resolutions, key=int)
    return finest, resolutions[finest]["ensemble"]


def _known(value: Any) -> float:
    found = number(value)
    return found if math.isfinite(found) else -math.inf
