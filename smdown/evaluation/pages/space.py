"""Space: power by wavelength, and where the errors lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from smdown.cubes import exists, join
from smdown.errors import SmdownError
from smdown.evaluation import charts, words
from smdown.evaluation.job import LayerInput
from smdown.evaluation.maps import Panel
from smdown.evaluation.pictures import Field, scale_of
from smdown.evaluation.record import Record, number

FIELDS = {"truth": "fine truth", "ensemble": "map", "coarse_nearest": "coarse value", "coarse_cubic": "cubic"}
"""Fields whose spectra are drawn, and their labels."""


@dataclass(frozen=True)
class SpacePage:
    """What the page shows of a layer in space.

    Parameters
    ----------
    title : str
        The layer.
    findings : list of str
        Sentences.
    charts : list of tuple
        SVG and caption.
    rows : list of tuple
        Field, slope, and effective resolution by power and by coherence, as text.
    panels : tuple of Panel
        Errors by coarse cell.
    note : str
        What the error maps are over.
    units : str
        Of the errors.
    aspect : float
        Width over height of the panels.
    """

    title: str
    findings: list[str]
    charts: list[tuple[str, str]]
    rows: list[tuple[str, str, str, str]]
    panels: tuple[Panel, ...]
    note: str
    units: str
    aspect: float


def space_pages(record: Record) -> list[SpacePage]:
    """Return one page for each layer that has spectra or error maps."""
    pages = [_page(record, layer) for layer in record.layers]
    return [page for page in pages if page.charts or page.panels]


def _page(record: Record, layer: LayerInput) -> SpacePage:
    spectra = record.findings("space").get("spectra", {}).get(layer.name, {})
    fields: Mapping[str, Mapping[str, Any]] = {k: v for k, v in spectra.get("fields", {}).items() if v.get("power")}
    panels, aspect = _error_panels(record, layer)
    summary = record.findings("space").get("error_maps", {}).get("layers", {}).get(layer.name, {})
    drawn = [_spectrum(layer, spectra, fields), _ratio(layer, spectra, fields)] if fields else []
    return SpacePage(
        layer.title,
        _sentences(fields, summary),
        [chart for chart in drawn if chart is not None],
        _rows(fields),
        panels,
        "Errors of every coarse cell, over its pixels and all days that have a truth",
        words.pretty_units(layer.units),
        aspect,
    )


def _spectrum(
    layer: LayerInput, spectra: Mapping[str, Any], fields: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str] | None:
    lines = {label: _curve(spectra, fields[key], "power") for key, label in FIELDS.items() if key in fields}
    unit = words.pretty_units(layer.units)
    svg = charts.by_wavelength(
        f"power-{layer.name}", lines, f"power density [({unit})² m²]", cell=number(spectra.get("cell_m")), log=True
    )
    return svg, (
        f"Power of the patterns by wavelength, mean of {words.count(number(spectra.get('windows')))} windows of "
        f"{length(number(spectra.get('window_m')))}; the dotted line is the side of a coarse cell."
    )


def _ratio(
    layer: LayerInput, spectra: Mapping[str, Any], fields: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str] | None:
    own = fields.get("ensemble", {})
    if not own.get("ratio"):
        return None
    lines = {
        "power of the map": _curve(spectra, own, "ratio"),
        "coherence of the map": _curve(spectra, own, "coherence"),
    }
    if fields.get("coarse_cubic", {}).get("coherence"):
        lines["coherence of cubic"] = _curve(spectra, fields["coarse_cubic"], "coherence")
    svg = charts.by_wavelength(
        f"ratio-{layer.name}", lines, "share of the truth's", cell=number(spectra.get("cell_m")), half=True
    )
    return svg, (
        "How much of the truth's power the map holds, and how much of it lies in the right places (squared coherence); "
        "the effective resolution is the wavelength where a curve falls under one half."
    )


def _curve(spectra: Mapping[str, Any], field: Mapping[str, Any], key: str) -> tuple[list[float], list[float]]:
    pairs = zip(spectra.get("wavelength_m", []), field.get(key, []), strict=False)
    known = [(number(x), number(y)) for x, y in pairs]
    known = [(x, y) for x, y in known if math.isfinite(x) and math.isfinite(y)]
    return [x for x, _ in known], [y for _, y in known]


def _rows(fields: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    names = {"ensemble": "The map", "truth": "Fine truth", **{k: words.name_of(k) for k in FIELDS if "coarse" in k}}
    return [
        (
            names[key],
            words.figures(number(fields[key].get("slope")), 2),
            resolution(fields[key].get("effective_resolution", {}), "ratio"),
            resolution(fields[key].get("effective_resolution", {}), "coherence"),
        )
        for key in FIELDS
        if key in fields
    ]


def resolution(found: Mapping[str, Any], kind: str) -> str:
    """Return an effective resolution as text, with a sign where the curve never crosses one half."""
    value, bound = number(found.get(f"{kind}_m")), found.get(f"{kind}_bound", "at")
    sign = {"coarser": "> ", "finer": "< "}.get(str(bound), "")
    return sign + length(value) if math.isfinite(value) else words.DASH


def length(metres: float) -> str:
    """Return a length in m or km."""
    if not math.isfinite(metres):
        return words.DASH
    text = f"{words.figures(metres / 1000, 2)} km" if metres >= 1000 else f"{metres:.0f} m"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _sentences(fields: Mapping[str, Mapping[str, Any]], errors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    out = []
    own = fields.get("ensemble", {}).get("effective_resolution", {})
    if own:
        out.append(_resolved(own))
    better = number(errors.get("ensemble", {}).get("better_than_coarse"))
    if math.isfinite(better):
        cells = words.count(number(errors["ensemble"].get("cells")))
        out.append(
            f"In {words.percent(better)} of {cells} coarse cells the map's error is below that of the coarse value."
        )
    return out


def _resolved(own: Mapping[str, Any]) -> str:
    """Return in words down to which patterns the map is real, wherever its curves cross one half."""
    bounds = {kind: str(own.get(f"{kind}_bound", "at")) for kind in ("ratio", "coherence")}
    sizes = {kind: length(number(own.get(f"{kind}_m"))) for kind in bounds}
    power = f"The map has at least half of the truth's power down to patterns of {sizes['ratio']}"
    if bounds["ratio"] == "coarser":
        power = f"The map has less than half of the truth's power even in patterns of {sizes['ratio']}"
    if bounds["coherence"] == "coarser":
        return f"{power}, and less than half of it is in the right places even in those of {sizes['coherence']}."
    return f"{power}, and half of it in the right places down to {sizes['coherence']}; pixels are finer than that."


def _error_panels(record: Record, layer: LayerInput) -> tuple[tuple[Panel, ...], float]:
    found = record.findings("space").get("error_maps", {})
    url = join(record.url, "evaluation", str(found.get("path", "")))
    if not found or record.url == "" or not exists(url):
        return (), 1.0
    try:
        with xr.open_zarr(url, consolidated=False) as data:
            fields = _fields(data, layer.name)
    except (OSError, ValueError, KeyError, SmdownError):
        return (), 1.0
    if not fields:
        return (), 1.0
    rmse = scale_of([f for title, f in fields.items() if "Bias" not in title], "YlOrRd")
    bias = scale_of([f for title, f in fields.items() if "Bias" in title], "RdBu", centred=True)
    panels = tuple(
        Panel(title, (bias if "Bias" in title else rmse).png(f), bias if "Bias" in title else rmse, coarse=True)
        for title, f in fields.items()
    )
    height, width = next(iter(fields.values())).shape
    return panels, width / height


def _fields(data: xr.Dataset, layer: str) -> dict[str, Field]:
    wanted = {
        "RMSE of the coarse value": f"{layer}_coarse_nearest_rmse",
        "RMSE of the map": f"{layer}_ensemble_rmse",
        "Bias of the map": f"{layer}_ensemble_bias",
    }
    fields = {t: np.asarray(data[name].to_numpy(), np.float32) for t, name in wanted.items() if name in data}
    return {t: f for t, f in fields.items() if np.isfinite(f).any()}
