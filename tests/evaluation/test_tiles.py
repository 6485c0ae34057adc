"""An evaluation by tiles equals that of the whole arrays, resumes, and does without what is not there."""

import dataclasses
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer

from smdown.cubes import open_cube
from smdown.errors import CubeError, GridError, IncompleteError
from smdown.evaluation import evaluate_plan, summarise
from smdown.evaluation.footprint import Footprint
from smdown.evaluation.job import job_from_json
from smdown.grid import NestedGrid, Window
from smdown.sources import open_stations
from smdown.sources.table import write_table

LAYERS = ("sm_surface", "sm_rootzone")


def evaluate(job):
    plan = evaluate_plan(job)
    for task in plan.tasks:
        plan.run(pickle.loads(pickle.dumps(task)))
    return summarise(job)


def test_metrics_equal_those_of_the_whole_arrays(project):
    metrics = evaluate(project.job)
    truth = project.fields["truth/sm_surface"][::2].astype(np.float32)
    packed = {m: np.round(project.fields[f"{m}/sm_surface"][::2] * 1e4) / 1e4 for m in ("ensemble", "dnn", "lstm")}
    truth = np.round(truth * 1e4) / 1e4
    for member, field in packed.items():
        found = metrics["layers"]["sm_surface"]["truth"][member]
        error = (field - truth).ravel()
        assert found["n"] == truth.size
        assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
        assert found["bias"] == pytest.approx(error.mean(), abs=1e-6)
        assert found["r"] == pytest.approx(np.corrcoef(field.ravel(), truth.ravel())[0, 1], rel=1e-5)
        ratio = project.job.grid.ratio
        inner = [f.reshape(2, 3, ratio, 4, ratio) for f in (field, truth)]
        inner = [f - f.mean(axis=(2, 4), keepdims=True) for f in inner]
        within = np.corrcoef(inner[0].ravel(), inner[1].ravel())[0, 1]
        assert found["r_within_cell"] == pytest.approx(within, rel=1e-4)
    nearest = metrics["layers"]["sm_surface"]["truth"]["coarse_nearest"]
    assert math.isnan(nearest["r_within_cell"])
    assert nearest["rmse_gain"] == 0
    assert metrics["layers"]["sm_surface"]["truth"]["ensemble"]["rmse_gain"] > 0.2
    assert set(metrics["layers"]["sm_surface"]["truth"]) == {
        "ensemble", "dnn", "cnn", "lstm", "mean", "coarse_nearest", "coarse_cubic",
    }  # fmt: skip


def test_the_map_is_found_to_keep_the_coarse_values(project):
    consistency = evaluate(project.job)["consistency"]["sm_rootzone"]
    assert consistency["max_abs_difference"] < 1e-4
    assert consistency["cells_checked"] == 12 * 4
    assert consistency["valid_fraction"] == 1
    assert consistency["pixels_outside_bounds"] == 0


def test_any_tiling_gives_the_same_metrics(project):
    by_tiles = [
        evaluate(dataclasses.replace(project.job, cells_per_tile=n, out_url=f"{project.path}/e{n}")) for n in (1, 3)
    ]
    first, second = (flat(m["layers"]) for m in by_tiles)
    assert first.keys() == second.keys()
    for key, value in first.items():
        np.testing.assert_allclose(value, second[key], rtol=1e-9, atol=1e-12, err_msg=str(key))
    assert by_tiles[0]["scatter"] == by_tiles[1]["scatter"]
    for layer, found in by_tiles[0]["consistency"].items():
        assert found == pytest.approx(by_tiles[1]["consistency"][layer], nan_ok=True)


def test_tiles_without_a_value_change_nothing(project):
    cube, grid = open_cube(project.job.mosaic_url), project.job.grid
    ratio, empty = grid.ratio, slice(0, 2 * grid.ratio)  # a tile of two cells, or part of a larger one
    for name in LAYERS:
        for i in range(len(project.job.days)):
            field = project.fields[f"ensemble/{name}"][i].copy()
            field[empty, empty] = np.nan
            cube.write(name, field, cube.raster.window, i)
    x, y = grid.lattice.x0 + (grid.window.x0 + 2 * ratio - 0.5) * grid.pixel, grid.lattice.y0
    y -= (grid.window.y0 + ratio + 0.5) * grid.pixel  # a station in it, that sees beyond it as much
    move_station(project, x, y)
    found = []
    for n in (1, 2, 3, 4):
        job = dataclasses.replace(
            project.job, cells_per_tile=n, out_url=f"{project.path}/e{n}", footprint=Footprint(9 * grid.pixel)
        )
        metrics = evaluate(job)
        text = (Path(job.out_url) / "matchups.csv").read_text()
        space = json.loads((Path(job.out_url) / "space.json").read_text())
        found.append((metrics["layers"]["sm_surface"]["stations"]["ensemble"]["n"], text.count("\n")))
        found[-1] += (space["spectra"]["sm_surface"]["skipped"],)
    assert found == [found[0]] * 4


