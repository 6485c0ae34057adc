"""A continent and a state are planned with nothing there, at several places at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale.plans import project_of, tile_plan
from smdown import open_project
from smdown.cubes import store
from smdown.grid import NestedGrid, Window
from smdown.planning import RunPlan, StagePlan, make_plan, make_plans
from smdown.planning.run import _is_elsewhere
from smdown.runtime import load_profile
from smdown.runtime.capacity import Capacity
from tests.pipeline import smdown

CONFIGS = Path(__file__).parents[2] / "configs"
GIB = 2**30


def profile(folder, name, workers, memory):
    path = folder / f"{name}.yaml"
    path.write_text(f"cluster: {{kind: local, workers: {workers}, memory: {memory}}}\n")
    return path


@pytest.mark.parametrize(("name", "cells", "mpx"), [("conus", (284, 627), 16026.12), ("regional", (39, 92), 322.92)])
def test_a_project_without_its_data_has_a_plan(tmp_path, monkeypatch, name, cells, mpx):
    monkeypatch.delenv("SMDOWN_REAL_DATA", raising=False)
    project = open_project(CONFIGS / f"{name}.yaml", workdir=str(tmp_path))
    assert project.config.grid.cells.shape == cells
    assert project.config.grid.window.size / 1e6 == pytest.approx(mpx)
    plan = make_plan(project, load_profile("serial"), calibrate=False)
    found = {stage.stage: stage for stage in plan.stages}
    assert found["predict"].new == -(-cells[0] // 4) * -(-cells[1] // 4)
    assert found["predict"].pixels == project.config.grid.window.size * len(project.config.mapped_days)
    assert found["ingest"].assumed
    assert plan.seconds > 0
    assert GIB < plan.task_bytes < 2 * GIB
    assert not any(tmp_path.iterdir())


def test_places_have_a_line_each_and_one_that_will_do_is_enough(tmp_path):
    many, small = profile(tmp_path, "many", 64, "3GiB"), profile(tmp_path, "small", 8, "1GiB")
    common = ("plan", CONFIGS / "regional.yaml", "--workdir", tmp_path / "w", "--set", "prediction.days=[2020-06-01]")
    common += ("--set", "extent={cells: [400, 404, 800, 804]}", "--json", tmp_path / "plan.json")
    code, out, err = smdown(*common, "--cluster", small, "--cluster", many, "--no-calibrate")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert lines["small"][1:7] == ["local", "8", "1", "1", "GiB", "no"]
    assert lines["many"][1:7] == ["local", "64", "1", "3", "GiB", "yes"]
    found = json.loads((tmp_path / "plan.json").read_text())["places"]
    assert found["many"]["slots"] == 64
    assert not found["many"]["problems"]
    assert "1.00 GiB" in found["small"]["problems"][0]
    code, _, err = smdown(*common, "--cluster", small, "--no-calibrate")
    assert code == 2
    assert "a worker thread has 1.00 GiB" in err


def test_each_place_has_the_time_of_its_own_threads(tmp_path):
    project = open_project(CONFIGS / "conus.yaml", workdir=str(tmp_path / "w"))
    profiles = [load_profile(profile(tmp_path, f"p{n}", n, "3GiB")) for n in (1, 4, 4)]
    one, four, same = make_plans(project, profiles, calibrate=False)
    assert four == same == make_plan(project, profiles[1], calibrate=False)
    seconds = [next(s.seconds for s in plan.stages if s.stage == "predict") for plan in (one, four)]
    assert seconds[0] / seconds[1] == pytest.approx(4, rel=1e-2)


def test_the_disk_of_this_machine_refuses_nothing_elsewhere():
    stage = StagePlan("predict", 3, 0, write_bytes=5 * GIB, task_bytes=2 * GIB)
    plan = RunPlan("x", "work", Capacity("slurm", 2, 1, 4 * GIB), (stage,), GIB)
    assert "5.0 GiB of disk" in plan.problems[0]
    assert replace(plan, elsewhere=True).problems == ()
    assert "memory" in replace(plan, elsewhere=True, capacity=Capacity("slurm", 2, 1, GIB)).problems[0]
    kinds = {"serial", "local", "local_gpu", "local-gpu", "existing", "slurm", "pbs", "kubernetes", "ssh"}
    assert {kind for kind in kinds if _is_elsewhere(Capacity(kind))} == {"slurm", "pbs", "kubernetes", "ssh"}


def test_the_plan_of_the_globe_reads_what_is_there_and_makes_no_task(tmp_path, monkeypatch):
    calls = {"tile": 0, "get": 0}
    real = {"tile": NestedGrid.tile, "get": store.get}

    def counted(name):
        def call(*args):
            calls[name] += 1
            return real[name](*args)

        return call

    project = project_of(tmp_path, "globe")
    first = tile_plan(project).tasks[0]
    monkeypatch.setattr(NestedGrid, "tile", counted("tile"))
    monkeypatch.setattr(store, "get", counted("get"))
    for tile in ((0, 0), (405, 963)):
        store.put(store.join(project.mosaic_url, "receipts", "c", *map(str, tile), "0"), b"\x01")
    plan = tile_plan(project)
    assert (plan.total, plan.done) == (406 * 964, 2)
    assert calls["tile"] == 0
    assert calls["get"] < 20
    assert first.tile.cells == Window(0, 4, 0, 4)
    assert plan.tasks[0].tile.cells == Window(0, 4, 4, 8)
    assert calls["tile"] == 1


def test_tiles_are_written_as_zarr_reads_it(tmp_path):
    project = project_of(tmp_path, "conus")
    tile_plan(project)
    from smdown.cubes import open_cube

    cube = open_cube(project.mosaic_url)
    rng = np.random.default_rng(0)
    for row, col in {(int(r), int(c)) for r, c in rng.integers(0, (71, 157), (40, 2))}:
        cube.array("receipts")[row, col, 0] = 1
    cube.array("receipts")[3, 3, 0] = 2
    wanted = np.asarray(cube.array("receipts")[...])[..., 0] == 1
    np.testing.assert_array_equal(cube.written(), wanted)
    assert cube.done() == {(int(r), int(c)) for r, c in np.argwhere(wanted)}
    assert not cube.complete
