"""The whole pipeline on a very small synthetic region."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
import xarray as xr

from smdown import open_project
from smdown.cubes import open_cube
from smdown.inference import Flag
from tests.browser import look_at
from tests.pipeline import make_inputs, smdown, write_project

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run: its project file and working directory."""
    folder = tmp_path_factory.mktemp("whole")
    project = write_project(folder / "project.yaml", make_inputs(folder / "inputs"))
    code, out, err = smdown("run", project, "--cluster", "serial", "--workdir", folder / "work")
    assert code == 0, err
    assert "ensemble" in out
    return project, folder / "work"


def test_everything_that_the_design_names_is_there(done):
    _, work = done
    for name in (
        "sources/smap.zarr", "sources/stations.zarr", "features/1001m.zarr", "features/30m.zarr", "mosaic.zarr",
        "evaluation/metrics.json", "evaluation/stations.csv", "report.html", "run.json",
    ):  # fmt: skip
        assert (work / name).exists(), name
    stages = json.loads((work / "run.json").read_text())["stages"]
    assert set(stages) == {"ingest", "features", "train", "predict", "evaluate"}
    assert all(stage["tiles_failed"] == 0 for stage in stages.values())


def test_metrics_keep_their_contract(done):
    _, work = done
    layers = json.loads((work / "evaluation" / "metrics.json").read_text())["layers"]
    assert set(layers) == {"sm_surface", "sm_rootzone"}
    for references in layers.values():
        coarse, models = ("coarse_nearest", "coarse_cubic"), ("linear", "gradient_boosting")
        for member in ("dnn", "cnn", "lstm", "ensemble", "mean", *models, *coarse):
            found = references["truth"][member]
            assert {"n", "r", "bias", "rmse", "ubrmse", "r_within_cell", "crps"} <= set(found)
            assert 0 < found["crps"] < found["rmse"] < 0.2
            assert ("coverage_90" in found) == (member not in coarse)


def test_coarse_means_and_bounds_hold_on_disk(done):
    project, work = done
    config = open_project(project, workdir=str(work)).config
    mosaic = xr.open_zarr(work / "mosaic.zarr")
    smap = xr.open_zarr(work / "sources" / "smap.zarr")
    for name, layer in config.layers.items():
        field = mosaic[name].isel(time=0).to_numpy()
        low, high = layer.valid_range
        assert np.nanmin(field) >= low
        assert np.nanmax(field) <= high
        means = np.nanmean(field.reshape(2, 300, 2, 300), axis=(1, 3))
        coarse = smap[name].sel(time=mosaic.time[0], y=_centres(mosaic.y), x=_centres(mosaic.x), method="nearest")
        unmet = mosaic.flags.isel(time=0).to_numpy() & (Flag.COARSE_MISSING | Flag.MEAN_NOT_MET)
        met = (unmet == 0).reshape(2, 300, 2, 300).all(axis=(1, 3))
        assert met.any()
        assert np.abs(means - coarse.to_numpy())[met].max() <= 1e-4


def _centres(axis):
    return axis.to_numpy().reshape(-1, 300).mean(axis=1)


def test_rerun_does_nothing(done):
    project, work = done
    before = {p: p.stat().st_mtime_ns for p in (work / "mosaic.zarr").rglob("c/*") if p.is_file()}
    code, _, err = smdown("predict", project, "--cluster", "serial", "--workdir", work)
    assert code == 0, err
    assert before
    assert before == {p: p.stat().st_mtime_ns for p in (work / "mosaic.zarr").rglob("c/*") if p.is_file()}


def test_same_bytes_on_a_cluster_and_after_a_lost_tile(done, tmp_path):
    project, work = done
    again = tmp_path / "again"
    shutil.copytree(work, again)
    shutil.rmtree(again / "mosaic.zarr")
    shutil.rmtree(again / "members.zarr")
    profile = tmp_path / "two.yaml"
    profile.write_text("cluster: {kind: local, workers: 2, memory: 3GiB}\n")
    code, _, err = smdown("predict", project, "--cluster", profile, "--workdir", again)
    assert code == 0, err
    assert _chunks(again / "mosaic.zarr") == _chunks(work / "mosaic.zarr")