def move_station(project, x, y):
    with open_stations(project.job.stations_url) as data:
        table = data.load()
    place = Transformer.from_crs(project.job.grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
    for name, value in zip(("longitude", "latitude"), place, strict=True):
        table[name].values[0] = value
    write_table(project.job.stations_url, table, "moved", {})


def test_other_observations_are_evaluated_anew(project):
    before = evaluate(project.job)["layers"]["sm_surface"]["stations"]["ensemble"]["bias"]
    with open_stations(project.job.stations_url) as data:
        table = data.load()
    write_table(project.job.stations_url, table.assign(sm_surface=table["sm_surface"] + 0.1), "wetter", {})
    assert evaluate_plan(project.job).done == 0
    after = evaluate(project.job)["layers"]["sm_surface"]["stations"]["ensemble"]["bias"]
    assert after == pytest.approx(before - 0.1, abs=1e-6)


def flat(data, path=()):
    if not isinstance(data, dict):
        return {path: data}
    return {k: v for key, value in data.items() for k, v in flat(value, (*path, key)).items()}


def test_metrics_json_is_strict_and_says_the_same(project):
    metrics = evaluate(project.job)
    text = (project.path / "evaluation" / "metrics.json").read_text()
    written = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert written["layers"]["sm_surface"]["truth"]["ensemble"] == metrics["layers"]["sm_surface"]["truth"]["ensemble"]
    assert written["layers"]["sm_surface"]["truth"]["coarse_nearest"]["r_within_cell"] is None
    job = json.loads((project.path / "evaluation" / "job.json").read_text())
    assert job_from_json(job) == project.job


def test_a_second_run_takes_up_what_is_left(project):
    plan = evaluate_plan(project.job)
    assert (len(plan.tasks), plan.done) == (4, 0)
    plan.run(plan.tasks[0])
    again = evaluate_plan(project.job)
    assert (len(again.tasks), again.done) == (3, 1)
    assert plan.tasks[0].key not in {t.key for t in again.tasks}
    with pytest.raises(IncompleteError, match="1 of 4"):
        summarise(project.job)
    evaluate(project.job)
    assert evaluate_plan(project.job).done == 4


def test_another_state_of_the_mosaic_is_evaluated_anew(project):
    evaluate(project.job)
    cube = open_cube(project.job.mosaic_url)
    cube.array("receipts")[0, 0] = 0
    assert evaluate_plan(project.job).done == 0
    cube.commit(0, 0)
    assert evaluate_plan(project.job).done == 4
    other = dataclasses.replace(project.job, days=project.job.days[:2])
    evaluate(other)
    assert len(list((project.path / "evaluation" / "partials").iterdir())) == 1


def test_it_does_without_truth_members_stations_and_second_layer(project):
    job = dataclasses.replace(
        project.job, truth_url=None, members_url=None, stations_url=None, held_out=None, layers=project.job.layers[:1]
    )
    metrics = evaluate(job)
    assert metrics["layers"] == {"sm_surface": {}}
    assert metrics["consistency"]["sm_surface"]["max_abs_difference"] < 1e-4
    assert not (project.path / "evaluation" / "stations.csv").exists()


def test_missing_cubes_and_foreign_grids_are_named(project):
    for what in ("truth_url", "mosaic_url"):
        with pytest.raises(CubeError, match=r"nothing\.zarr"):
            evaluate_plan(dataclasses.replace(project.job, **{what: str(project.path / "nothing.zarr")}))
    grid = project.job.grid
    other = NestedGrid(grid.lattice, Window(300, 302, 900, 902), grid.ratio * 2)
    plan = evaluate_plan(dataclasses.replace(project.job, grid=other))
    with pytest.raises(GridError, match="not those of ease2_m09 at ratio 60"):
        plan.run(plan.tasks[0])


def test_missing_pixels_are_missing_for_every_member(project):
    cube = open_cube(project.job.members_url)
    window = Window(0, 60, 0, 60)
    holed = cube.read("sm_surface_dnn", window, 0)
    holed[:7, :9] = np.nan
    cube.write("sm_surface_dnn", holed, window, 0)
    counts = {m["n"] for m in evaluate(project.job)["layers"]["sm_surface"]["truth"].values()}
    assert counts == {2 * project.job.grid.window.size - 63}
