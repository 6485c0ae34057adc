"""Charts of the report, each from what its stage left on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from smdown.cubes import Cube, exists
from smdown.evaluation import charts, words
from smdown.evaluation.job import LayerInput
from smdown.evaluation.pages.heed import effect_charts, method_tables
from smdown.evaluation.reader import first_pixel
from smdown.evaluation.record import Record, number
from smdown.evaluation.stations import load_stations
from smdown.grid import NestedGrid, Window


def station_series(record: Record, layer: LayerInput, limit: int = 2) -> list[tuple[str, str]]:
    """Draw the series of some held-out stations, each in another cell where there are enough."""
    job, rows = record.job, record.matched(layer.name, held_out=True)
    if job is None or job.stations_url is None or rows.empty or not exists(job.stations_url):
        return []
    stations = load_stations(job.stations_url, [layer.name])
    if layer.name not in stations.values:
        return []
    placed = {s.name: s for s in stations.on(job.grid)}
    coarse = record.cube(layer.coarse_url or None)
    out = []
    for name in _stations_to_show(rows, limit):
        own = rows[rows["station"] == name].sort_values("day")
        station = placed[name]
        seen = stations.values[layer.name][station.index]
        known = np.flatnonzero(np.isfinite(seen))
        span = slice(int(known[0]), int(known[-1]) + 1)
        cell = None
        if coarse is not None:
            cell = _coarse_series(
                coarse, layer, job.grid.at(1), station.y // job.grid.ratio, station.x // job.grid.ratio
            )
        mapped = (
            own["day"].to_numpy().astype("datetime64[D]"),
            own["ensemble"].to_numpy(dtype=np.float64),
            own["std"].to_numpy(dtype=np.float64),
        )
        label = words.pretty_units(layer.units)
        svg = charts.series(f"series-{layer.name}-{name}", (stations.times[span], seen[span]), cell, mapped, label)
        out.append((name, svg))
    return out


def _stations_to_show(rows: Any, limit: int) -> list[str]:
    """Return the stations with most pairs, one per cell first."""
    counts = (
        rows.groupby(["station", "cell"])
        .size()
        .reset_index(name="n")
        .sort_values(["n", "station"], ascending=[False, True])
    )
    first = counts.drop_duplicates("cell")
    rest = counts[~counts["station"].isin(first["station"])]
    return [str(s) for s in [*first["station"], *rest["station"]][:limit]]


def _coarse_series(cube: Cube, layer: LayerInput, cells: NestedGrid, row: int, col: int) -> tuple[Any, Any]:
    y, x = first_pixel(cube, cells)
    window = Window(row - y, row - y + 1, col - x, col - x + 1)
    return cube.times, cube.read(layer.coarse_variable, window)[:, 0, 0].astype(np.float64)


MEASURES = (
    ("groups", "pattern", "Groups of drivers: change of the pattern inside coarse cells"),
    ("groups", "cells", "Groups of drivers: growth of the error of cell means"),
    ("drivers", "pattern", "Single drivers: change of the pattern inside coarse cells"),
)


def sensitivity_blocks(record: Record) -> list[dict[str, Any]]:
    """Return, by layer, bars of every measure: each group's or driver's weight in the ensemble at every resolution."""
    pages = []
    known = {layer.name: layer for layer in record.layers}
    for layer, resolutions in record.sensitivity.get("layers", {}).items():
        title = known[layer].title if layer in known else layer
        units = words.pretty_units(known[layer].units) if layer in known else ""
        blocks: list[dict[str, Any]] = []
        for kind, measure, heading in MEASURES:
            table = {
                res: {name: number(entry.get(measure)) for name, entry in members["ensemble"].get(kind, {}).items()}
                for res, members in resolutions.items()
                if "ensemble" in members
            }
            if any(math.isfinite(v) for entries in table.values() for v in entries.values()):
                blocks.append({"heading": heading, "kind": kind, "units": units, **_bars(table)})
        if blocks:
            counts = [_with_count(record, r) for r in resolutions]
            tables, effects = method_tables(record, layer, units), effect_charts(record, layer, units)
            pages.append(
                {"layer": title, "resolutions": counts, "blocks": blocks, "tables": tables, "effects": effects}
            )
    return pages


def _with_count(record: Record, resolution: str) -> str:
    """Return a resolution with the number of cell-days that it was judged on."""
    count = number(record.sensitivity.get("samples", {}).get(resolution))
    return f"{resolution} m ({count:.0f} cell-days)" if math.isfinite(count) else f"{resolution} m"


def _bars(table: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return rows sorted by mean importance; lengths in percent of the longest."""
    names = list(dict.fromkeys(name for entries in table.values() for name in entries))
    longest = max((v for entries in table.values() for v in entries.values() if math.isfinite(v)), default=0.0)
    mean = {name: _mean([entries.get(name, math.nan) for entries in table.values()]) for name in names}
    rows = []
    for name in sorted(names, key=lambda n: -mean[n]):
        values = [(res, entries.get(name, math.nan)) for res, entries in table.items()]
        bars = [
            {"resolution": res, "length": max(0.0, v / longest * 100) if longest > 0 and math.isfinite(v) else 0.0,
             "text": words.fixed(v, longest)}
            for res, v in values
        ]  # fmt: skip
        rows.append({"name": name.replace("_", " "), "bars": bars})
    return {"rows": rows}


def _mean(values: list[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return sum(known) / len(known) if known else 0.0


def agreement_text(record: Record) -> str:
    """Return in words how alike the rankings of the drivers are at the resolutions."""
    pairs = {
        layer: {k: number(v) for k, v in found.items()}
        for layer, found in record.sensitivity.get("agreement", {}).items()
    }
    known = [v for found in pairs.values() for v in found.values() if math.isfinite(v)]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = words.figures(low, 2) if high - low < 0.005 else f"{words.figures(low, 2)} to {words.figures(high, 2)}"
    return f"Rank correlation of the single drivers between the resolutions: {span} (1: the same order everywhere)."


def learning_curves(record: Record) -> list[tuple[str, str]]:
    """Draw the learning curves of every network of every model."""
    out = []
    for model, history in record.histories.items():
        networks = history.get("networks", history)
        for network, data in networks.items():
            lines = _lines(data)
            if lines:
                out.append((words.name_of(network), charts.curves(f"curves-{model}-{network}", lines, "loss")))
    return out


def _lines(data: Any) -> dict[str, list[float]]:
    """Return curves by name from a list of epochs, or from a mapping of lists."""
    if isinstance(data, Mapping):
        columns = {str(k): v for k, v in data.items() if isinstance(v, list)}
    elif isinstance(data, list) and data and isinstance(data[0], Mapping):
        columns = {str(k): [row.get(k) for row in data] for k in data[0]}
    else:
        return {}
    wanted = {
        k: [number(v) for v in values]
        for k, values in columns.items()
        if k not in ("epoch", "step", "learning_rate", "seconds", "samples_per_second", "waiting")
    }
    return {k.replace("_", " "): v for k, v in wanted.items() if any(math.isfinite(x) for x in v)}
