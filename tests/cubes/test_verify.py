"""Whatever is lost, cut or flipped in a cube is found; a sound cube is never accused."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from smdown.cli import app
from smdown.cubes import create_cube, manifest, open_cube, store, verify
from smdown.cubes.repair import repair
from smdown.errors import CubeError
from smdown.grid import Window
from smdown.testing import flip_bit, truncate
from tests.cubes import example

ORDER = ("missing", "truncated", "data bit", "metadata bit")


@pytest.fixture
def url(tmp_path):
    path = str(tmp_path / "cube.zarr")
    example.fill(create_cube(path, example.SPEC))
    return path


def _is_metadata(key):
    return key.endswith(".json")


def _injure(rng, url, kind):
    """Damage one object drawn at random, and return its key and how to undo it."""
    keys = sorted(store.sizes(url))
    if kind.endswith("bit"):
        keys = [k for k in keys if _is_metadata(k) == (kind == "metadata bit")]
    key = keys[rng.integers(len(keys))]
    path = Path(url) / key
    sound = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        truncate(path, rng.random())
    else:
        flip_bit(path, rng.random(), int(rng.integers(8)))
    return key, lambda: path.write_bytes(sound)


def test_200_injected_faults_are_found_and_a_sound_cube_is_never_accused(url):
    rng = np.random.default_rng(20)
    hidden = []
    for number in range(200):
        kind = ORDER[number % len(ORDER)]
        key, heal = _injure(rng, url, kind)
        faults = verify(url).faults
        named = any(f.key == key or (kind == "missing" and key.startswith(f.key)) for f in faults)
        if not named:
            hidden.append((kind, key, faults))
        heal()
        assert number % 10 or verify(url).faults == ()
    assert hidden == []


@pytest.mark.parametrize("key", ["zarr.json", "sm/zarr.json", "receipts/manifest.json", "receipts/zarr.json"])
def test_any_flipped_bit_of_metadata_is_found(url, key):
    path = Path(url) / key
    sound = path.read_bytes()
    for offset in range(0, len(sound), max(1, len(sound) // 30)):
        flip_bit(path, offset / len(sound), offset % 8)
        assert key in {f.key for f in verify(url).faults}, offset
        path.write_bytes(sound)


@pytest.mark.parametrize("key", ["sm/c/0/0/1", "flags/c/1/0/0", "elevation/c/1/2", "x/c/0", "spatial_ref/c"])
def test_any_flipped_byte_of_data_is_found(url, key):
    path = Path(url) / key
    sound = path.read_bytes()
    for offset in range(0, len(sound), max(1, len(sound) // 40)):
        flip_bit(path, offset / len(sound), offset % 8)
        assert [f.key for f in verify(url).faults] == [key], offset
        path.write_bytes(sound)


def test_a_flipped_bit_in_the_identity_is_never_believed(url):
    """A scale of 1e-4 one bit away from another number would change every value without a word."""
    path = Path(url) / "zarr.json"
    path.write_bytes(path.read_bytes().replace(b'"scale_factor": 0.0001', b'"scale_factor": 0.0003'))
    with pytest.raises(CubeError, match="changed or damaged"):
        open_cube(url)


def test_an_exchanged_metadata_document_is_found(url):
    (Path(url) / "sm/zarr.json").write_bytes((Path(url) / "flags/zarr.json").read_bytes())
    assert [f.key for f in verify(url).faults] == ["sm/zarr.json"]


def test_what_is_all_missing_is_written_all_the_same(url):
    sizes = store.sizes(url)
    for key in ("sm/c/0/0/0", "flags/c/1/1/2", "spatial_ref/c"):
        assert key in sizes
    assert np.isnan(open_cube(url).read("sm", Window(0, 20, 0, 20))).all()
    with xr.open_zarr(url) as data:
        assert np.isnan(data.sm[0, :20, :20]).all()


@pytest.mark.parametrize("key", ["sm/c/1/0/1", "sm/c/0/0/0", "flags/c/0/1/1", "elevation/c/0/0"])
def test_a_lost_shard_of_a_finished_tile_is_an_error_not_a_hole(url, key):
    (Path(url) / key).unlink()
    cube = open_cube(url)
    with pytest.raises(CubeError, match=f"{key} of a finished tile is lost"):
        cube.read(key.partition("/")[0], cube.raster.window)
    assert verify(url).lines == [f"{url}/{key}: missing, though its tile is finished"]


def test_a_cut_shard_is_an_error_of_ours_in_one_line(url):
    truncate(Path(url) / "sm/c/0/1/1", 0.5)
    with pytest.raises(CubeError, match=r"with damage in sm/c/0/1/1 \(truncated") as caught:
        open_cube(url).read("sm", Window(20, 30, 20, 40), 0)
    assert "\n" not in str(caught.value)


def test_unfinished_cubes_are_told_apart(tmp_path):
    url = str(tmp_path / "cube.zarr")
    cube = create_cube(url, example.SPEC)
    example.fill(cube, only={(0, 0), (1, 1)})
    cube.write("elevation", np.ones((10, 20)), Window(20, 30, 0, 20))  # written, but killed before its receipt
    assert verify(url, partial=True).faults == ()
    assert verify(url).lines == [f"{url}/receipts: unfinished: 2 of 6 tiles are written"]
    flip_bit(Path(url) / "elevation/c/1/0", 0.5)
    assert [f.key for f in verify(url, partial=True).faults] == ["elevation/c/1/0"]


def test_what_one_task_left_out_is_written_when_it_finishes(tmp_path):
    url = str(tmp_path / "cube.zarr")
    cube = create_cube(url, example.SPEC)
    cube.write("sm", example.truth("sm"), cube.raster.window, 0)
    cube.finish()
    assert verify(url).faults == ()
    assert np.isnan(cube.read("elevation", cube.raster.window)).all()
    np.testing.assert_allclose(cube.read("sm", cube.raster.window, 0), example.truth("sm"), atol=1e-6)


def test_repair_lets_the_stage_make_the_damaged_tiles_again(url):
    before = example.contents(url)
    truncate(Path(url) / "sm/c/1/0/1", 0.9)
    (Path(url) / "flags/c/0/1/2").unlink()
    (Path(url) / "receipts/c/0/0/0").write_bytes(b"")
    truncate(Path(url) / "sm/zarr.json", 0.7)
    with pytest.raises(CubeError, match="verify --repair"):
        open_cube(url).done()
    assert repair(verify(url)) == 3
    cube = create_cube(url, example.SPEC, resume=True)
    assert {place for place, _ in example.tiles()} - cube.done() == {(0, 0), (0, 1), (1, 2)}
    example.fill(cube)
    assert example.contents(url) == before


def test_progress_counts_every_object(url):
    heard = []
    verdict = verify(url, tell=lambda done, total: heard.append((done, total)))
    assert heard == [(n + 1, 30) for n in range(30)]
    assert verdict.objects == 30
    assert verdict.lines[0].startswith(f"{url}: sound, 6 of 6 tiles, 30 objects")


def test_the_command_says_one_line_a_fault(url, tmp_path):
    other = str(tmp_path / "nothing.zarr")
    clean = CliRunner().invoke(app, ["verify", url])
    assert (clean.exit_code, len(clean.stdout.splitlines())) == (0, 1)
    (Path(url) / "sm/c/1/1/1").unlink()
    flip_bit(Path(url) / "flags/zarr.json", 0.3)
    found = CliRunner().invoke(app, ["verify", url, other])
    assert found.exit_code == 1
    assert [line.rpartition(": ")[0].removeprefix(str(tmp_path)) for line in found.stdout.splitlines()] == [
        "/cube.zarr/flags/zarr.json: truncated or flipped", "/cube.zarr/sm/c/1/1/1", "/nothing.zarr/zarr.json: missing",
    ]  # fmt: skip
    mended = CliRunner().invoke(app, ["verify", "--repair", url])
    assert mended.stdout.splitlines()[-1] == f"{url}: withdrew 1 tiles; run the stage that made it once more"
    assert CliRunner().invoke(app, ["verify", "--partial", url]).exit_code == 0


def test_what_a_tile_leaves_out_is_written_with_its_receipt(tmp_path):
    """Days without a prediction are never written by their task: their objects are there all the same, and small."""
    url = str(tmp_path / "cube.zarr")
    cube = create_cube(url, example.SPEC)
    for place, window in example.tiles():
        cube.write("sm", example.truth("sm", 1)[window.slices], window, 1)
        cube.commit(*place)
    assert verify(url).faults == ()
    assert store.sizes(url)["sm/c/0/1/1"] == 16 * 4 + 4  # an index that says: four chunks, none of them here
    assert np.isnan(open_cube(url).read("sm", cube.raster.window, 0)).all()
    (Path(url) / "sm/c/0/1/1").unlink()
    assert [f.key for f in verify(url).faults] == ["sm/c/0/1/1"]


def test_a_sealed_store_is_checked_object_by_object(tmp_path):
    """A table that xarray writes has no checksums of its own: the manifest holds those of every object."""
    url = str(tmp_path / "table.zarr")
    values = np.random.default_rng(2).random((40, 30)).astype(np.float32)
    xr.Dataset({"sm": (("station", "time"), values)}).to_zarr(url, zarr_format=3, consolidated=True)
    manifest.seal(url)
    assert verify(url).lines[0].startswith(f"{url}: sound, ")
    rng = np.random.default_rng(9)
    for number in range(40):
        key, heal = _injure(rng, url, ORDER[number % len(ORDER)])
        assert key in {f.key for f in verify(url).faults}
        heal()
    assert verify(url).faults == ()
