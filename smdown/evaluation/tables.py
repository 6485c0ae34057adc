"""Tables of the report: figures by member, weights, stages, and what the results were made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smdown.evaluation import words
from smdown.evaluation.job import LayerInput
from smdown.evaluation.record import Record, flat, number

COLUMNS = (
    ("rmse", "RMSE", "lower"),
    ("ubrmse", "ubRMSE", "lower"),
    ("bias", "Bias", "zero"),
    ("r", "R", "higher"),
    ("r_within_cell", "R inside cells", "higher"),
    ("var_ratio_within", "Variance inside cells", "one"),
    ("crps", "CRPS", "lower"),
    ("coverage_90", "90 % interval holds", "none"),
    ("rmse_gain", "RMSE gain", "none"),
)
"""Metric, heading, and which value is best."""


@dataclass(frozen=True)
class MemberTable:
    """Figures against one reference.

    Parameters
    ----------
    reference : str
        Key of the reference.
    caption : str
        What it is, with the number of pairs.
    headings : list of str
        Columns.
    rows : list of tuple
        Member, whether it is a baseline, and its cells: text and whether it is the best.
    """

    reference: str
    caption: str
    headings: list[str]
    rows: list[tuple[str, bool, list[tuple[str, bool]]]]


def member_tables(record: Record, layer: LayerInput) -> list[MemberTable]:
    """Return one table per reference that the layer was compared with."""
    references = record.metrics.get("layers", {}).get(layer.name, {})
    return [_member_table(ref, record.members(layer.name, ref), layer) for ref in references]


def _member_table(reference: str, members: Mapping[str, Mapping[str, float]], layer: LayerInput) -> MemberTable:
    columns = [c for c in COLUMNS if any(math.isfinite(v.get(c[0], math.nan)) for v in members.values())]
    networks = [m for m in members if m not in (*words.JOINED, *words.BASELINES)]
    order = [m for m in ("ensemble", *networks, "mean", *words.BASELINES) if m in members]
    largest = {metric: max(abs(v.get(metric, 0.0)) for v in members.values()) for metric, *_ in columns}
    for metric in ("ubrmse", "bias", "crps"):
        largest[metric] = largest.get("rmse", 1.0)  # the same number of decimals in all columns of one unit
    table = {m: {c: _text(c, members[m].get(c, math.nan), largest[c]) for c, *_ in columns} for m in order}
    best = {metric: _best(members, table, metric, rule) for metric, _, rule in columns}
    rows = [
        (m, m in words.BASELINES, [(text, m in best[c]) for c, text in cells.items()]) for m, cells in table.items()
    ]
    first = next(iter(members.values()), {})
    stations = first.get("stations", math.nan)
    pairs = f"{words.counted(stations, 'station')}, " if math.isfinite(stations) else ""
    matched = words.counted(first.get("n", math.nan), "pair" if pairs else "pixel")
    caption = f"{words.name_of(reference)} ({pairs}{matched})"
    marked = {"rmse", "ubrmse", "bias", "crps"}
    units = words.pretty_units(layer.units)
    return MemberTable(reference, caption, [f"{h} [{units}]" if m in marked else h for m, h, _ in columns], rows)


def _best(
    members: Mapping[str, Mapping[str, float]], table: Mapping[str, Mapping[str, str]], metric: str, rule: str
) -> set[str]:
    """Return the members whose value reads as the best, none where most of them read the same."""
    known = {m: v[metric] for m, v in members.items() if math.isfinite(v.get(metric, math.nan))}
    if not known or rule == "none":
        return set()
    sign = {"lower": 1.0, "higher": -1.0}
    if rule in sign:
        first = min(known, key=lambda m: sign[rule] * known[m])
    else:
        first = min(known, key=lambda m: abs(known[m] - (1.0 if rule == "one" else 0.0)))
    alike = {m for m in known if table[m][metric] == table[first][metric]}
    return alike if len(alike) <= len(known) / 2 else set()


def _text(metric: str, value: float, largest: float) -> str:
    if metric in ("coverage_90", "rmse_gain", "var_ratio_within"):
        return words.percent(value)
    return words.fixed(value, largest)


def weight_rows(record: Record) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return the ensemble's weights: model, layer, and weight by network."""
    out = []
    titles = {layer.name: layer.title for layer in record.layers}
    for model, bundle in record.bundles.items():
        for layer, weights in (bundle.get("weights") or {}).items():
            if isinstance(weights, Mapping):
                cells = [(words.name_of(k), words.figures(number(v), 2)) for k, v in weights.items()]
                out.append((model, titles.get(layer, layer), cells))
    return out


