"""Uncertainty: whether stated errors are those that are made, and how errors grow away from the training data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smdown.evaluation import charts, words
from smdown.evaluation.job import LayerInput
from smdown.evaluation.record import Record, number


@dataclass(frozen=True)
class Table:
    """A table as text.

    Parameters
    ----------
    caption : str
        What it shows.
    headings : list of str
        Columns, the first one included.
    rows : list of tuple
        Name, whether it is the map itself, and cells.
    """

    caption: str
    headings: list[str]
    rows: list[tuple[str, bool, list[str]]]


@dataclass(frozen=True)
class UncertaintyPage:
    """What the page shows of a layer's uncertainty.

    Parameters
    ----------
    title : str
        The layer.
    findings : list of str
        Sentences.
    tables : list of Table
        Coverage, by reference.
    charts : list of tuple
        SVG and caption.
    """

    title: str
    findings: list[str]
    tables: list[Table]
    charts: list[tuple[str, str]]


def uncertainty_pages(record: Record) -> list[UncertaintyPage]:
    """Return one page for each layer whose stated uncertainty was judged."""
    pages = [_page(record, layer) for layer in record.layers]
    return [page for page in pages if page.tables or page.charts]


def _page(record: Record, layer: LayerInput) -> UncertaintyPage:
    data = record.findings("calibration")
    references: Mapping[str, Any] = data.get("layers", {}).get(layer.name, {})
    references = {k: references[k] for k in ("truth", "stations") if references.get(k)}
    reference = next(iter(references), "")
    own = references.get(reference, {}).get("ensemble", {})
    drawn = [
        *_calibration_charts(layer, own, data.get("pit_edges", []), reference),
        *_applicability_chart(record, layer),
    ]
    tables = [_coverage(layer, name, members, data.get("nominal", [])) for name, members in references.items()]
    sentences = [*_calibration_words(own, reference), *_applicability_words(record, layer)]
    return UncertaintyPage(layer.title, sentences, tables, drawn)


def _coverage(layer: LayerInput, reference: str, members: Mapping[str, Any], nominal: Sequence[float]) -> Table:
    units = words.pretty_units(layer.units)
    headings = ["Estimate", *(f"{p:.0%} interval holds".replace("%", "\N{NO-BREAK SPACE}%") for p in nominal)]
    headings += [f"Stated error [{units}]", f"Error made [{units}]", "Stated / made", f"CRPS [{units}]"]
    order = [m for m in ("ensemble", *members) if m in members]
    rows = []
    for member in dict.fromkeys(order):
        found = members[member]
        cells = [words.percent(number(v)) for v in found.get("coverage", [])]
        cells += [words.figures(number(found.get(k))) for k in ("sharpness", "rms_error")]
        cells += [words.figures(number(found.get("spread_skill")), 2), words.figures(number(found.get("crps")))]
        rows.append((words.name_of(member), member == "ensemble", cells))
    total = number(next(iter(members.values())).get("n"))
    what = words.counted(total, "pixel" if reference == "truth" else "pair")
    return Table(f"{words.name_of(reference)} ({what})", headings, rows)


PIT = (
    "Where the reference falls in the stated distribution (PIT): flat if the uncertainty is right, a hump if it is too "
    "wide, a valley if too narrow, a slope if the map is biased."
)


def _calibration_charts(
    layer: LayerInput, own: Mapping[str, Any], edges: Sequence[float], reference: str
) -> list[tuple[str, str]]:
    out = []
    counts = [number(v) for v in own.get("pit", [])]
    if counts and sum(counts) > 0 and len(edges) == len(counts) + 1:
        mean = sum(counts) / len(counts)
        svg = charts.histogram(f"pit-{layer.name}", list(edges), [c / mean for c in counts], "place of the reference")
        out.append((svg, PIT))
    bins = [b for b in own.get("spread", []) if number(b.get("n")) > 0]
    if len(bins) > 1:
        units = words.pretty_units(layer.units)
        pair = [number(b["spread"]) for b in bins], [number(b["rmse"]) for b in bins]
        labels = f"stated error [{units}]", f"error made [{units}]"
        svg = charts.spread_skill(f"spread-{layer.name}", *pair, [number(b["n"]) for b in bins], labels)
        where = words.name_of(reference).lower()
        caption = f"Error made where so much was stated ({where}); larger dots hold more, the dashed line is equality."
        out.append((svg, caption))
    return out


def _calibration_words(own: Mapping[str, Any], reference: str) -> list[str]:
    ratio = number(own.get("spread_skill"))
    if not math.isfinite(ratio):
        return []
    judged = "is right" if abs(ratio - 1) < 0.1 else ("is too small" if ratio < 1 else "is too large")
    against = {"truth": "the fine truth", "stations": "unseen stations"}.get(
        reference, words.name_of(reference).lower()
    )
    share = f" by {words.percent(abs(1 - ratio))}" if "too" in judged else f" to {words.percent(abs(1 - ratio))}"
    return [f"Against {against} the stated error {judged}{share} on average."]


def _applicability_chart(record: Record, layer: LayerInput) -> list[tuple[str, str]]:
    data = record.findings("applicability")
    references = data.get("layers", {}).get(layer.name, {})
    found = references.get("truth") or references.get("stations") or {}
    lines = {}
    for member, label in (("ensemble", "map"), ("coarse_nearest", "coarse value")):
        bins = [b for b in found.get(member, {}).get("bins", []) if number(b.get("n")) > 0]
        if len(bins) > 1:
            middle = [_middle(b) for b in bins]
            lines[label] = middle, [number(b.get("rmse")) for b in bins]
    if not lines:
        return []
    units = words.pretty_units(layer.units)
    svg = charts.by_dissimilarity(f"area-{layer.name}", lines, number(data.get("threshold")), f"RMSE [{units}]")
    caption = (
        "Error by dissimilarity index, the distance of a pixel's drivers from those of training (Meyer and Pebesma "
        "2021); beyond the dotted line the map extrapolates, and its flags say so."
    )
    return [(svg, caption)]


def _middle(entry: Mapping[str, Any]) -> float:
    low, high = number(entry.get("low")), number(entry.get("high"))
    return (low + high) / 2 if math.isfinite(high) else low * 1.1


def _applicability_words(record: Record, layer: LayerInput) -> list[str]:
    data = record.findings("applicability")
    outside = number(data.get("share_outside"))
    if not math.isfinite(outside):
        return []
    text = f"{words.percent(outside)} of the map lies outside the area of applicability"
    found = data.get("layers", {}).get(layer.name, {}).get("truth", {}).get("ensemble", {})
    inner, outer = (number(found.get(side, {}).get("rmse")) for side in ("inside", "outside"))
    if math.isfinite(inner) and math.isfinite(outer):
        text += (
            f": the error is {words.figures(outer)} there and "
            f"{words.amount(inner, words.pretty_units(layer.units))} inside"
        )
    return [text + "."]
