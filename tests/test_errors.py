"""What a user can get wrong: each is one clear line, exit status 2, and leaves nothing half-written."""

import errno
import shutil
from pathlib import Path

import h5py
import pytest
import rasterio
import yaml

from smdown import cli
from smdown.errors import store_problem
from tests.pipeline import make_inputs, smdown, write_project


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("region") / "inputs")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "work"


def refused(project: Path, workdir: Path, *args: str) -> str:
    """Run a project that cannot work; return its one line."""
    code, _, err = smdown("run", project, "--cluster", "serial", "--workdir", workdir, *args)
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2, err
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert not workdir.exists() or not any(workdir.rglob("*.zarr")), "something was written"
    return lines[0]


def test_unknown_key_names_the_legal_ones(inputs, place, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    line = refused(project, place, "--set", "prediction.cels_per_tile=2")
    assert "cels_per_tile" in line
    assert "cells_per_tile" in line
    assert "constraint" in line


def test_missing_project_file(place, tmp_path):
    assert "nowhere.yaml" in refused(tmp_path / "nowhere.yaml", place)


def test_project_file_that_is_not_yaml(place, tmp_path):
    (tmp_path / "p.yaml").write_text("name: [demo\nfoo: }")
    assert "YAML" in refused(tmp_path / "p.yaml", place)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("layers.sm_surface.valid_range=[0.6, 0.01]", "lower limit first"),
        ("layers.sm_surface.valid_range=[0, .nan]", "no range"),
        ("layers.sm_surface.uncertainty=.inf", "uncertainty"),
        ("layers.flags={source: smap, variable: sm_surface}", "'flags'"),
        ("layers.sm_surface_std={source: smap, variable: sm_surface}", "'sm_surface_std'"),
        ("layers.a/b={source: smap, variable: sm_surface}", "'a/b'"),
        ("prediction.days=[]", "no prediction days"),
    ],
)
def test_maps_that_cannot_be_made(inputs, place, tmp_path, wrong, said):
    assert said in refused(write_project(tmp_path / "p.yaml", inputs), place, "--set", wrong)


