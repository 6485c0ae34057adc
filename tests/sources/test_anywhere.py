"""HDF5, NetCDF, archives, lists of cells and tables of stations behind URLs: the same cubes as from local files."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest
import xarray as xr

from smdown.errors import InputError, ResourceError
from smdown.sources import check, copies, file_identity, hdf5, ingest_plan, run_ingest
from smdown.sources.blocks import look
from smdown.sources.copies import COPIES, Copies, local
from smdown.sources.items import Item
from smdown.sources.places import Place, find_places
from smdown.sources.quality import read_quality
from tests.cubes.conftest import bucket, s3_server  # noqa: F401 - fixtures
from tests.sources import kinds
from tests.sources.fabricate import ingest
from tests.sources.kinds import KINDS
from tests.sources.loopback import serve

READ_AS_FILES = ["smap_l4", "smap_l3", "cell_list", "netcdf", "ismn", "stations_csv"]
ZIPPED = ["smap_l4", "smap_l3", "cell_list", "ismn", "stations_csv"]


@pytest.fixture
def server(tmp_path):
    (tmp_path / "web").mkdir()
    with serve(tmp_path / "web") as running:
        yield running


@pytest.fixture
def context(tmp_path):
    return kinds.context(tmp_path / "out")


@pytest.fixture(autouse=True)
def nothing_left():
    """Whatever a test reads, no unused copy of it stays when the source is done."""
    COPIES.clear()
    yield
    assert COPIES.held_bytes == 0


def contents(url):
    """Return the values, without days that have none."""
    data = xr.open_zarr(url, chunks=None).drop_vars(["receipts", "spatial_ref"], errors="ignore").load().drop_attrs()
    return data.dropna("time", how="all")


def put(folder, url):
    fs, root = fsspec.core.url_to_fs(url)
    for path in folder.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"{root}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return url


@pytest.fixture(params=["memory", "s3", "http"])
def publish(request, server):
    """Puts a folder behind a URL, and returns the URL."""

    def web(folder):
        shutil.copytree(folder, server.folder / folder.name, dirs_exist_ok=True)
        return f"{server.url}/{folder.name}/"

    def other(folder):
        home = "memory://anywhere" if request.param == "memory" else request.getfixturevalue("bucket")
        return put(folder, f"{home}/{abs(hash(request.node.name))}")

    return web if request.param == "http" else other


@pytest.mark.parametrize("name", READ_AS_FILES)
def test_a_folder_anywhere_gives_the_same_cube(name, publish, tmp_path, context):
    kind = KINDS[name]
    for n in range(3):
        kind.write(tmp_path / "in", n)
    _, wanted = ingest(kind.config(str(tmp_path / "in")), context, "local")
    config = kind.config(publish(tmp_path / "in"))
    _, found = ingest(config, context, "remote")
    xr.testing.assert_identical(contents(found), contents(wanted))
    assert read_quality(found).files == read_quality(wanted).files == 3
    assert ingest_plan({"remote": config}, context).tasks == ()


@pytest.mark.parametrize("name", ZIPPED)
def test_an_archive_anywhere_gives_the_same_cube(name, publish, tmp_path, context):
    kind = KINDS[name]
    files = [kind.write(tmp_path / "in", n) for n in range(3)]
    (tmp_path / "zip").mkdir()
    with zipfile.ZipFile(tmp_path / "zip" / "all.zip", "w") as archive:
        for path in files:
            archive.write(path, path.relative_to(tmp_path / "in"))
    _, wanted = ingest(kind.config(str(tmp_path / "in")), context, "local")
    _, found = ingest(kind.config(publish(tmp_path / "zip").rstrip("/") + "/all.zip"), context, "remote")
    xr.testing.assert_identical(contents(found), contents(wanted))


@pytest.mark.parametrize("name", READ_AS_FILES)
def test_damaged_and_missing_files_are_set_aside_alike(name, server, tmp_path, context):
    kind = KINDS[name]
    files = [kind.write(server.folder, n) for n in range(4)]
    files[1].write_bytes(files[1].read_bytes()[: files[1].stat().st_size // 2])
    files[2].unlink()
    urls = tuple(f"{server.url}/{path.relative_to(server.folder)}" for path in files)
    receipt, found = ingest(kind.config(str(server.folder)).model_copy(update={"path": urls}), context, "remote")
    reasons = read_quality(found).set_aside
    assert sorted(reasons) == sorted(urls[1:3])
    assert "cannot be fetched" in reasons[urls[2]]
    assert read_quality(found).files == 2
    assert sum("set aside" in note for note in receipt.notes) == 2
    _, wanted = ingest(kind.config(str(server.folder)), context, "local")
    xr.testing.assert_identical(contents(found), contents(wanted))


def test_a_changed_file_is_another_input(server, context):
    kind = KINDS["netcdf"]
    path = kind.write(server.folder, 0)
    config = kind.config(f"{server.url}/{path.name}")
    _, first = ingest(config, context, "one")
    before = contents(first)
    assert ingest_plan({"one": config}, context).done == 1
    shutil.copy(kind.write(server.folder / "other", 0, name="pr", fill=5.0), path)
    _, second = ingest(config, context, "one")
    assert not contents(second).equals(before)


def test_errors_are_one_line(server, context):
    for path, why in (("none.h5", "cannot be fetched"), ("page.h5", "web page")):
        (server.folder / "page.h5").write_text("<html>Log in</html>")
        for name in ("smap_l4", "netcdf"):
            config = KINDS[name].config(f"{server.url}/{path}".replace(".h5", "_20200401T013000.h5"))
            (server.folder / "page_20200401T013000.h5").write_text("<html>Log in</html>")
            with pytest.raises(InputError, match=why) as caught:
                check({"source": config}, context)
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no file lies"):
        check({"source": KINDS["smap_l4"].config(f"{server.url}/none_*.h5")}, context)
    with pytest.raises(InputError, match="source: got"):
        check({"source": KINDS["smap_l4"].config("nosuchthing://a/SMAP_20200401T013000.h5")}, context)
    COPIES.clear()


# -- traffic -----------------------------------------------------------------------------------------------------------


def big_smap(path, day):
    """A SMAP L4 file as large as its compression makes it, of many variables."""
    from smdown.grid import EASE2_M09, NestedGrid, Window

    cells = Window(200, 600, 700, 1300)
    grid = NestedGrid(EASE2_M09, cells, 1)
    noise = np.random.default_rng(day).uniform(0.1, 0.4, cells.shape).astype("f4")
    with h5py.File(path, "w") as file:
        for n in range(12):
            file.create_dataset(f"Geophysical_Data/other{n:02d}", data=noise, chunks=(100, 150), compression="gzip")
        for name in ("sm_surface", "sm_rootzone"):
            node = file.create_dataset(f"Geophysical_Data/{name}", data=noise, chunks=(100, 150), compression="gzip")
            node.attrs["units"], node.attrs["_FillValue"] = b"m3 m-3", np.float32(-9999)
        file["x"], file["y"] = grid.raster.x, grid.raster.y


def test_planning_fetches_little_and_a_task_each_file_once(server, context):
    names = [f"SMAP_L4_SM_gph_2020040{n}T013000_Vv8010_001.h5" for n in range(1, 5)]
    for n, name in enumerate(names):
        big_smap(server.folder / name, n)
    total = sum((server.folder / name).stat().st_size for name in names)
    configs = {"smap": KINDS["smap_l4"].config(f"{server.url}/*.h5")}
    file_identity(configs, context)
    plan = ingest_plan(configs, context)
    assert 0 < server.served < 0.1 * total
    server.served = 0
    for task in plan.tasks:
        run_ingest(task)
    assert total <= server.served < 1.01 * total


def test_a_look_meets_every_gap(server):
    """Data far from the metadata: the look returns the very array, with a fraction of the file."""
    rng = np.random.default_rng(0)
    field = rng.normal(size=(2000, 2000)).astype("f4")
    with h5py.File(server.folder / "a.h5", "w") as file:
        file.create_dataset("field", data=field, chunks=(200, 200))
    place = Place(f"{server.url}/a.h5")

    def window(stream):
        with h5py.File(stream, "r") as file:
            return file["field"][900:1100, 300:500]

    np.testing.assert_array_equal(look(place, window), field[900:1100, 300:500])
    assert server.served < (server.folder / "a.h5").stat().st_size / 4


def test_a_look_that_hides_a_gap_begins_anew(server):
    """Libraries swallow errors of what they take for optional: such a look does not count."""
    content = os.urandom(3_000_000)
    (server.folder / "a.bin").write_bytes(content)

    def careless(stream):
        stream.seek(2_500_000)
        try:
            return stream.read(4)
        except OSError:
            return b"none"

    assert look(Place(f"{server.url}/a.bin"), careless) == content[2_500_000:2_500_004]


# -- copies ------------------------------------------------------------------------------------------------------------


def test_an_interrupted_copy_is_never_read(server, monkeypatch):
    """A server that breaks off: every try fails, no file takes the name, and the next run reads the whole."""
    (server.folder / "a.bin").write_bytes(os.urandom(3_000_000))
    monkeypatch.setattr(copies, "_PAUSE_S", 0.0)
    server.break_off = 1_000_000
    mine = Copies()
    place = Place(f"{server.url}/a.bin")
    with pytest.raises(InputError, match="cannot be fetched"), mine.local(place):
        pass
    assert mine.held_bytes == 0
    server.break_off, server.breaks_left = 1_000_000, 2
    with mine.local(place) as path:
        assert path.read_bytes() == (server.folder / "a.bin").read_bytes()
        assert path.name == "a.bin"
    mine.clear()
    assert not path.exists()


def test_a_copy_on_its_way_has_another_name(server, tmp_path):
    """Whatever ends the process meanwhile, no file of the final name is a part of one."""
    (server.folder / "a.bin").write_bytes(os.urandom(3_000_000))
    (tmp_path / "copy").mkdir()
    seen = []

    def halfway():
        for _ in range(500):
            if names := [path.name for path in (tmp_path / "copy").iterdir()]:
                return seen.extend(names)
            time.sleep(0.01)
        return None

    server.halfway = halfway
    copies.fetch(Place(f"{server.url}/a.bin"), tmp_path / "copy" / "a.bin")
    assert seen == ["a.bin.part"]
    assert (tmp_path / "copy" / "a.bin").read_bytes() == (server.folder / "a.bin").read_bytes()


def test_copies_are_bounded(server):
    places = []
    for n in range(6):
        (server.folder / f"{n}.bin").write_bytes(os.urandom(100_000))
        places.append(Place(f"{server.url}/{n}.bin"))
    mine = Copies(limit_bytes=250_000)
    with mine.local(places[0]) as used:
        for place in places[1:]:
            with mine.local(place):
                assert mine.held_bytes <= 350_000
        assert used.exists()
    assert mine.held_bytes == 200_000
    server.served = 0
    with mine.local(places[0]), mine.local(places[5]):
        assert server.served == 0
    with mine.local(places[0], once=True) as path:
        pass
    assert not path.exists()
    mine.clear()
    assert mine.held_bytes == 0


def test_a_changed_file_is_copied_again_when_asked(server):
    path, mine = server.folder / "a.bin", Copies()
    place = Place(f"{server.url}/a.bin")
    contents = []
    for content in (b"one", b"two"):
        path.write_bytes(content)
        for _ in range(2):
            with mine.local(place) as copy:
                contents.append(copy.read_bytes())
            mine.recheck()
    assert contents == [b"one", b"one", b"two", b"two"]
    mine.clear()


def test_a_file_that_is_read_once_goes_at_once(server):
    path = KINDS["smap_l4"].write(server.folder, 0)
    with hdf5.open_hdf5(Item(Place(f"{server.url}/{path.name}"))) as file:
        assert "Geophysical_Data" in file
        assert COPIES.held_bytes == path.stat().st_size
    assert COPIES.held_bytes == 0


def test_a_full_disk_is_no_fault_of_the_file(tmp_path):
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/full/a.bin", bytes(3_000_000))
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        with pytest.raises(ResourceError, match="TMPDIR"):
            copies.fetch(Place("memory://full/a.bin"), small / "a.bin")
    finally:
        subprocess.run(["umount", small], check=True)


def test_what_a_killed_process_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import os, signal, fsspec; fsspec.filesystem('memory').pipe_file('/k/a.bin', b'1');"
        "from smdown.sources.copies import local; from smdown.sources.places import Place\n"
        "with local(Place('memory://k/a.bin')): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"TMPDIR": str(tmp_path)}, check=False)
    left = list(tmp_path.glob("smdown-copies-*"))
    assert len(left) == 1
    fsspec.filesystem("memory").pipe_file("/k/b.bin", b"2")
    mine = Copies()
    with mine.local(Place("memory://k/b.bin")) as path:
        assert not left[0].exists()
        assert Path(path).read_bytes() == b"2"
    shutil.rmtree(path.parent.parent)


def test_folders_patterns_and_files(publish, tmp_path):
    for name in ("a/one.h5", "a/b/two.h5", "a/three.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    url = publish(tmp_path / "in").rstrip("/")
    names = lambda path: [place.name for place in find_places([path], (".h5",))]  # noqa: E731
    assert sorted(names(f"{url}/")) == ["one.h5", "two.h5"]
    assert names(f"{url}/a/*.h5") == ["one.h5"]
    assert names(f"{url}/a/one.h5") == ["one.h5"]
    if not url.startswith("http"):
        assert sorted(names(url)) == ["one.h5", "two.h5"]
    with local(Place(f"{url}/a/one.h5"), once=True) as path:
        assert path.read_bytes() == b"x"
