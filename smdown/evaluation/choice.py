"""Which network, or all of them: every estimate against the map, with what chance could do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smdown.evaluation import words
from smdown.evaluation.job import LayerInput
from smdown.evaluation.record import Record, number


@dataclass(frozen=True)
class ChoiceTable:
    """Errors of one layer against one reference, over that of the map.

    Parameters
    ----------
    caption : str
        Reference and number of blocks, if known.
    rows : list of tuple
        Member, its error, the error over that of the map as a change, the interval of that change, and the verdict.
    """

    caption: str
    rows: list[tuple[str, str, str, str, str]]


@dataclass(frozen=True)
class Choice:
    """What is said of one layer.

    Parameters
    ----------
    title : str
        The layer.
    findings : list of str
        Sentences.
    tables : list of ChoiceTable
        One per reference.
    """

    title: str
    findings: list[str]
    tables: list[ChoiceTable]


MINUS = "\N{MINUS SIGN}"
ALIKE = 0.005
"""Change of an error, as a share of it, that nobody would act on."""
KEYS = ("rmse_ratio", "rmse_ratio_low", "rmse_ratio_high")
HELD_KEYS = ("ratio", "ratio_low", "ratio_high")


def choices(record: Record) -> list[Choice]:
    """Return the comparison of every layer that has one: with truth, unseen stations, and the held-out blocks."""
    out = []
    for layer in record.layers:
        tables, findings = [], []
        for reference in ("truth", "stations"):
            members = record.members(layer.name, reference)
            if table := _table(members, words.name_of(reference), layer, "rmse", KEYS):
                tables.append(table)
                findings += _findings(members, reference, KEYS)
        for bundle in record.bundles.values():
            labels: Mapping[str, Any] = (bundle.get("metrics") or {}).get(layer.name, {})
            for label, found in labels.items():
                members = {name: {k: number(v) for k, v in figures.items()} for name, figures in found.items()}
                caption = f"Held-out blocks of training, label {label.replace('_', ' ')}"
                if table := _table(members, caption, layer, "rmse_constrained", HELD_KEYS):
                    tables.append(table)
        if tables:
            out.append(Choice(layer.title, findings, tables))
    return out


def _table(
    members: Mapping[str, Mapping[str, float]], caption: str, layer: LayerInput, error: str, keys: tuple[str, str, str]
) -> ChoiceTable | None:
    known = {m: v for m, v in members.items() if all(math.isfinite(v.get(key, math.nan)) for key in keys)}
    if len(known) < 2 or "ensemble" not in known:
        return None
    units = words.pretty_units(layer.units)
    order = ["ensemble", *sorted((m for m in known if m != "ensemble"), key=lambda m: known[m][error])]
    rows = []
    for member in order:
        value, low, high = (known[member][key] for key in keys)
        text = words.amount(known[member][error], units)
        if member == "ensemble":
            rows.append((member, text, "", "", ""))
        else:
            span = f"{signed(low)} to {signed(high)}"
            rows.append((member, text, signed(value), span, verdict(low, high)))
    return ChoiceTable(caption, rows)


def signed(ratio: float) -> str:
    """Return a ratio as a change in percent with its sign."""
    size = words.percent(abs(ratio - 1))
    if size == words.percent(0.0):
        return size
    return f"{'+' if ratio > 1 else MINUS}{size}"


def verdict(low: float, high: float) -> str:
    """Return in a word how an error compares with that of the map, given the interval of their ratio."""
    if max(abs(low - 1), abs(high - 1)) < ALIKE:
        return "as good as the map"
    if low > 1:
        return "worse than the map"
    return "better than the map" if high < 1 else "no difference beyond chance"


def _findings(members: Mapping[str, Mapping[str, float]], reference: str, keys: tuple[str, str, str]) -> list[str]:
    """Return in sentences what the ensemble beats, and what beats it."""
    groups: dict[str, list[str]] = {"worse than the map": [], "better than the map": [], "as good as the map": []}
    unsure: list[str] = []
    for member, figures in members.items():
        _, low, high = (figures.get(key, math.nan) for key in keys)
        if member != "ensemble" and math.isfinite(low):
            groups.get(verdict(low, high), unsure).append(words.name_of(member))
    where = "Against the fine truth" if reference == "truth" else "At unseen stations"
    parts = [
        f"the ensemble is better than {_listed(groups['worse than the map'])}" if groups["worse than the map"] else "",
        f"worse than {_listed(groups['better than the map'])}" if groups["better than the map"] else "",
        f"as good as {_listed(groups['as good as the map'])}" if groups["as good as the map"] else "",
        f"not to be told from {_listed(unsure)}" if unsure else "",
    ]
    said = [part for part in parts if part]
    if not said:
        return []
    if not said[0].startswith("the ensemble"):
        said[0] = f"the ensemble is {said[0]}"
    return [f"{where} {', '.join(said)}."]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
