"""What cannot work is refused beforehand, in one line with both numbers; guesses refuse nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections import namedtuple

import pytest
from rich.console import Console

from smdown.errors import ResourceError
from smdown.planning import RunPlan, StagePlan, make_plan
from smdown.planning.console import duration, plan_tables, size
from smdown.runtime import Profile, load_profile, open_client
from smdown.runtime.capacity import Capacity, capacity_of, memory_problem
from tests.pipeline import smdown
from tests.planning.test_rows import DEMO, demo

GIB = 2**30
CONUS = ("extent={cells: [200, 484, 600, 1227]}", "prediction.every=7")


def plan_of(*stages, free=10 * GIB, memory=4 * GIB):
    return RunPlan("x", "work", Capacity("local", 2, 1, memory), stages, free)


def test_too_little_memory_is_refused_with_both_numbers():
    plan = plan_of(StagePlan("predict", 3, 0, task_bytes=5 * GIB))
    with pytest.raises(ResourceError, match=r"predict needs 5\.00 GiB a task, a worker thread has 4\.00 GiB; give"):
        plan.check()
    plan_of(StagePlan("predict", 3, 0, task_bytes=4 * GIB)).check()


def test_a_finished_stage_needs_no_memory():
    plan_of(StagePlan("predict", 0, 3, task_bytes=5 * GIB)).check()


def test_unlimited_workers_take_anything_and_this_process_has_the_machine():
    assert memory_problem("predict", 2**60, Capacity("existing")) is None
    text = memory_problem("predict", 2**60, capacity_of(load_profile("serial")))
    assert re.search(r"this machine has [\d.]+ GiB; make tiles smaller", text)


def test_too_little_disk_is_refused_with_both_numbers():
    stages = StagePlan("features", 1, 0, write_bytes=6 * GIB), StagePlan("predict", 1, 0, write_bytes=5 * GIB)
    with pytest.raises(ResourceError, match=r"about 11\.0 GiB of disk at work \(6\.0 of it for features\), 10\.0 GiB"):
        plan_of(*stages).check()
    plan_of(*stages, free=11 * GIB).check()
    plan_of(*stages, free=None).check()


def test_guesses_refuse_nothing():
    guess = StagePlan("ingest", 1, 0, write_bytes=50 * GIB, assumed=True)
    plan = plan_of(guess, StagePlan("predict", 1, 0, write_bytes=5 * GIB))
    assert plan.disk_needed == 55 * GIB
    plan.check()


@pytest.mark.parametrize(("workers", "threads", "memory"), [(2, 1, 3), (1, 2, 2), (3, 4, 1)])
def test_a_profile_is_what_its_workers_will_have(tmp_path, workers, threads, memory):
    path = tmp_path / "profile.yaml"
    path.write_text(f"cluster: {{kind: local, workers: {workers}, threads: {threads}, memory: {memory}GiB}}\n")
    found = capacity_of(load_profile(path))
    assert (found.workers, found.threads, found.slots) == (workers, threads, workers * threads)
    assert found.thread_bytes == memory * GIB // threads


def test_plan_refuses_a_profile_that_is_too_small(tmp_path):
    profile = tmp_path / "small.yaml"
    profile.write_text("cluster: {kind: local, workers: 2, memory: 1GiB}\n")
    out_file = tmp_path / "plan.json"
    code, out, err = smdown(
        "plan", DEMO, "--workdir", tmp_path / "w", "--set", "inputs=/nowhere", "--cluster", profile, "--json", out_file
    )
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert re.search(r"predict needs 1\.\d\d GiB a task, a worker thread has 1\.00 GiB; give workers more memory", err)
    assert "predict" in out
    found = json.loads(out_file.read_text())
    assert found["problems"]
    assert found["place"]["thread_bytes"] == GIB
    assert [s["stage"] for s in found["stages"]] == ["ingest", "features", "train", "predict", "baselines", "evaluate"]
    assert all(s["basis"] == "reference" and s["seconds"] > 0 for s in found["stages"])
    assert not (tmp_path / "w").exists()


def test_a_tile_wider_than_the_map_needs_no_more_than_the_map(tmp_path):
    side = max(demo(tmp_path / "w").config.grid.cells.shape)
    whole, wider = (
        make_plan(demo(tmp_path / "w", f"prediction.cells_per_tile={cells}"), Profile(), calibrate=False)
        for cells in (side, 100 * side)
    )
    assert [stage.task_bytes for stage in wider.stages] == [stage.task_bytes for stage in whole.stages]


def test_a_full_disk_is_refused_by_plan_and_dry_run(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    for command in (("plan",), ("run", "--dry-run")):
        code, _, err = smdown(
            *command, DEMO, "--workdir", tmp_path / "w", "--set", "inputs=/nowhere", "--cluster", "serial"
        )
        assert code == 2
        assert "0.0 GiB are free; free some, name another --workdir" in err
    assert not (tmp_path / "w").exists()


def test_a_scheduler_that_runs_is_asked_what_it_has(tmp_path):
    path = tmp_path / "existing.yaml"
    own = Profile(cluster={"kind": "local", "workers": 1, "threads": 2, "memory": "3GiB"})
    with open_client(own) as client:
        path.write_text(f"cluster: {{kind: existing, address: '{client.scheduler.address}'}}\n")
        plan = make_plan(demo(tmp_path), load_profile(path))
        assert (plan.capacity.workers, plan.capacity.threads, plan.capacity.thread_bytes) == (1, 2, 3 * GIB // 2)
        assert "one thread" not in " ".join(plan.notes)


@pytest.mark.parametrize("width", [80, 120])
def test_a_continent_fits_the_console(tmp_path, width):
    project = demo(tmp_path, *CONUS)
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    for table in plan_tables(project, make_plan(project, load_profile(None))):
        console.print(table)
    text = console.export_text()
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "11147" in text
    assert "by a reference" in text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, ""), (1, "1 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1023 * GIB, "1023 GiB"), (2 * 2**40, "2 TiB")],
)
def test_sizes_for_people(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0, "0 s"), (89, "89 s"), (90, "1.5 min"), (7200, "2.0 h"), (864000, "10.0 d")]
)
def test_times_for_people(seconds, text):
    assert duration(seconds) == text