def _chunks(cube):
    return {p.relative_to(cube): p.read_bytes() for p in cube.rglob("*") if p.is_file() and p.parent.name != cube.name}


def test_killed_client_resumes_to_the_same_bytes(done, tmp_path):
    """SIGKILL between tiles: the tiles that have their receipt stay as they are, and the end is the same."""
    project, work = done
    again = tmp_path / "again"
    shutil.copytree(work, again)
    shutil.rmtree(again / "mosaic.zarr")
    shutil.rmtree(again / "members.zarr")
    command = [sys.executable, "-m", "smdown.cli", "predict", str(project), "--cluster", "serial"]
    client = subprocess.Popen([*command, "--workdir", str(again)], stderr=subprocess.DEVNULL)
    receipt, shard = (again / "mosaic.zarr" / name for name in ("receipts/c/0/0/0", "sm_surface/c/0/0/0"))
    deadline = time.monotonic() + 120
    while not receipt.exists() and client.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    client.kill()
    client.wait()
    written = shard.stat().st_mtime_ns
    code, _, err = smdown("predict", project, "--cluster", "serial", "--workdir", again)
    assert code == 0, err
    assert shard.stat().st_mtime_ns == written
    assert _chunks(again / "mosaic.zarr") == _chunks(work / "mosaic.zarr")


def test_python_interface(done):
    project, work = done
    opened = open_project(project, workdir=str(work))
    drivers = opened.features(resolution=1000)
    assert drivers["slope"].shape == (18, 18)
    assert drivers["slope"].chunks is not None
    assert np.isfinite(drivers["slope"].to_numpy()).all()
    assert opened.mosaic["sm_surface"].dims == ("time", "y", "x")


def test_changed_configuration_is_refused_and_named(done):
    project, work = done
    where = ("--cluster", "serial", "--workdir", work)
    code, _, err = smdown("predict", project, *where, "--set", "prediction.constraint=none")
    assert code == 2
    assert 'prediction.constraint was "logit", is "none"' in err
    assert "--fresh" in err
    before = files_of(work)
    code, _, err = smdown("run", project, *where, "--set", "training.epochs=3")
    assert code == 2
    assert "training.epochs was 2, is 3" in err
    assert files_of(work) == before, "nothing was begun"


def test_a_changed_map_is_made_again_where_that_is_wanted(done, tmp_path):
    project, work = done
    again = tmp_path / "again"
    shutil.copytree(work, again)
    change = ("--set", "prediction.constraint=none", "--cluster", "serial", "--workdir", again)
    code, _, err = smdown("predict", project, *change, "--fresh")
    assert code == 0, err
    assert _chunks(again / "mosaic.zarr") != _chunks(work / "mosaic.zarr")
    assert _chunks(again / "features" / "30m.zarr") == _chunks(work / "features" / "30m.zarr")
    code, _, err = smdown("predict", project, *change)
    assert code == 0, err


def test_later_days_are_appended_and_earlier_ones_left_alone(done, tmp_path):
    project, work = done
    appended, anew = tmp_path / "appended", tmp_path / "anew"
    for folder in (appended, anew):
        shutil.copytree(work, folder)
    for name in ("mosaic.zarr", "members.zarr"):
        shutil.rmtree(anew / name)
    first = date.fromisoformat(open_cube(str(work / "mosaic.zarr")).spec.times[0])
    days = [str(first), str(first + timedelta(days=2)), str(first + timedelta(days=3))]
    before = {name: stamp for name, stamp in files_of(appended).items() if "/c/" in name}
    for wanted in (days[:2], days):
        change = ("--set", f"prediction.days=[{','.join(wanted)}]", "--cluster", "serial")
        code, _, err = smdown("predict", project, *change, "--workdir", appended)
        assert code == 0, err
        assert open_cube(str(appended / "mosaic.zarr"), complete=True).spec.times == tuple(wanted)
    after = files_of(appended)
    touched = {name for name, stamp in before.items() if after[name] != stamp}
    assert all("/time/c/" in name for name in touched)
    code, _, err = smdown("predict", project, *change, "--workdir", anew)
    assert code == 0, err
    for name in ("mosaic.zarr", "members.zarr"):
        some, other = (
            {k: v for k, v in _chunks(f / name).items() if "receipts" not in str(k) and k.name != "zarr.json"}
            for f in (appended, anew)
        )
        assert some == other
    code, _, err = smdown("verify", appended / "mosaic.zarr", appended / "members.zarr")
    assert code == 0, err
    earlier = ("--set", f"prediction.days=[{first - timedelta(days=1)},{','.join(days)}]", "--cluster", "serial")
    code, _, err = smdown("predict", project, *earlier, "--workdir", appended)
    assert code == 2
    assert "days was" in err
    assert "--fresh" in err


