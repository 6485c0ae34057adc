import h5py
import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import Window
from smdown.sources import check
from smdown.sources.config import SmapL4Config
from tests.sources.fabricate import CELLS, ingest, smap_name, write_smap

SHAPE = CELLS.shape


def day_of_files(folder, day, values, hours=(1, 4, 7, 10, 13, 16, 19, 22), **options):
    for hour, value in zip(hours, values, strict=True):
        write_smap(folder / smap_name(day, hour), np.full(SHAPE, value, "f4"), **options)


def test_daily_mean_of_eight_files(tmp_path, context):
    values = np.linspace(0.1, 0.45, 8)
    day_of_files(tmp_path / "in", "2020-04-02", values)
    receipt, url = ingest(SmapL4Config(path=str(tmp_path / "in")), context)
    cube = open_cube(url)
    assert cube.raster.shape == (SHAPE[0] + 4, SHAPE[1] + 4)
    assert cube.nested.cells == CELLS.expand(2)
    inner = cube.read("sm_surface", Window(2, 5, 2, 6))
    assert inner.shape == (1, *SHAPE)
    np.testing.assert_allclose(inner, values.mean(), rtol=1e-6)
    assert np.isnan(cube.read("sm_surface", Window(0, 2, 0, 8))).all()
    assert [str(t)[:10] for t in cube.times] == ["2020-04-02"]
    assert any("1 days" in note for note in receipt.notes)


def test_fills_and_limits_stay_out_of_the_mean(tmp_path, context):
    first, second = np.full(SHAPE, 0.2, "f4"), np.full(SHAPE, 0.4, "f4")
    first[0, 0], first[0, 1], first[0, 2], first[0, 3] = -9999, 0.95, np.nan, np.inf
    second[1, 1] = first[1, 1] = -9999
    write_smap(tmp_path / smap_name("2020-04-01", 1), first)
    write_smap(tmp_path / smap_name("2020-04-01", 4), second)
    _, url = ingest(SmapL4Config(path=str(tmp_path / "*.h5")), context)
    out = open_cube(url).read("sm_rootzone", Window(2, 5, 2, 6), 0)
    np.testing.assert_allclose(out[0], 0.4, rtol=1e-6)
    assert np.isnan(out[1, 1])
    np.testing.assert_allclose(out[2], 0.3, rtol=1e-6)


def test_latest_version_of_a_file_counts(tmp_path, context):
    write_smap(tmp_path / smap_name("2020-04-01", 1, version=1), np.full(SHAPE, 0.1))
    write_smap(tmp_path / smap_name("2020-04-01", 1, version=2), np.full(SHAPE, 0.3))
    receipt, url = ingest(SmapL4Config(path=str(tmp_path)), context)
    assert open_cube(url).read("sm_surface", Window(3, 4, 3, 4), 0)[0, 0] == pytest.approx(0.3)
    assert any("older versions" in note for note in receipt.notes)


def test_file_of_more_cells_is_cut(tmp_path, context):
    wide = CELLS.expand(10)
    rows, cols = np.mgrid[wide.y0 : wide.y1, wide.x0 : wide.x1]
    write_smap(tmp_path / smap_name("2020-04-01", 1), (rows * 7 + cols) % 89 / 100, cells=wide)
    _, url = ingest(SmapL4Config(path=str(tmp_path)), context)
    kept = CELLS.expand(2)
    rows, cols = np.mgrid[kept.y0 : kept.y1, kept.x0 : kept.x1]
    out = open_cube(url).read("sm_surface", Window(0, kept.height, 0, kept.width), 0)
    np.testing.assert_allclose(out, (rows * 7 + cols) % 89 / 100, rtol=1e-6)


def test_older_layout_without_coordinates_must_be_the_whole_grid(tmp_path, context):
    path = write_smap(tmp_path / smap_name("2020-04-01", 1), np.full(SHAPE, 0.2))
    with h5py.File(path, "a") as file:
        del file["x"]
    with pytest.raises(InputError, match="no SMAP L4 file on M09"):
        check({"smap": SmapL4Config(path=str(tmp_path))}, context)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.write_bytes(b""), "empty file"),
        (lambda p: p.write_text("<!DOCTYPE html><html>login</html>"), "web page"),
        (lambda p: p.write_bytes(p.read_bytes()[:1500]), "cannot be read as HDF5"),
        (lambda p: p.write_bytes(b"\x00" * 4000), "cannot be read as HDF5"),
        (lambda p: write_smap(p, np.full(SHAPE, 0.2), shift=0.01), "off EASE-Grid"),
        (lambda p: write_smap(p, np.full(SHAPE, 0.2), cells=CELLS.shift(100, 0)), "empty extent"),
        (lambda p: write_smap(p, np.full(SHAPE, 0.2), names=("sm_surface", "other")), "Geophysical_Data/other"),
    ],
)
def test_bad_file_is_one_line_and_writes_nothing(tmp_path, context, spoil, message):
    path = write_smap(tmp_path / "in" / smap_name("2020-04-01", 1), np.full(SHAPE, 0.2))
    spoil(path)
    with pytest.raises(InputError, match=message) as caught:
        ingest(SmapL4Config(path=str(tmp_path / "in")), context)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_period_and_names(tmp_path, context):
    path = write_smap(tmp_path / smap_name("2021-04-01", 1), np.full(SHAPE, 0.2))
    with pytest.raises(InputError, match="none in the period 2020-04-01 to 2020-04-04"):
        check({"smap": SmapL4Config(path=str(path))}, context)
    path.rename(tmp_path / "renamed.h5")
    with pytest.raises(InputError, match="no time stamp"):
        check({"smap": SmapL4Config(path=str(tmp_path))}, context)
    with pytest.raises(InputError, match=r"source smap: got the path .*does not exist"):
        check({"smap": SmapL4Config(path=str(tmp_path / "nowhere"))}, context)