def stage_rows(record: Record) -> list[dict[str, str | float]]:
    """Return the stages of the run, with the share of the longest for a bar."""
    stages: Mapping[str, Mapping[str, Any]] = record.run.get("stages", {}) or {}
    longest = max((number(s.get("seconds")) for s in stages.values()), default=0.0) or 1.0
    rows: list[dict[str, str | float]] = []
    for name, stage in stages.items():
        seconds = number(stage.get("seconds"))
        peak = number(stage.get("bytes_peak", stage.get("peak_bytes")))
        rows.append(
            {
                "name": name,
                "seconds": f"{seconds:,.1f} s" if math.isfinite(seconds) else words.DASH,
                "length": seconds / longest * 100 if math.isfinite(seconds) else 0.0,
                "pixels": _mega(number(stage.get("pixels"))),
                "speed": words.figures(number(stage.get("mpx_s")), 3) if number(stage.get("mpx_s")) > 0 else words.DASH,
                "tiles": _tiles(stage),
                "planned": _gib(number(stage.get("bytes_planned"))),
                "peak": _gib(peak),
            }
        )
    return rows


def _mega(pixels: float) -> str:
    return words.figures(pixels / 1e6, 3) if math.isfinite(pixels) and pixels > 0 else words.DASH


def _gib(value: float) -> str:
    return f"{value / 2**30:.2f} GiB" if math.isfinite(value) and value > 0 else words.DASH


def _tiles(stage: Mapping[str, Any]) -> str:
    done, skipped, failed = (number(stage.get(f"tiles_{k}")) for k in ("done", "skipped", "failed"))
    if not math.isfinite(done):
        return words.DASH
    parts = [f"{done:.0f} done"]
    parts += [f"{skipped:.0f} kept"] if skipped > 0 else []
    parts += [f"{failed:.0f} failed"] if failed > 0 else []
    return ", ".join(parts)


def provenance(record: Record) -> list[tuple[str, dict[str, str]]]:
    """Return tables of what the results were made from."""
    out: list[tuple[str, dict[str, str]]] = []
    if versions := record.run.get("versions"):
        out.append(("Versions", flat(versions)))
    for model, bundle in record.bundles.items():
        keys = ("schema_version", "resolutions", "provenance")
        wanted: dict[str, Any] = {k: bundle[k] for k in keys if k in bundle}
        if drivers := bundle.get("drivers"):
            wanted["drivers"] = _names(drivers)
        if isinstance(sequence := bundle.get("sequence"), Mapping):
            wanted["daily sequence"] = _names(sequence.get("drivers", []))
        if isinstance(splits := bundle.get("splits"), Mapping):
            wanted |= {k: len(v) for k, v in splits.items() if isinstance(v, list)}
        out.append((f"Model {model}", flat(wanted)))
    if record.mosaic is not None:
        attrs = {k: v for k, v in record.mosaic.attrs.items() if k != "history"}
        out.append(("Mosaic", flat({"fingerprint": record.mosaic.spec.fingerprint, **attrs})))
    return [(title, rows) for title, rows in out if rows]


def _names(items: Any) -> list[str]:
    if isinstance(items, Mapping):
        return [str(v) for v in items.get("names", items)]
    return [str(i.get("name", i)) if isinstance(i, Mapping) else str(i) for i in items]