def files_of(folder):
    """Return when each file was last written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


RERUN = """
import sys
import smdown.cli
try:
    smdown.cli.main()
finally:
    heavy = {"torch", "pytorch_lightning", "sklearn", "matplotlib"} & set(sys.modules)
    assert not heavy, heavy
"""


def test_a_rerun_of_a_finished_run_does_nothing_and_soon(done):
    """Some four seconds where nothing else runs; processor time is judged, and what is imported."""
    project, work = done
    before, spent = files_of(work), os.times()
    again = subprocess.run(
        [sys.executable, "-c", RERUN, "run", project, "--workdir", work], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert files_of(work) == before
    now = os.times()
    assert now.children_user + now.children_system - spent.children_user - spent.children_system < 8


def test_a_tile_that_cannot_be_made_is_named_and_the_rest_is_finished(done, tmp_path):
    project, work = done
    again = tmp_path / "again"
    shutil.copytree(work, again)
    mosaic = again / "mosaic.zarr"
    for tile in ("0/1", "1/1"):
        (mosaic / "receipts" / "c" / tile / "0").unlink()
    obstacle = mosaic / "sm_surface" / "c" / "0" / "1" / "1"
    obstacle.unlink()
    obstacle.mkdir()
    command = ("predict", project, "--cluster", "serial", "--workdir", again)
    for _ in range(2):  # it is tried again
        code, _, err = smdown(*command)
        assert code == 1
        assert "1 of 4 tasks failed (first predict-r0001-c0001: IsADirectoryError: " in err
        assert list(json.loads((again / "failed.json").read_text())["predict"]) == ["predict-r0001-c0001"]
        assert open_cube(str(mosaic)).done() == {(0, 0), (0, 1), (1, 0)}
    obstacle.rmdir()
    code, _, err = smdown(*command)
    assert code == 0, err
    assert not (again / "failed.json").exists()
    assert _chunks(mosaic) == _chunks(work / "mosaic.zarr")


def test_one_run_at_a_time_and_a_stopped_one_goes_on(done, tmp_path):
    """SIGTERM as a batch system sends it: exit status 143, nothing half done is left, and the end is the same."""
    project, work = done
    again = tmp_path / "again"
    shutil.copytree(work, again)
    for name in ("mosaic.zarr", "members.zarr"):
        shutil.rmtree(again / name)
    command = ["predict", str(project), "--cluster", "serial", "--workdir", str(again)]
    client = subprocess.Popen([sys.executable, "-m", "smdown.cli", *command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(again.glob("mosaic.zarr/receipts/c/*/*/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    code, _, err = smdown(*command)
    assert code == 2
    assert f"another run is at work (process {client.pid} on " in err
    client.send_signal(signal.SIGTERM)
    said = client.communicate(timeout=10)[1]
    assert client.returncode == 143
    assert "stopped in stage predict with " in said
    assert "run the same command again to go on" in said
    assert json.loads((again / "run.json").read_text())["stages"]["predict"]["tiles_done"] > 0
    code, _, err = smdown(*command)
    assert code == 0, err
    assert not [p for p in again.rglob("*") if p.name.endswith(".partial") or p.name == "lease.json"]
    assert _chunks(again / "mosaic.zarr") == _chunks(work / "mosaic.zarr")


def test_export_opens_in_gdal(done, tmp_path):
    project, work = done
    code, _, err = smdown("export", project, "--workdir", work, "--out", tmp_path / "map.tif", "--crs", "EPSG:32614")
    assert code == 0, err
    assert "export: 1/1 in" in err
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.crs.to_epsg() == 32614
        assert file.overviews(1)
        assert file.nodata is not None
    (tmp_path / "mine.tif").write_text("of somebody")
    for name, said in (("mine.tif", "is no map of ours; name another file"), ("map.nc", "or a folder, which is not")):
        code, _, err = smdown("export", project, "--workdir", work, "--out", tmp_path / name)
        assert code == 2
        assert said in err
    assert (tmp_path / "mine.tif").read_text() == "of somebody"
    assert not (tmp_path / "map.nc").exists()


def test_export_gives_folders_pyramids_and_tables(done, tmp_path):
    project, work = done
    opened = open_project(project, workdir=str(work))
    for wanted in (
        ("--out", tmp_path / "maps", "--layer", "sm_surface", "--layer", "flags", "--resolution", "300"),
        ("--pyramid", tmp_path / "levels.zarr", "--layer", "sm_surface"),
        ("--out", tmp_path / "points.csv", "--point", "-98.0,35.0", "--layer", "sm_surface", "--layer", "sm_rootzone"),
    ):
        code, out, err = smdown("export", project, "--workdir", work, *wanted)
        assert code == 0, err
        assert "wrote" in out
    days = opened.config.mapped_days
    assert len(list((tmp_path / "maps").glob("*/*.tif"))) == 2 * len(days)
    assert (tmp_path / "maps" / "collection.json").exists()
    height = opened.mosaic.sizes["y"]
    assert xr.open_zarr(tmp_path / "levels.zarr", group="1")["sm_surface"].sizes["y"] == -(-height // 2)
    rows = (tmp_path / "points.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * len(days)
    table = opened.series([(-98.0, 35.0)], layer="sm_surface", day=days[-1]).table
    assert f",{table['value'].item()}," in next(row for row in rows if f"{days[-1]},sm_surface" in row)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ((), "--out or --pyramid"),
        (("--out", ""), "empty"),
        (("--pyramid", ""), "empty"),
        (("--out", "a", "--pyramid", "b"), "one at a time"),
        (("--out", "a.csv"), "--point or --polygon"),
        (("--out", "a.zarr"), "--pyramid"),
        (("--pyramid", "b", "--crs", "EPSG:5070"), "--crs"),
        (("--pyramid", "b", "--point", "1,2"), "table"),
        (("--out", "a.tif", "--point", "1,2"), ".csv or .parquet"),
        (("--out", "a.csv", "--point", "1,2", "--polygon", "x.json"), "points and polygons"),
        (("--out", "a.csv", "--point", "1;2"), "1;2"),
        (("--out", "a.csv", "--point", "1,2"), "outside the map"),
        (("--out", "a.tif", "--layer", "flags", "--layer", "sm_surface"), "folder"),
        (("--out", "a.tif", "--layer", "other"), "sm_surface"),
        (("--out", "a.tif", "--crs", "EPSG:0"), "EPSG:5070"),
    ],
)
def test_export_says_in_one_line_what_is_wrong(done, tmp_path, monkeypatch, wanted, said):
    project, work = done
    monkeypatch.chdir(tmp_path)
    code, _, err = smdown("export", project, "--workdir", work, *wanted)
    assert code == 2
    assert said in err
    assert len([line for line in err.splitlines() if not line.startswith("export:")]) == 1
    assert not list(tmp_path.iterdir())


def test_a_table_of_places_is_not_written_over(done, tmp_path, monkeypatch):
    project, work = done
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "places.csv"
    table.write_text("longitude,latitude\n-98.0,35.0\n")
    code, _, err = smdown("export", project, "--workdir", work, "--point", "places.csv", "--out", "./places.csv")
    assert code == 2
    assert "read from" in err
    assert "-98.0" in table.read_text()


def test_plan_computes_nothing(done, tmp_path):
    project, _ = done
    code, out, err = smdown("plan", project, "--workdir", tmp_path / "nothing")
    assert code == 0, err
    assert "30 m" in out
    assert not (tmp_path / "nothing").exists()


def _plan(project, work, folder, *options):
    """Return the stages of a plan by name, as its JSON has them."""
    file = folder / "plan.json"
    code, _, err = smdown("plan", project, "--workdir", work, "--cluster", "serial", "--json", file, *options)
    assert code == 0, err
    found = json.loads(file.read_text())
    return found | {"stages": {stage["stage"]: stage for stage in found["stages"]}}


def test_a_plan_says_what_the_run_did(done, tmp_path):
    project, work = done
    ran = json.loads((work / "run.json").read_text())["stages"]
    planned = _plan(project, tmp_path / "nothing", tmp_path, "--no-calibrate")["stages"]
    for name in ("ingest", "features", "predict", "evaluate"):
        assert planned[name]["new"] == ran[name]["tiles_total"], name
        assert planned[name]["task_bytes"] == ran[name]["bytes_planned"], name
    for name in ("features", "evaluate"):
        assert planned[name]["pixels"] == ran[name]["pixels"], name
    assert planned["predict"]["pixels"] == pytest.approx(ran["predict"]["pixels"], rel=0.01)
    for name, cubes in {"features": ["features"], "predict": ["mosaic.zarr", "members.zarr"]}.items():
        size = sum(f.stat().st_size for cube in cubes for f in (work / cube).rglob("*") if f.is_file())
        assert 0.8 < planned[name]["write_bytes"] / size < 2.2, name  # maps of hardly trained networks are smooth


def test_a_finished_run_has_nothing_to_do(done, tmp_path):
    project, work = done
    found = _plan(project, work, tmp_path)
    assert all(stage["new"] == 0 and stage["seconds"] == 0 for stage in found["stages"].values())
    assert found["stages"]["predict"]["done"] == 4
    assert found["disk_needed_bytes"] == 0


def test_a_finished_run_stays_so_wherever_its_folder_lies(done, tmp_path):
    project, work = done
    assert open_project(project, workdir=str(shutil.copytree(work, tmp_path / "moved"))).finished()


def test_some_tiles_say_how_long_the_rest_takes(done, tmp_path):
    project, work = done
    again = tmp_path / "again"
    shutil.copytree(work, again)
    shutil.rmtree(again / "mosaic.zarr")
    before = sorted(again.rglob("*"))
    known = _plan(project, again, tmp_path)["stages"]["predict"]
    assert known["basis"] == "measured"
    ran = json.loads((work / "run.json").read_text())["stages"]["predict"]
    assert known["seconds"] == pytest.approx(ran["task_seconds"], rel=0.01)
    assert known["peak_bytes"] == ran["bytes_peak"]
    found = _plan(project, again, tmp_path, "--calibrate")["stages"]["predict"]
    assert found["basis"] == "calibrated"
    assert found["new"] == 4
    assert set(found["parts"]) == {"read", "compute", "write"}
    assert min(found["parts"].values()) > 0
    assert found["seconds"] > 0
    assert found["peak_bytes"] > 0
    assert sorted(again.rglob("*")) == before


def test_a_plan_refuses_what_a_run_would(done, tmp_path):
    project, work = done
    code, _, err = smdown("plan", project, "--workdir", work, "--set", "prediction.constraint=none")
    assert code == 2
    assert "another configuration" in err


def test_a_run_is_refused_before_it_starts(done, tmp_path, monkeypatch):
    project, _ = done
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    code, _, err = smdown("run", project, "--cluster", "serial", "--workdir", tmp_path / "work")
    assert code == 2
    assert "0.0 GiB are free; free some" in err
    assert not (tmp_path / "work" / "sources").exists()


def test_help_and_version():
    code, out, _ = smdown("--version")
    assert code == 0
    assert out.startswith("smdown ")
    code, out, _ = smdown("--help")
    assert code == 0
    for command in ("ingest", "features", "train", "predict", "evaluate", "run", "demo", "twin", "plan", "export"):
        assert command in out


def test_the_report_in_a_browser(done):
    _, work = done
    seen = look_at(work / "report.html")
    assert seen.complaints == []
    assert seen.asked == []
    assert seen.swipes == 4  # two layers, wide and narrow
    assert seen.charts > 10


def test_the_report_again_from_the_folder_of_the_run_or_its_project_file(done):
    project, work = done
    for args in ((work,), (project, "--workdir", work)):
        (work / "report.html").unlink()
        code, out, err = smdown("report", *args)
        assert code == 0, err
        assert out.strip() == str(work / "report.html")
        assert (work / "report.html").exists()
    code, _, err = smdown("report", work / "evaluation" / "partials")
    assert code == 2
    assert "holds no run" in err
