"""The benchmark of a place: what it counts, and a whole small one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

from smdown.bench.measure import LIMITS, Row
from smdown.bench.meter import Meter, metered
from smdown.bench.report import bench_table, efficiency
from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.errors import ConfigError, ResourceError
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.runtime import Outcome, Profile, load_profile, open_progress
from smdown.runtime.clusters import Adaptive, LocalCluster, SlurmCluster
from tests.pipeline import smdown

QUIET = open_progress(quiet=True)


def row(workers, seconds, scaling="strong", tasks=8, **shares):
    whole = dict.fromkeys(LIMITS, 0.0) | shares
    return Row("predict", scaling, workers, tasks, seconds, tasks * 1.5, whole)


def test_efficiency_is_the_rate_of_each_worker_beside_that_of_the_fewest():
    rows = [row(1, 8.0), row(2, 4.0), row(4, 4.0), row(1, 8.0, "weak"), row(4, 16.0, "weak", 32)]
    assert [efficiency(rows, "strong", n) for n in (1, 2, 4)] == [1.0, 1.0, 0.5]
    assert efficiency(rows, "weak", 4) == 0.5
    assert efficiency(rows, "weak", 2) is None


def test_the_bottleneck_is_what_takes_most_of_the_time():
    assert row(1, 8.0, compute=0.3, read=0.5, scheduler=0.2).bound == "read"
    handed = {"tasks": 500, "submitted_s": 0.0036, "done_s": 1.5}
    facts = {"place": {"kind": "local", "workers": 2, "threads": 1}, "submission": handed}
    console = Console(width=80, record=True)
    console.print(bench_table([row(1, 8.0, write=0.9, compute=0.1), row(2, 5.0, scheduler=0.6)], facts))
    text = console.export_text()
    assert "writing (90 %)" in text
    assert "the scheduler (60 %)" in text
    assert "500 tasks are handed over in 4 ms" in text
    assert "80 %" in text, "two workers take 5 s where 4 would be ideal"


def test_what_cubes_read_and_write_is_counted_by_whoever_asks(tmp_path):
    grid = NestedGrid(EASE2_M09, Window(300, 302, 900, 902), 9)
    spec = CubeSpec(grid.raster, (Variable("a", units="1", long_name="a"),), (), 9, 9, "f", {}, grid, {})
    cube = create_cube(str(tmp_path / "c.zarr"), spec)
    values = np.ones((9, 9), np.float32)
    with metered() as meter:
        cube.write("a", values, Window(0, 9, 0, 9))
        cube.read("a", Window(0, 9, 0, 9))
    assert (meter.written_bytes, meter.read_bytes) == (values.nbytes, values.nbytes)
    assert meter.read_s > 0
    assert meter.write_s > 0
    cube.read("a", Window(0, 9, 0, 9))
    assert meter.read_bytes == values.nbytes, "nobody asked any more"
    total = Meter()
    total.add(meter.text)
    total.add(meter.text)
    assert total.read_bytes == 2 * values.nbytes


@pytest.mark.slow
def test_every_stage_is_measured_with_one_worker_and_with_two(tmp_path):
    from smdown.bench import run_bench

    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "mine").touch()
    profile = Profile(cluster=LocalCluster(workers=2, memory=3 * 2**30))
    table, files = run_bench(profile, tmp_path, QUIET, cells=(1, 2), seconds=0.05)
    assert table.row_count == 12
    found = json.loads(files[0].read_text())
    seen = {(one["stage"], one["scaling"], one["workers"]) for one in found["results"]}
    stages = ("nothing", "resample", "features", "train", "predict", "write")
    assert {(stage, "weak", count) for stage in stages for count in (1, 2)} <= seen
    for one in found["results"]:
        assert one["rate"] > 0
        assert sum(one["shares"].values()) == pytest.approx(1, abs=0.01)
    by = {(one["stage"], one["workers"]): one for one in found["results"] if one["scaling"] == "weak"}
    assert by["nothing", 1]["bound_by"] == "scheduler"
    assert by["write", 1]["written_mb"] > by["resample", 1]["written_mb"] == 0
    assert found["submission"]["submitted_s"] < found["submission"]["done_s"]
    assert files[1].read_bytes()[:4] == b"\x89PNG"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"tmp", "region-1x2", "bench.json", "bench.png"}
    assert (tmp_path / "tmp" / "mine").exists(), "what lay in the folder before is nobody else's"


def test_an_unknown_stage_is_named(tmp_path):
    from smdown.bench import run_bench

    with pytest.raises(ConfigError, match="got --stage dream; legal ones are nothing, resample"):
        run_bench(load_profile("serial"), tmp_path, QUIET, stages=["dream"])
    assert smdown("bench", "--cells", "4by4", "--workdir", tmp_path)[0] == 2


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    from smdown.bench import run_bench

    (tmp_path / "file").touch()
    for name in ("file", "file/below"):
        with pytest.raises(ConfigError, match=r"cannot be written .*; name another folder"):
            run_bench(load_profile("serial"), tmp_path / name, QUIET)


def test_a_place_whose_workers_come_and_go_is_measured_with_all_of_them():
    from smdown.bench.run import _all_of

    jobs = SlurmCluster(workers=Adaptive(maximum=8), memory=2**30, walltime="01:00:00")
    assert _all_of(Profile(cluster=jobs)).cluster.fewest_workers == 8, "none would come without work"
    assert _all_of(Profile()) == Profile()


def test_a_measurement_that_lost_a_worker_counts_for_nothing(tmp_path, monkeypatch):
    from smdown.bench import measure

    monkeypatch.setattr(measure, "slots_of", lambda _: {"left": 1})
    monkeypatch.setattr(measure, "plan_of", lambda *_: None)
    monkeypatch.setattr(measure, "execute", lambda *_, **__: Outcome("predict", 1, 0, 1))
    bench = measure.Bench(None, object(), tmp_path / "results", QUIET)
    bench._once("predict", ["left"], 1)
    bench.slots = {"left": 1, "gone": 1}
    with pytest.raises(ResourceError, match="a worker was lost meanwhile"):
        bench._once("predict", ["left"], 1)
