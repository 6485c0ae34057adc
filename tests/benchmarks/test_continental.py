"""The simulated continent: its quick form runs, and its claims follow from its figures."""

import json
import time

import pytest

from benchmarks import continental
from benchmarks.scale.body import run_sleeping, sleeping
from benchmarks.scale.plans import project_of, tile_plan
from smdown.cubes import open_cube


def rows(**changes):
    """Return what a run finds, with every promise kept but those that are changed."""
    good = {"overhead": 0.01, "client_cpu": 0.01, "client_peak_mb": 400.0, "tiles": 9, "receipts": 9}
    run = good | {key: value for key, value in changes.items() if key in good}
    plans = {"conus": changes.get("conus", 1.0), "globe": changes.get("globe", 20.0)}
    return [
        *({"job": "plan", "method": k, "seconds": s, "peak_mb": changes.get("peak_mb", 300)} for k, s in plans.items()),
        {"job": "simulation", **run},
        {"job": "resume", "seconds": changes.get("again", 2.0), "to_do": changes.get("to_do", 0), "peak_mb": 300.0},
    ]  # fmt: skip


def test_all_promises_hold_where_the_figures_are_good():
    assert all(claim["holds"] for claim in continental.claims(rows()))


@pytest.mark.parametrize(
    "change",
    [
        {"overhead": 0.03}, {"client_cpu": 0.03}, {"client_peak_mb": 501.0}, {"receipts": 8}, {"conus": 11.0},
        {"globe": 61.0}, {"peak_mb": 501.0}, {"again": 5.1}, {"to_do": 1},
    ],
    ids=str,
)  # fmt: skip
def test_every_figure_can_break_its_promise(change):
    assert [claim["holds"] for claim in continental.claims(rows(**change))].count(False) == 1


def test_a_sleeping_tile_takes_its_time_and_leaves_its_receipt(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    plan = sleeping(tile_plan(project_of(tmp_path, "conus")), 5, 0.1, 2**21)
    tasks = list(plan.tasks)
    assert len(tasks) == len(plan.tasks) == 5
    assert tasks[1] == plan.tasks[1]
    assert all(0.05 <= task.seconds <= 0.15 for task in tasks)
    assert len({task.seconds for task in tasks}) == 5
    assert run_sleeping(tasks[1]).key == tasks[1].key
    assert len(slept) == 1
    assert 0 <= slept[0] < tasks[1].seconds  # the rest is for its commit
    assert open_cube(tasks[1].task.job.mosaic_url).done() == {(0, 1)}
    assert tile_plan(project_of(tmp_path, "conus")).done == 1


@pytest.mark.slow
def test_the_quick_form_runs(tmp_path):
    record, plot = tmp_path / "record.json", tmp_path / "plot.png"
    continental.main(["--workdir", str(tmp_path / "w"), "--quick", "--json", str(record), "--plot", str(plot)])
    found = json.loads(record.read_text())
    jobs = {row["job"]: row for row in found["results"]}
    assert set(jobs) == {"plan", "submission", "simulation", "resume"}
    assert jobs["simulation"]["tiles"] == jobs["simulation"]["receipts"] == continental.QUICK.tiles
    assert jobs["resume"]["to_do"] == 0
    assert [claim["value"] for claim in found["claims"]].count(None) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert not any((tmp_path / "w").iterdir())
