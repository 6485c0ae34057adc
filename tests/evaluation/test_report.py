"""The report stands on its own, shows what there is, and does without what is not."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import ConfigError, InputError
from smdown.evaluation import evaluate_plan, summarise, write_report
from smdown.evaluation.pictures import Scale, block_means, decimation, nice, overview
from smdown.evaluation.words import counted, figures, findings, fixed, percent, pretty_units

VOID = {"meta", "link", "img", "input", "br", "hr", "rect", "path", "use", "image", "stop", "line", "circle"}


class Page(HTMLParser):
    """Collects what a page refers to and whether its elements close."""

    def __init__(self, text):
        super().__init__()
        self.references, self.images, self.charts, self.ids, self.open, self.text = [], 0, 0, [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.references += [values[k] for k in ("src", "href", "xlink:href", "action", "data") if values.get(k)]
        self.ids += [values["id"]] if "id" in values else []
        self.images += tag == "img"
        self.charts += tag == "svg"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


def evaluated(project, job=None):
    plan = evaluate_plan(job or project.job)
    for task in plan.tasks:
        plan.run(task)
    return summarise(job or project.job)


def page_of(project, **options):
    return Page(Path(write_report(project.path, **options)).read_text())


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def test_the_page_needs_no_network_and_no_other_file(project):
    evaluated(project)
    page = page_of(project, title="A region")
    assert page.open == []
    assert all(r.startswith(("data:", "#")) for r in page.references), "something would be fetched"
    text = (project.path / "report.html").read_text()
    assert not re.search(r"url\((?!#|[\"']?data:)", text)
    assert "@import" not in text
    anchors = {r[1:] for r in page.references if r.startswith("#")}
    assert anchors <= set(page.ids)


def test_the_page_shows_everything_that_there_is(project):
    metrics = evaluated(project)
    entry = {"cells": 0.01, "pattern": 0.02}
    members = {"ensemble": {"rmse": {}, "groups": {"terrain": entry}, "drivers": {"slope": entry}}}
    write(project.path / "evaluation" / "sensitivity.json", {
        "layers": {"sm_surface": {"1000": members, "100": members}}, "agreement": {"sm_surface": {"1000-100": 0.8}},
    })  # fmt: skip
    write(
        project.path / "run.json", {"command": "smdown run x.yaml", "stages": {"predict": {"seconds": 3}, "train": {}}}
    )
    write(project.path / "models/default/bundle.json", {"weights": {"sm_surface": {"dnn": 0.25, "cnn": 0.75}}})
    write(
        project.path / "models/default/history.json",
        {"networks": {"dnn": {"train": [3, 2], "validation": [3, 2.5], "seconds": [1, 1], "waiting": [0, 0]}}},
    )
    page = page_of(project, title="A region", config_text="name: x")
    # two layers: swipe (2), whole and close up (4 each), errors of cells (3), station map
    assert page.images == 2 * (2 + 4 + 4 + 3 + 1)
    # two layers: density, station scatter, two series, spectra (2), calibration (2); one learning curve
    assert page.charts == 2 * (1 + 1 + 2 + 2 + 2) + 1
    ensemble = metrics["layers"]["sm_surface"]["truth"]["ensemble"]
    for text in (
        figures(ensemble["rmse"]),
        "smdown run x.yaml",
        "name: x",
        "terrain",
        "slope",
        "0.75",
        "Root-zone soil moisture",
    ):
        assert text in page.words
    for section in (
        *("summary", "maps", "accuracy", "space", "uncertainty", "stations"),
        *("sensitivity", "training", "run", "provenance"),
    ):
        assert section in page.ids


def test_the_page_does_without_truth_stations_members_and_second_layer(project):
    import dataclasses

    job = dataclasses.replace(
        project.job, truth_url=None, members_url=None, stations_url=None, held_out=None, layers=project.job.layers[:1]
    )
    evaluated(project, job)
    page = page_of(project)
    assert page.images == 2 + 3 + 3
    assert page.charts == 1  # the map's own spectrum
    assert "remains unknown" in page.words
    assert not {"accuracy", "stations", "sensitivity", "training", "run"} & set(page.ids)


def test_a_project_without_results_has_a_page_too(tmp_path):
    assert "no mosaic" in Page(Path(write_report(tmp_path, "Empty")).read_text()).words


def test_names_from_outside_cannot_inject_markup(project):
    evaluated(project)
    write(project.path / "run.json", {"command": "<script>alert(1)</script>", "versions": {"<b>": "<i>"}})
    text = Path(write_report(project.path, "<img src=x>")).read_text()
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "<b>" not in text.split("Provenance</h2>")[1].split("<dl")[0]


def test_a_worse_ensemble_is_said_to_be_worse(project):
    evaluated(project)
    path = project.path / "evaluation" / "metrics.json"
    metrics = json.loads(path.read_text())
    truth = metrics["layers"]["sm_surface"]["truth"]
    truth["cnn"]["rmse"] = truth["ensemble"]["rmse"] * 0.8
    truth["ensemble"]["rmse_gain"] = -0.1
    path.write_text(json.dumps(metrics))
    words = page_of(project).words
    assert "CNN) beats the ensemble by 25" in words
    assert "more than that of the coarse value" in words


def test_a_single_matchup_is_said_as_one():
    base = {"n": 1, "stations": 1, "rmse": 0.05, "rmse_gain": 0.3, "r": math.nan}
    found = {"stations": {"ensemble": base, "coarse_nearest": base}}
    record = SimpleNamespace(members=lambda _layer, kind: found.get(kind, {}), consistency=lambda _layer: {})
    (said,) = findings(record, SimpleNamespace(name="sm", units="m3 m-3"))
    assert said.startswith("At 1 station that training never saw (1 pair) the error is")
    assert "correlation" not in said
    assert counted(1234, "pair") == "1\N{THIN SPACE}234 pairs"


def test_stations_that_training_saw_are_not_said_to_be_missing(project):
    from dataclasses import replace

    evaluated(project, replace(project.job, truth_url=None, held_out=()))
    words = page_of(project).words
    assert "training saw all of its stations: how right" in words
    assert "no stations were given" not in words


def test_a_map_without_an_evaluation_is_said_to_have_none(project):
    words = page_of(project).words
    assert "has not been evaluated yet" in words
    assert "were given" not in words


def test_a_map_against_the_truth_is_not_said_to_follow_it(project):
    evaluated(project)
    path = project.path / "evaluation" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["layers"]["sm_surface"]["truth"]["ensemble"] |= {"r_within_cell": -0.6, "var_ratio_within": 4.0}
    metrics["consistency"]["sm_surface"]["max_abs_difference"] = 0.1
    path.write_text(json.dumps(metrics))
    words = page_of(project).words
    assert "the map does not follow the truth: the correlation is \N{MINUS SIGN}0.60" in words
    assert "it is rougher than the ground" in words
    assert "departs from the coarse value by 0.10" in words


def test_few_pairs_have_no_correlation_in_the_summary(project):
    from dataclasses import replace

    metrics = evaluated(project, replace(project.job, days=project.job.days[:1], held_out=("TEST/s00", "TEST/s02")))
    found = metrics["layers"]["sm_surface"]["stations"]["ensemble"]
    assert found["n"] == 2
    assert np.isnan([found["r"], found["rho"], found["slope"]]).all()
    sentence = re.search(r"At 2 stations that training never saw \(2 pairs\)[^.]*\.[^.]*", page_of(project).words)
    assert sentence is not None
    assert "correlation" not in sentence[0]


@pytest.mark.parametrize("names", [[f"{n:03d}" for n in range(20)], ["NA", "null", *map(str, range(18))]])
def test_stations_may_be_called_anything(project, names):
    from dataclasses import replace

    rename(project, names)
    evaluated(project, replace(project.job, held_out=tuple(names[::2])))
    text = Path(write_report(project.path)).read_text()
    assert f'title="{names[0]}: ' in text
    assert 'title="nan' not in text


def rename(project, names):
    from smdown.sources import open_stations
    from smdown.sources.table import write_table

    with open_stations(project.job.stations_url) as data:
        table = data.load()
    renamed = table.assign_coords(station=np.array(names, dtype=np.dtypes.StringDType()))
    write_table(project.job.stations_url, renamed, "renamed", {})


def test_a_station_where_the_map_has_no_value_is_shown_without_figures(project):
    from dataclasses import replace

    cube = open_cube(project.job.mosaic_url)
    for name in ("sm_surface", "sm_rootzone"):
        for i in range(len(project.job.days)):
            cube.write(name, np.full(project.job.grid.shape, np.nan, np.float32), cube.raster.window, i)
    evaluated(project, replace(project.job, truth_url=None))
    words = page_of(project).words
    assert "no station tells of this layer where and when the map has a value" in words


def test_units_may_hold_anything(project):
    from dataclasses import replace

    layers = tuple(replace(layer, units='m3 "><x> $\\frac$ $') for layer in project.job.layers)
    evaluated(project, replace(project.job, layers=layers))
    text = Path(write_report(project.path)).read_text()
    assert "<x>" not in text
    assert "$\\frac$" in text


@pytest.mark.parametrize("name", ["metrics.json", "space.json", "matchups.csv", "stations.csv"])
def test_a_damaged_file_is_named(project, name):
    evaluated(project)
    path = project.path / "evaluation" / name
    path.write_bytes(b'{"a"' if name.endswith("json") else b"")
    with pytest.raises(InputError, match=f"{name}, which is damaged"):
        write_report(project.path)
    partial = next((project.path / "evaluation" / "partials").rglob("*.json"))
    partial.write_text(partial.read_text()[:100])
    with pytest.raises(InputError, match=f"{partial.name}, which is damaged; delete it"):
        summarise(project.job)


def test_a_day_that_the_map_lacks_is_named(project):
    with pytest.raises(ConfigError, match="got the day 2001-01-01; the map has 4, 2020-"):
        write_report(project.path, day="2001-01-01")


@pytest.mark.parametrize("factor", [1, 3, 7, 30])
def test_overviews_are_block_means_whatever_the_strips(project, factor):
    cube = open_cube(project.job.mosaic_url)
    whole = cube.read("sm_surface", cube.raster.window, 0)
    height, width = (-(-n // factor) * factor for n in whole.shape)
    padded = np.full((height, width), np.nan, np.float32)
    padded[: whole.shape[0], : whole.shape[1]] = whole
    np.testing.assert_allclose(overview(cube, "sm_surface", 0, factor), block_means(padded, factor), rtol=1e-6)


def test_decimation_keeps_cells_whole():
    assert decimation((2400, 2400), 640, 300) == 4
    assert decimation((14400, 21000), 640, 300) == 50
    assert decimation((100, 100), 640, 30) == 1


def test_missing_pixels_are_transparent_and_ticks_round():
    import base64
    import io

    from PIL import Image

    scale = Scale(0.0, 1.0)
    image = Image.open(
        io.BytesIO(base64.b64decode(scale.png(np.array([[0.0, np.nan, 2.0]], np.float32)).split(",")[1]))
    )
    alpha = np.asarray(image.convert("RGBA"))[0, :, 3]
    assert alpha.tolist() == [255, 0, 255]
    assert [text for _, text in Scale(0.13, 0.41).ticks] == ["0.15", "0.20", "0.25", "0.30", "0.35", "0.40"]
    assert nice(0.7) == 0.5


def test_numbers_read_well():
    assert figures(0.034675) == "0.0347"
    assert figures(-0.5) == "\N{MINUS SIGN}0.500"
    assert figures(7.7e-7, 2) == "7.7 × 10⁻⁷"  # noqa: RUF001
    assert figures(float("nan")) == "\N{EN DASH}"
    assert fixed(-0.00001, 0.0347) == "0.0000"
    assert percent(0.6843) == "68\N{NO-BREAK SPACE}%"
    assert pretty_units("m3 m-3") == "m³\N{NO-BREAK SPACE}m⁻³"
    assert pretty_units("K") == "K"
