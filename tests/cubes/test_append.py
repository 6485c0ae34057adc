"""Days are added to a cube without touching those that it has."""

import pickle

import numpy as np
import pytest
import xarray as xr
import zarr

from smdown.cubes import append as appending
from smdown.cubes import append_times, create_cube, manifest, open_cube, store, verify
from smdown.errors import CubeError
from tests.cubes import example

LATER = ("2020-01-03", "2020-01-07")


@pytest.fixture
def url(tmp_path):
    path = str(tmp_path / "cube.zarr")
    example.fill(create_cube(path, example.SPEC))
    return path


def test_only_metadata_and_the_time_axis_change(url):
    before = example.contents(url)
    cube = append_times(url, LATER)
    assert cube.spec.times == (*example.DAYS, *LATER)
    assert cube.batches == (2, 2)
    after = example.contents(url)
    documents = {f"{name}/zarr.json" for name in ("sm", "flags", "time", "receipts")}
    changed = {key for key in before if after.get(key) != before[key]}
    assert changed == {"zarr.json", "receipts/manifest.json", "time/c/0"} | documents
    assert after.keys() == before.keys()
    assert verify(url, partial=True).faults == ()
    example.fill(cube, batch=1)
    final = example.contents(url)
    assert {key for key in after if final[key] != after[key]} == set()
    assert all(key.startswith(("sm/c/", "flags/c/", "receipts/c/")) for key in final.keys() - after.keys())
    assert verify(url).faults == ()


def test_values_of_all_days_read_back_through_us_and_through_xarray(url):
    example.fill(append_times(url, LATER), batch=1)
    cube = open_cube(url, complete=True)
    for place, window in example.tiles():
        example.check_values(cube, place, window, {0, 1})
    for consolidated in (True, False):
        with xr.open_zarr(url, consolidated=consolidated) as data:
            assert [str(t)[:10] for t in data.time.values] == list(cube.spec.times)
            for day in range(4):
                np.testing.assert_allclose(data.sm[day], example.truth("sm", day), atol=1e-6)


def test_many_single_days_end_in_the_same_bytes_of_data(url, tmp_path):
    other = str(tmp_path / "other.zarr")
    example.fill(create_cube(other, example.SPEC))
    for batch, day in enumerate(LATER, start=1):
        example.fill(append_times(url, [day]), batch=batch)
    example.fill(append_times(other, LATER), batch=1)
    data = [{k: v for k, v in example.contents(u).items() if k.startswith(("sm/c", "flags/c"))} for u in (url, other)]
    assert data[0] == data[1]
    assert open_cube(url).batches == (2, 1, 1)
    assert verify(url).faults == ()


def test_receipts_of_the_days_are_kept_apart(url):
    cube = append_times(url, LATER)
    assert len(cube.done(0)) == 6
    assert cube.done(1) == cube.done() == set()
    assert not cube.complete
    example.fill(cube, batch=1, only={(0, 1)})
    assert cube.done() == {(0, 1)}
    assert pickle.loads(pickle.dumps(cube)).done(1) == {(0, 1)}
    assert verify(url).lines == [f"{url}/receipts: unfinished: 1 of 6 tiles are written"]
    store.delete(store.join(url, "sm/c/3/0/1"))
    assert [f.key for f in verify(url, partial=True).faults] == ["sm/c/3/0/1"]
    store.delete(store.join(url, "sm/c/1/0/0"))  # of the first batch, in a tile that the second has not reached
    with pytest.raises(CubeError, match="sm/c/1/0/0 of a finished tile is lost"):
        cube.read("sm", cube.raster.window, 1)


def test_repeating_a_call_changes_nothing(url):
    append_times(url, LATER)
    before = example.contents(url)
    assert append_times(url, LATER).batches == (2, 2)
    assert example.contents(url) == before


@pytest.mark.parametrize(
    "days", [(), ("2020-01-02",), ("2019-12-31",), ("2020-01-04", "2020-01-03"), ("2020-1-3",), ("soon",)]
)
def test_days_that_do_not_follow_are_refused_before_any_byte(url, days):
    before = example.contents(url)
    with pytest.raises(CubeError, match="later ISO days"):
        append_times(url, days)
    assert example.contents(url) == before


def test_a_cube_without_time_has_nothing_to_append_to(tmp_path):
    url = str(tmp_path / "cube.zarr")
    create_cube(url, example.CubeSpec(example.GRID.raster, (example.Variable("elevation"),), shard=20, chunk=10))
    with pytest.raises(CubeError, match="no time axis"):
        append_times(url, LATER)


@pytest.mark.parametrize("steps", range(9))
def test_cut_short_anywhere_it_reads_as_before_or_as_after(url, monkeypatch, steps):
    """The manifest, four documents, the axis, the group, the manifest again: die after each of these writes."""
    put, count = store.put, 0

    def dying(*args):
        nonlocal count
        if count == steps:
            raise KeyboardInterrupt
        count += 1
        put(*args)

    sound = open_cube(url).read("sm", open_cube(url).raster.window)
    with monkeypatch.context() as patch:
        patch.setattr(store, "put", dying)
        try:
            append_times(url, LATER)
        except KeyboardInterrupt:
            assert steps < 7
    cube = open_cube(url)
    assert cube.spec.times in (example.DAYS, example.DAYS + LATER)
    assert verify(url, partial=True).faults == ()
    np.testing.assert_array_equal(cube.read("sm", cube.raster.window, slice(0, 2)), sound)
    example.fill(append_times(url, LATER), batch=1)
    assert verify(url).faults == ()
    assert len(manifest.read(url).states) == 1


def test_an_append_that_was_never_finished_gives_way_to_another(url, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    for step, days in (("_write_days", LATER), ("_write_days", ["2020-03-01"]), ("_states", ["2020-04-01"])):
        with monkeypatch.context() as patch:
            patch.setattr(appending, step, killed)
            with pytest.raises(KeyboardInterrupt):
                append_times(url, days)
        assert verify(url).faults == ()
        assert open_cube(url).spec == example.SPEC
    cube = example.fill(append_times(url, ["2020-02-01"]), batch=1)
    assert cube.spec.times == (*example.DAYS, "2020-02-01")
    assert verify(url).faults == ()
    assert zarr.open_array(f"{url}/sm", mode="r").shape[0] == 3


def test_a_new_fingerprint_goes_with_the_new_days(url):
    append_times(url, LATER, fingerprint="new")
    assert open_cube(url).spec.fingerprint == "new"
    with pytest.raises(CubeError, match="fingerprint new, now abc"):
        create_cube(url, example.SPEC, resume=True)
