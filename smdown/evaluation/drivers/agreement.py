"""How alike drivers matter at different resolutions: the test of scale invariance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import rankdata

Layers = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
"""Results by layer, resolution and member."""


def importance_of(entry: Mapping[str, Any], method: str) -> dict[str, float]:
    """Return the importance of single drivers by a method, empty where it was not used."""
    if method == "permutation":
        return {name: found["pattern"] for name, found in entry.get("drivers", {}).items()}
    found = entry.get(method, {}).get("drivers", {})
    if method == "sobol":
        return {name: value["total"] for name, value in found.items()}
    return {name: value["importance"] if isinstance(value, Mapping) else value for name, value in found.items()}


def rankings(
    layers: Layers, methods: list[str], member: str = "ensemble"
) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return the drivers from the most to the least important, by layer, method and resolution."""
    return {
        layer: {
            method: {
                resolution: sorted(found, key=lambda name: -_number(found[name]))
                for resolution, members in resolutions.items()
                if (found := importance_of(members[member], method))
            }
            for method in methods
        }
        for layer, resolutions in layers.items()
    }


def agreement_by_method(
    layers: Layers, methods: list[str], member: str = "ensemble"
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return, by layer, method and pair of resolutions, Spearman's rank correlation of the importances.

    Of effects the curves are compared too: their correlation, and the root mean square of their difference over that
    of the curves themselves, both weighted by the drivers' importance.
    """
    out: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for layer, resolutions in layers.items():
        out[layer] = {}
        for method in methods:
            pairs = {}
            for a, b in combinations(resolutions, 2):
                first, second = resolutions[a][member], resolutions[b][member]
                found = {"rank": spearman(importance_of(first, method), importance_of(second, method))}
                if method == "ale" and "ale" in first and "ale" in second:
                    found |= compare_curves(first["ale"]["drivers"], second["ale"]["drivers"])
                pairs[f"{a}-{b}"] = found
            out[layer][method] = pairs
    return out


def spearman(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Return the rank correlation over the drivers that both have, NaN where ranks do not vary."""
    names = [n for n in first if n in second and math.isfinite(_number(first[n]) + _number(second[n]))]
    if len(names) < 3:
        return math.nan
    a, b = (rankdata([_number(values[n]) for n in names]) for values in (first, second))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else math.nan


def compare_curves(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, float]:
    """Return how alike effects are at two resolutions, on their common edges."""
    weight, same, off = [], [], []
    for name in first:
        a, b = (np.asarray(found[name]["values"], dtype=np.float64) for found in (first, second))
        size = math.sqrt(float((a**2).mean() + (b**2).mean()) / 2) if len(a) == len(b) > 2 else 0.0
        if size > 0 and a.std() > 0 and b.std() > 0:
            weight.append(first[name]["importance"] + second[name]["importance"])
            same.append(float(np.corrcoef(a, b)[0, 1]))
            off.append(math.sqrt(float(((a - b) ** 2).mean())) / size)
    if not weight or sum(weight) <= 0:
        return {"curves": math.nan, "difference": math.nan}
    return {"curves": float(np.average(same, weights=weight)), "difference": float(np.average(off, weights=weight))}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
