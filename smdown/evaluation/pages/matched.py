"""Stations: figures by network and climate with their intervals, and errors by triple collocation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from smdown.evaluation import words
from smdown.evaluation.job import LayerInput
from smdown.evaluation.pages.uncertainty import Table
from smdown.evaluation.record import Record, number

METRICS = {"r": "R", "anomaly_r": "Anomaly R", "ubrmse": "ubRMSE", "bias": "Bias", "rmse": "RMSE"}
"""Columns: metric and heading."""
_WITH_UNITS = {"ubrmse", "bias", "rmse"}
SHOWN = ("ensemble", "coarse_nearest", "coarse_cubic")
SETS = {"estimate": "Error of the estimate", "in_situ": "Error of stations", "product": "Error of the product"}


def station_tables(record: Record, layer: LayerInput) -> list[Table]:
    """Return medians over stations of all, of each network and of each climate, the map beside the coarse product."""
    found = record.findings("station_summary").get("layers", {}).get(layer.name, {})
    tables = []
    for reference in ("stations", "stations_training"):
        rows: list[tuple[str, bool, list[str]]] = []
        for by in ("all", "network", "climate"):
            groups: Mapping[str, Any] = found.get(reference, {}).get(by, {})
            if by == "all" or len(groups) > 1:
                rows += [row for name, group in groups.items() for row in _rows(name, group)]
        if rows:
            units = words.pretty_units(layer.units)
            headings = ["Estimate", *(f"{h} [{units}]" if m in _WITH_UNITS else h for m, h in METRICS.items()), "GDOWN"]
            tables.append(Table(f"{words.name_of(reference)}: medians over stations", headings, rows))
    return tables


def _rows(name: str, group: Mapping[str, Any]) -> list[tuple[str, bool, list[str]]]:
    members = group.get("members", {})
    where = f"{name or 'All'} ({words.counted(number(group.get('stations')), 'station')}): "
    rows = []
    for member in (m for m in SHOWN if m in members):
        cells = [_with_interval(members[member].get(metric, {})) for metric in METRICS]
        cells.append(_with_interval(members[member].get("gdown") or {}))
        rows.append((f"{where}{words.name_of(member)}", member == "ensemble", cells))
        where = "\N{NO-BREAK SPACE}" * 3
    return rows


def _with_interval(entry: Mapping[str, Any]) -> str:
    value, span = number(entry.get("median")), entry.get("ci")
    text = words.figures(value, 2)
    if span and all(math.isfinite(number(v)) for v in span):
        text += f"\n{words.figures(number(span[0]), 2)} to {words.figures(number(span[1]), 2)}"
    return text


def interval_note(record: Record) -> str:
    """Return how the stations' intervals were made, in words."""
    interval = record.findings("station_summary").get("interval", {})
    return str(interval.get("method", ""))


def collocation_tables(record: Record, layer: LayerInput) -> list[Table]:
    """Return errors by triple collocation with each independent product."""
    found = record.findings("triple_collocation").get("layers", {}).get(layer.name, {})
    units = words.pretty_units(layer.units)
    tables = []
    for product, members in found.items():
        rows = []
        for member, entry in members.items():
            median = entry.get("median", {})
            cells = [words.figures(number(median.get(key, {}).get("err_std"))) for key in SETS]
            cells += [words.figures(number(median.get("estimate", {}).get(k)), 2) for k in ("snr_db", "r")]
            cells.append(words.count(number(entry.get("stations_used"))))
            rows.append((words.name_of(member), member == "ensemble", cells))
        headings = ["Estimate", *(f"{h} [{units}]" for h in SETS.values()), "SNR [dB]", "R with the unknown truth"]
        caption = f"Triple collocation with stations and {product}: medians over stations"
        if rows:
            tables.append(Table(caption, [*headings, "Stations"], rows))
    return tables
