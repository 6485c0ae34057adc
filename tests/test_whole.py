"""The whole pipeline on a very small synthetic region."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
import xarray as xr

from smdown import open_project
from smdown.inference import Flag
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
    receipt, shard = (again / "mosaic.zarr" / name for name in ("receipts/c/0/0", "sm_surface/c/0/0/0"))
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


def test_changed_configuration_is_refused(done):
    project, work = done
    code, _, err = smdown(
        "predict", project, "--cluster", "serial", "--workdir", work, "--set", "prediction.constraint=none"
    )
    assert code == 2
    assert "another configuration" in err


def test_export_opens_in_gdal(done, tmp_path):
    project, work = done
    code, _, err = smdown("export", project, "--workdir", work, "--out", tmp_path / "map.tif", "--crs", "EPSG:32614")
    assert code == 0, err
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.crs.to_epsg() == 32614
        assert file.overviews(1)
        assert file.nodata is not None


def test_plan_computes_nothing(done, tmp_path):
    project, _ = done
    code, out, err = smdown("plan", project, "--workdir", tmp_path / "nothing")
    assert code == 0, err
    assert "30 m" in out
    assert not (tmp_path / "nothing").exists()


def test_help_and_version():
    code, out, _ = smdown("--version")
    assert code == 0
    assert out.startswith("smdown ")
    code, out, _ = smdown("--help")
    assert code == 0
    for command in ("ingest", "features", "train", "predict", "evaluate", "run", "demo", "twin", "plan", "export"):
        assert command in out
