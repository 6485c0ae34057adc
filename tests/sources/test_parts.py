"""A source in many parts: in any order and by any process the same bytes, taken up where a run stopped."""

import pickle
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.sources import fill, ingest_plan, run_ingest
from smdown.sources.config import NetcdfConfig
from smdown.sources.prepared import PreparedGrid
from smdown.sources.quality import read_quality
from tests.sources import kinds
from tests.sources.kinds import KINDS


def objects(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


@pytest.fixture
def small_parts(monkeypatch):
    """One day, or one shard, a part."""
    for cls in (
        PreparedGrid,
        *PreparedGrid.__subclasses__(),
        *(c for s in PreparedGrid.__subclasses__() for c in s.__subclasses__()),
    ):
        monkeypatch.setattr(cls, "times_a_part", 1)
        monkeypatch.setattr(cls, "shards_a_part", 1)


@pytest.fixture(params=["smap_l4", "netcdf", "raster", "reflectance"])
def inputs(request, tmp_path, monkeypatch):
    """Files of a kind, one of them cut short, with shards small enough for several."""
    monkeypatch.setattr("smdown.sources.prepared._CHUNK", 16)
    kind = KINDS[request.param]
    paths = [kind.write(tmp_path / "in", n) for n in range(3)]
    paths[1].write_bytes(paths[1].read_bytes()[:700])
    return {request.param: kind.config(str(tmp_path / "in"))}


def whole(inputs, context):
    run_all(inputs, context)
    return objects(context.out)


def run_all(inputs, context):
    for task in ingest_plan(inputs, context).tasks:
        run_ingest(task)


def test_any_order_gives_the_same_bytes(inputs, tmp_path, request):
    wanted = whole(inputs, kinds.context(tmp_path / "one"))
    request.getfixturevalue("small_parts")
    context = kinds.context(tmp_path / "many")
    tasks = list(ingest_plan(inputs, context).tasks)
    assert len(tasks) > 1
    assert len({task.key for task in tasks}) == len(tasks)
    random.Random(0).shuffle(tasks)
    receipts = [run_ingest(pickle.loads(pickle.dumps(task))) for task in tasks]
    assert objects(context.out) == wanted
    assert sum("set aside: got" in note for receipt in receipts for note in receipt.notes) == 1
    assert ingest_plan(inputs, context).done == 1


@pytest.mark.parametrize("inputs", ["smap_l4", "raster"], indirect=True)
def test_taken_up_where_a_run_stopped(inputs, tmp_path, request, monkeypatch):
    wanted = whole(inputs, kinds.context(tmp_path / "one"))
    request.getfixturevalue("small_parts")
    context = kinds.context(tmp_path / "many")
    first = ingest_plan(inputs, context).tasks
    run_ingest(first[-1])
    assert not open_cube(first[0].url).complete
    again = ingest_plan(inputs, context)
    assert [task.key for task in again.tasks] == [task.key for task in first[:-1]]
    assert again.done == 1
    with monkeypatch.context() as patch:  # the last part is recorded, and its process dies
        patch.setattr(fill, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        for task in again.tasks[:-1]:
            run_ingest(task)
        with pytest.raises(KeyboardInterrupt):
            run_ingest(again.tasks[-1])
    last = ingest_plan(inputs, context)
    assert (len(last.tasks), last.done) == (0, len(first))
    assert objects(context.out) == wanted


@pytest.mark.parametrize("inputs", ["netcdf"], indirect=True)
def test_other_inputs_start_afresh(inputs, tmp_path, small_parts):
    context = kinds.context(tmp_path / "out")
    first = ingest_plan(inputs, context).tasks
    run_ingest(first[0])
    changed = {name: config.model_copy(update={"units": "1"}) for name, config in inputs.items()}
    plan = ingest_plan(changed, context)
    assert plan.done == 0
    assert len(plan.tasks) == len(first)


def test_static_and_timed_variables_of_one_source(tmp_path, small_parts, monkeypatch):
    """What has no time is written by the first part alone."""
    monkeypatch.setattr("smdown.sources.prepared._CHUNK", 16)
    import xarray as xr

    for n in range(3):
        path = kinds.netcdf(tmp_path / "in", n)
        with xr.open_dataset(path, engine="h5netcdf") as data:
            data.load()
        data.assign(mask=data.pr.isel(time=0, drop=True) * 0 + 7).to_netcdf(path, engine="h5netcdf")
    config = {"s": NetcdfConfig(path=str(tmp_path / "in"), variables={"rain": "pr", "mask": "mask"})}
    tasks = ingest_plan(config, kinds.context(tmp_path / "out")).tasks
    for task in reversed(tasks):
        run_ingest(task)
    cube = open_cube(tasks[0].url)
    assert cube.complete
    assert np.nanmax(cube.read("mask", cube.raster.window)) == 7
    assert read_quality(tasks[0].url).variables["mask"].total == cube.raster.window.size


def test_nothing_left_of_many_parts(tmp_path, small_parts):
    """Every file holds a fill that only reading shows: the last part says so, and the cube is not complete."""
    for n in range(3):
        kinds.netcdf(tmp_path / "in", n, fill=-9999)
    config = {"s": KINDS["netcdf"].config(str(tmp_path / "in"))}
    context = kinds.context(tmp_path / "out")
    tasks = ingest_plan(config, context).tasks
    for task in tasks[:-1]:
        run_ingest(task)
    with pytest.raises(InputError, match=r"source s: got 3 files, of which no file can be used: .* set nodata: -9999"):
        run_ingest(tasks[-1])
    assert not open_cube(tasks[0].url).complete
    mended = {"s": config["s"].model_copy(update={"nodata": -9999.0})}
    for task in ingest_plan(mended, context).tasks:
        run_ingest(task)
    assert open_cube(tasks[0].url).complete


@pytest.mark.parametrize("inputs", ["smap_l4", "raster"], indirect=True)
def test_strict_does_not_take_a_source_with_files_set_aside(inputs, tmp_path):
    context = kinds.context(tmp_path / "out")
    whole(inputs, context)
    assert ingest_plan(inputs, context).done == 1
    with pytest.raises(InputError, match="got "):
        run_all(inputs, replace(context, strict=True))
