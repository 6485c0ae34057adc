"""Cubes in a bucket (a real S3 server on loopback) and in memory: the same bytes and the same guards as on disk."""

import subprocess
import sys
import uuid

import numpy as np
import pytest
import xarray as xr

from smdown.cubes import append_times, create_cube, delete, exists, join, open_cube, store, verify
from smdown.cubes.repair import repair
from smdown.errors import CubeError
from smdown.grid import Window
from tests.cubes import example

LATER = ("2020-01-03",)


@pytest.fixture(params=["file", "memory", "s3"])
def url(request, tmp_path):
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/some/cube.zarr"
    return f"file://{tmp_path}/cube.zarr" if request.param == "file" else f"memory://{uuid.uuid4()}/cube.zarr"


def test_a_cube_has_the_same_bytes_everywhere(url, tmp_path):
    local = str(tmp_path / "local.zarr")
    for place in (url, local):
        example.fill(create_cube(place, example.SPEC))
        example.fill(append_times(place, LATER), batch=1)
        assert verify(place).faults == ()
    assert example.contents(url) == example.contents(local)
    cube = open_cube(url, complete=True)
    for place, window in example.tiles():
        example.check_values(cube, place, window, {0, 1})
    for small in (Window(3, 5, 22, 24), Window(15, 26, 15, 45)):
        np.testing.assert_allclose(cube.read("sm", small, 1), example.truth("sm", 1)[small.slices], atol=1e-6)
    with xr.open_zarr(store.zarr_store(url, read_only=True)) as data:
        np.testing.assert_allclose(data.sm[1], example.truth("sm", 1), atol=1e-6)


def test_resuming_overwriting_and_deleting_work_everywhere(url):
    assert not exists(url)
    with pytest.raises(CubeError, match="there is no cube"):
        open_cube(url)
    example.fill(create_cube(url, example.SPEC), only={(0, 0)})
    assert create_cube(url, example.SPEC, resume=True).done() == {(0, 0)}
    with pytest.raises(CubeError, match="exists already"):
        create_cube(url, example.SPEC)
    assert create_cube(url, example.SPEC, overwrite=True).done() == set()
    assert not any("/c/0/0/0" in key for key in store.sizes(url))
    delete(url)
    assert not exists(url)
    assert store.sizes(url) == {}


def test_damage_is_found_and_repaired_everywhere(url):
    example.fill(create_cube(url, example.SPEC))
    sound = example.contents(url)
    rng = np.random.default_rng(5)
    for number in range(6 if url.startswith("s3") else 24):
        keys = sorted(store.sizes(url))
        key = keys[rng.integers(len(keys))]
        data = bytearray(store.get(join(url, key)))
        whole = bytes(data)
        if number % 3 == 0:
            delete(join(url, key))
        elif number % 3 == 1:
            store.put(join(url, key), whole[: int(rng.random() * len(whole))])
        else:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            store.put(join(url, key), bytes(data))
        assert any(key.startswith(f.key) for f in verify(url).faults), key
        store.put(join(url, key), whole)
    assert verify(url).faults == ()
    delete(join(url, "sm/c/1/0/1"))
    with pytest.raises(CubeError, match="of a finished tile is lost"):
        open_cube(url).read("sm", open_cube(url).raster.window)
    assert repair(verify(url)) == 1
    example.fill(create_cube(url, example.SPEC, resume=True))
    assert example.contents(url) == sound


def test_the_command_reads_a_bucket(bucket):
    url = f"{bucket}/cube.zarr"
    example.fill(create_cube(url, example.SPEC))
    found = subprocess.run(
        [sys.executable, "-m", "smdown.cli", "verify", url], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(f"{url}: sound, 6 of 6 tiles, 30 objects")


def test_two_processes_see_each_others_objects(bucket):
    """Listings are not remembered: what another process deletes or writes is seen at once."""
    url = f"{bucket}/cube.zarr"
    assert not exists(url)
    make = "from smdown.cubes import create_cube; from tests.cubes import example"
    subprocess.run([sys.executable, "-c", f"{make}; example.fill(create_cube({url!r}, example.SPEC))"], check=True)
    assert exists(url)
    cube = open_cube(url, complete=True)
    lose = f"from smdown.cubes import delete; delete({url + '/sm/c/0/1/1'!r})"
    subprocess.run([sys.executable, "-c", lose], check=True)
    with pytest.raises(CubeError, match="sm/c/0/1/1 of a finished tile is lost"):
        cube.read("sm", cube.raster.window, 0)