def test_missing_input_file(inputs, place, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    line = refused(project, place, "--set", "sources.dem.path=dem/absent_*.tif")
    assert "absent_" in line
    assert "dem" in line


def test_environment_variable_that_is_not_set(inputs, place, tmp_path, monkeypatch):
    monkeypatch.delenv("SMDOWN_ABSENT", raising=False)
    project = write_project(tmp_path / "p.yaml", inputs)
    line = refused(project, place, "--set", "inputs=${SMDOWN_ABSENT}")
    assert "SMDOWN_ABSENT" in line
    assert "export" in line


def test_unreadable_input(inputs, place, tmp_path):
    copy = tmp_path / "inputs"
    shutil.copytree(inputs, copy)
    victim = min((copy / "dem").glob("*.tif"))
    victim.write_bytes(b"<!DOCTYPE html><html>404 not found</html>")
    line = refused(write_project(tmp_path / "p.yaml", copy), place, "--strict")
    assert victim.name in line


def test_coarse_files_that_hold_no_soil_moisture(inputs, place, tmp_path):
    copy = tmp_path / "inputs"
    shutil.copytree(inputs, copy)
    for path in (copy / "smap").glob("*.h5"):
        with h5py.File(path, "a") as file:
            del file["Geophysical_Data/sm_surface"]
    line = refused(write_project(tmp_path / "p.yaml", copy), place)
    assert "sm_surface" in line


def test_wrong_coordinate_system(inputs, place, tmp_path):
    copy = tmp_path / "inputs"
    shutil.copytree(inputs, copy)
    for path in (copy / "dem").glob("*.tif"):
        with rasterio.open(path, "r+") as file:
            file.crs = "EPSG:32633"
    line = refused(write_project(tmp_path / "p.yaml", copy), place)
    assert "dem" in line
    assert "crs" in line


def test_a_lattice_of_ones_own_that_cannot_be(inputs, place, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    own = "name: mine, x0: -20037508.34, y0: 10018754.17, cell: 1113.19, rows: 18000, cols: 36000"
    for wrong, said in (
        (f"{own}, crs: EPSG:4326", "not in metres"),
        (f"{own}, crs: EPSG:99999999", "names no coordinate reference system"),
        (f"{own.replace('mine', 'ease2_m09')}, crs: EPSG:4087", "a lattice that is known"),
    ):
        assert said in refused(project, place, "--set", f"lattice={{{wrong}}}")


def test_what_the_map_is_made_from_cannot_judge_it(inputs, place, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    for source in ("smap", "soil", "stations"):
        assert "made from" in refused(project, place, "--set", f"evaluation.truth={source}")


def test_empty_extent(inputs, place, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    line = refused(project, place, "--set", "extent={bbox: [-98.0, 35.0, -97.99, 35.01]}")
    assert "bbox" in line


def test_extent_away_from_the_sources(inputs, place, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    line = refused(project, place, "--set", "extent={bbox: [10.0, 50.0, 10.5, 50.5]}")
    assert "extent" in line


def test_label_that_is_an_input(inputs, place, tmp_path):
    driver = {"name": "coarse", "kind": "daily", "source": "smap", "variable": "sm_surface"}
    project = write_project(tmp_path / "p.yaml", inputs)
    content = yaml.safe_load(project.read_text())
    content["features"]["drivers"].append(driver)
    project.write_text(yaml.safe_dump(content))
    line = refused(project, place)
    assert "smap" in line
    assert "label" in line


def test_source_that_is_not_there(inputs, place, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    line = refused(project, place, "--set", "layers.sm_surface.source=smaap")
    assert "smaap" in line
    assert "smap" in line


def test_unknown_profile(inputs, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    code, _, err = smdown("run", project, "--cluster", tmp_path / "nowhere.yaml", "--workdir", tmp_path / "w")
    assert code == 2
    assert "nowhere.yaml" in err


def test_later_stage_before_the_earlier(inputs, tmp_path):
    project = write_project(tmp_path / "p.yaml", inputs)
    for stage in ("features", "train", "predict", "evaluate"):
        code, _, err = smdown(stage, project, "--cluster", "serial", "--workdir", tmp_path / "w")
        assert code in {1, 2}, (stage, err)
        assert "Traceback" not in err
        assert "first" in err or "run" in err


@pytest.mark.parametrize(
    ("workdir", "said"),
    [
        ("s3://AKIAPLANTED:hidden-word@bucket/map", r"the workdir s3://***@bucket/map with a user, password or token"),
        ("https://127.0.0.1:9/map?sig=hidden-word", "leave these to the environment or to fsspec's configuration"),
        ("nowhere://bucket/map", "Protocol not known: nowhere); name a folder, or a URL of a kind that fsspec knows"),
    ],
)
def test_a_workdir_with_a_secret_or_of_no_known_kind(inputs, tmp_path, workdir, said):
    project = write_project(tmp_path / "project.yaml", inputs)
    code, _, err = smdown("run", project, "--cluster", "serial", "--workdir", workdir)
    assert code == 2
    assert err.count("\n") == 1
    assert said in err
    assert "hidden-word" not in err


def test_a_store_that_does_not_answer_is_one_line(inputs, tmp_path):
    project = write_project(tmp_path / "project.yaml", inputs)
    code, _, err = smdown("run", project, "--cluster", "serial", "--workdir", "http://127.0.0.1:9/map")
    assert code == 1
    assert "Traceback" not in err
    assert "127.0.0.1:9" in err
    assert "check address, rights and network, then run the same command again" in err


def test_whose_errors_are_a_stores():
    refused = type("Refused", (Exception,), {"__module__": "botocore.exceptions"})
    assert store_problem(refused("no such key")) == "Refused: no such key"
    outer = RuntimeError("while writing")
    outer.__cause__ = PermissionError(errno.EACCES, "Permission denied", "/data")
    assert "Permission denied" in str(store_problem(outer))
    assert store_problem(KeyError("ours")) is None
    assert store_problem(FileNotFoundError(errno.ENOENT, "No such file")) is None


def test_a_traceback_for_us_holds_no_secret(monkeypatch, capsys):
    def broken():
        raise KeyError("s3://AKIAPLANTED:hidden-word@bucket/map")

    monkeypatch.setattr(cli, "app", broken)
    assert cli._status() == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "in broken" in err
    assert "s3://***@bucket/map" in err
    assert "hidden-word" not in err


def test_folders_that_cannot_be_made_are_one_line(tmp_path):
    (tmp_path / "file").touch()
    for command in (("demo",), ("bench", "--cluster", "serial")):
        code, _, err = smdown(*command, "--workdir", tmp_path / "file" / "in it")
        assert code == 2
        assert "which cannot be written" in err
        assert err.count("\n") == 1
