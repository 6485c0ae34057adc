import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pydantic import TypeAdapter, ValidationError

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.sources import SourceConfig, check, file_identity, ingest_plan, run_ingest
from smdown.sources import raster as raster_module
from smdown.sources.config import IsmnConfig, RasterConfig, SmapL4Config
from tests.sources.fabricate import CELLS, ingest, smap_name, write_smap, write_stm, write_tif


@pytest.fixture
def sources(tmp_path, lonlat):
    """Three sources of three kinds, complete."""
    west, south, east, north = lonlat
    write_smap(tmp_path / "in" / "smap" / smap_name("2020-04-01", 1), np.full(CELLS.shape, 0.2))
    write_tif(tmp_path / "in" / "dem.tif", np.ones((100, 100), "f4"), west - 0.3, north + 0.3, 0.01, 0.01)
    rows = [("2020/04/01 00:00", 0.2, "G")]
    write_stm(tmp_path / "in" / "ismn", "A", 0.05, 0.05, rows, lat=(south + north) / 2, lon=(west + east) / 2)
    configs = {
        "smap": SmapL4Config(path="smap"),
        "dem": RasterConfig(path="dem.tif", variables={"elevation": 1}),
        "stations": IsmnConfig(path="ismn", layers={"sm": {"depth": (0, 0.1)}}),
    }
    return {name: config.resolved(tmp_path / "in") for name, config in configs.items()}


def test_finished_sources_are_not_read_again(sources, context):
    plan = ingest_plan(sources, context)
    assert [task.key for task in plan.tasks] == ["smap", "dem", "stations"]
    for task in plan.tasks:
        assert pickle.loads(pickle.dumps(task)) == task
        assert hash(task) == hash(pickle.loads(pickle.dumps(task)))
        plan.run(task)
    again = ingest_plan(sources, context)
    assert (len(again.tasks), again.done, again.total) == (0, 3, 3)


@pytest.mark.parametrize("change", ["file", "setting", "period", "extent"])
def test_whatever_matters_makes_a_source_new(sources, context, tmp_path, change):
    for task in ingest_plan(sources, context).tasks:
        run_ingest(task)
    before = file_identity(sources)
    if change == "file":
        write_smap(tmp_path / "in" / "smap" / smap_name("2020-04-01", 1), np.full(CELLS.shape, 0.3))
        assert file_identity(sources) != before
    elif change == "setting":
        sources["smap"] = sources["smap"].model_copy(update={"valid_range": (0.0, 0.5)})
    elif change == "period":
        context = replace(context, end="2020-04-03")
    else:
        context = replace(context, margin=0.2)
    keys = {task.key for task in ingest_plan(sources, context).tasks}
    assert keys == ({"smap"} if change in ("file", "setting") else {"smap", "dem", "stations"})
    for task in ingest_plan(sources, context).tasks:
        run_ingest(task)  # replaces what the earlier configuration left
    assert ingest_plan(sources, context).done == 3


def test_same_inputs_elsewhere_are_the_same_inputs(sources, tmp_path):
    shutil.copytree(tmp_path / "in", tmp_path / "copy")
    moved = {
        name: config.model_copy(update={"path": config.path.replace("/in/", "/copy/")})
        for name, config in sources.items()
    }
    assert file_identity(moved) == file_identity(sources)


def test_one_bad_source_stops_all_before_a_byte_is_written(sources, context, tmp_path):
    (tmp_path / "in" / "dem.tif").write_bytes(b"")
    for call in (check, ingest_plan):
        with pytest.raises(InputError, match=r"source dem: .*empty file"):
            call(sources, context)
    assert not (tmp_path / "out").exists()


def test_failure_midway_removes_what_was_written(sources, context, monkeypatch, tmp_path):
    task = next(t for t in ingest_plan(sources, context).tasks if t.key == "dem")

    def broken(*_):
        raise InputError("got a bad block")

    monkeypatch.setattr(raster_module, "fill_from", broken)
    with pytest.raises(InputError, match="source dem: got a bad block"):
        run_ingest(task)
    assert not (tmp_path / "out" / "dem.zarr").exists()


def test_unfinished_cube_is_made_again(sources, context):
    task = next(t for t in ingest_plan(sources, context).tasks if t.key == "dem")
    run_ingest(task)
    cube = open_cube(task.url)
    cube.array("receipts")[...] = 0
    assert "dem" in {t.key for t in ingest_plan(sources, context).tasks}


def test_same_input_same_bytes(sources, context, tmp_path):
    def content(url):
        return {p.relative_to(url): p.read_bytes() for p in sorted(Path(url).rglob("*")) if p.is_file()}

    for task in ingest_plan(sources, context).tasks:
        run_ingest(task)
        first = content(task.url)
        run_ingest(task)
        assert content(task.url) == first


def test_other_tools_open_what_is_left(sources, context):
    for task in ingest_plan(sources, context).tasks:
        run_ingest(task)
    url = context.out
    assert xr.open_zarr(f"{url}/smap.zarr", chunks=None).sm_surface.sizes["time"] == 1
    stations = xr.open_zarr(f"{url}/stations.zarr", chunks=None)
    assert stations.sm.dims == ("station", "time")


def test_memory_store(sources, context):
    context = replace(context, out="memory://ingest")
    for task in ingest_plan(sources, context).tasks:
        run_ingest(task)
    assert ingest_plan(sources, context).done == 3


def test_kinds_are_told_apart():
    adapter = TypeAdapter(SourceConfig)
    assert isinstance(adapter.validate_python({"kind": "raster", "path": "a", "variables": {"e": 1}}), RasterConfig)
    with pytest.raises(ValidationError):
        adapter.validate_python({"kind": "raster", "path": "a", "variables": {"e": 1}, "bands": 3})
    with pytest.raises(ValidationError, match="lower limit first"):
        RasterConfig(path="a", variables={"e": 1}, valid_range=(1, 0))


def test_settings_by_name_must_name_something():
    with pytest.raises(ValidationError, match="valid_range names 'slope', which is none of elevation"):
        RasterConfig(path="a", variables={"elevation": 1}, valid_range={"slope": (0, 1)})
    for name in ("time", "receipts", "a/b", "../x", ""):
        with pytest.raises(ValidationError, match="cannot name a variable"):
            RasterConfig(path="a", variables={name: 1})
    with pytest.raises(ValidationError, match="units names 'slope'"):
        RasterConfig(path="a", variables={"elevation": 1}, units={"slope": "m"})
    with pytest.raises(ValidationError, match="crs"):
        IsmnConfig(path="a", crs="EPSG:4326")


def test_one_source_through_plan_and_task(sources, context):
    receipt, url = ingest(sources["dem"], context, "dem")
    assert receipt.key == "dem"
    assert receipt.pixels == open_cube(url).raster.window.size
    assert any("elevation: 100.0% valid" in note for note in receipt.notes)
