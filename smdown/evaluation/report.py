"""The report: everything that a run left, on one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from smdown import __version__
from smdown.cubes import join, put
from smdown.evaluation import charts, sections, tables, words
from smdown.evaluation.choice import choices
from smdown.evaluation.inputs import input_pages
from smdown.evaluation.job import LayerInput
from smdown.evaluation.maps import MapSet, map_set, region_text
from smdown.evaluation.pages.matched import collocation_tables, interval_note, station_tables
from smdown.evaluation.pages.space import space_pages
from smdown.evaluation.pages.uncertainty import Table, uncertainty_pages
from smdown.evaluation.record import Record, load_record, number
from smdown.evaluation.stations import in_grid_percent


@dataclass(frozen=True)
class LayerPage:
    """All that the page shows of one layer.

    Parameters
    ----------
    layer : LayerInput
        Which one.
    key_numbers : list of KeyNumber
        Large numbers.
    findings : list of str
        Sentences.
    maps : MapSet, optional
        Pictures.
    tables : list of MemberTable
        Figures by reference.
    scatter, station_scatter : str
        SVG of truth or stations against the map; empty where there are none.
    dots : list of dict
        Stations on the map: left and top in percent, whether held out, text.
    series : list of tuple
        Title and SVG of station series.
    station_tables : list of Table
        Medians over stations, and errors by triple collocation.
    """

    layer: LayerInput
    key_numbers: list[words.KeyNumber]
    findings: list[str]
    maps: MapSet | None
    tables: list[tables.MemberTable]
    scatter: str
    station_scatter: str
    dots: list[dict[str, Any]]
    series: list[tuple[str, str]]
    station_tables: list[Table]


def write_report(
    workdir: str | Path, title: str = "", *, day: str | None = None, config_text: str = "", command: str = ""
) -> str:
    """Write ``report.html`` into a project directory, from whatever is there.

    Parameters
    ----------
    workdir : path-like
        Project directory or fsspec URL (design: ``mosaic.zarr``, ``evaluation/``, ``models/``, ``run.json``).
    title : str
        Heading; the project's name by default.
    day : str, optional
        ISO day of the maps; by default one with truth, near the middle.
    config_text : str
        The project file, to be shown at the end.
    command : str
        What makes the same again; by default that of ``run.json``.

    Returns
    -------
    str
        Its place. It needs no network and no other file.
    """
    record = load_record(workdir)
    page = _page(record, title, day, config_text, command)
    target = join(record.url, "report.html")
    put(target, page.encode())
    return target


def _page(record: Record, title: str, day: str | None, config_text: str, command: str) -> str:
    shown = record.day_to_show(day)
    layers = [_layer_page(record, layer, shown) for layer in record.layers]
    started = str(record.run.get("started", ""))[:16].replace("T", " ")
    return _template().render(
        title=title or str(record.run.get("name", "")) or "Downscaling report",
        version=__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        started=started,
        region=region_text(record.job.grid) if record.job else "",
        days=record.metrics.get("days", []),
        layers=layers,
        sensitivity=sections.sensitivity_blocks(record),
        agreement=sections.agreement_text(record),
        choices=choices(record),
        space=space_pages(record),
        uncertainty=uncertainty_pages(record),
        interval_note=interval_note(record),
        curves=sections.learning_curves(record),
        inputs=input_pages(record.url),
        weights=tables.weight_rows(record),
        stages=tables.stage_rows(record),
        provenance=tables.provenance(record),
        command=command or record.run.get("command", ""),
        config_text=config_text,
        name_of=words.name_of,
        colours=charts.COLOURS,
        pretty_units=words.pretty_units,
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smdown.evaluation", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["svg"] = Markup  # charts are made here, from escaped labels
    return environment.get_template("report.html.j2")


def _layer_page(record: Record, layer: LayerInput, day: str | None) -> LayerPage:
    return LayerPage(
        layer,
        words.key_numbers(record, layer),
        words.findings(record, layer),
        None if day is None else map_set(record, layer, day),
        tables.member_tables(record, layer),
        _scatter(record, layer),
        _station_scatter(record, layer),
        _dots(record, layer),
        sections.station_series(record, layer),
        [*station_tables(record, layer), *collocation_tables(record, layer)],
    )


def _scatter(record: Record, layer: LayerInput) -> str:
    """Draw the joint density of truth and map, nothing where there is no truth."""
    units = words.pretty_units(layer.units)
    data = record.metrics.get("scatter", {}).get(layer.name)
    mosaic = record.mosaic
    limits = mosaic.variables[layer.name].valid_range if mosaic and layer.name in mosaic.variables else None
    if not data or not data.get("counts") or limits is None:
        return ""
    counts = np.zeros((data["bins"], data["bins"]))
    for bins, count in data["counts"].items():
        i, j = (int(v) for v in bins.split(","))
        counts[i, j] = count
    return charts.density(f"density-{layer.name}", counts, limits, (f"truth [{units}]", f"downscaled [{units}]"))


def _station_scatter(record: Record, layer: LayerInput) -> str:
    """Draw stations against the map."""
    units, groups = words.pretty_units(layer.units), _station_pairs(record, layer)
    labels = (f"station [{units}]", f"downscaled [{units}]")
    return charts.points(f"points-{layer.name}", groups, labels) if groups else ""


def _station_pairs(record: Record, layer: LayerInput) -> Mapping[str, tuple[list[float], list[float]]]:
    out = {}
    for label, held_out in (("unseen stations", True), ("training stations", False)):
        rows = record.matched(layer.name, held_out=held_out)
        if len(rows):
            rows = rows.dropna(subset=["observed", "ensemble"])
            out[label] = (rows["observed"].tolist(), rows["ensemble"].tolist())
    return {label: pair for label, pair in out.items() if pair[0]}


def _dots(record: Record, layer: LayerInput) -> list[dict[str, Any]]:
    """Return the stations as places on the map."""
    if record.job is None or record.stations.empty:
        return []
    rows: pd.DataFrame = record.stations[record.stations["layer"] == layer.name]
    left, top = in_grid_percent(record.job.grid, rows["longitude"].to_numpy(), rows["latitude"].to_numpy())
    return [
        {
            "left": x,
            "top": y,
            "held_out": bool(row["held_out"]),
            "text": f"{row['station']}: {words.counted(row['n'], 'pair')}, "
            f"RMSE {words.figures(number(row.get('ensemble_rmse')))}, "
            f"bias {words.figures(number(row.get('ensemble_bias')))}",
        }
        for x, y, (_, row) in zip(left, top, rows.iterrows(), strict=True)
    ]
