"""Cubes: what is written reads back equal, through us and through plain xarray; nothing is lost or mixed silently."""

import hashlib
import itertools
import pickle
import shutil
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives xarray its `rio`
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from smdown.cubes import CubeSpec, Variable, create_cube, open_cube
from smdown.cubes import create as creating
from smdown.errors import CubeError
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window
from smdown.testing import data_objects, flip_bit, rasters, truncate, windows

GRID = NestedGrid(EASE2_M09, Window(400, 403, 1000, 1005), 10)  # 30 x 50 px; shards of 20 leave small ones at the edge
LAYER = Variable(
    "sm_surface", ("time", "y", "x"), "int16", 1e-4, "m3 m-3", "surface soil moisture", valid_range=(0.0, 0.9)
)
FLAGS = Variable("flags", ("time", "y", "x"), "uint8")
HEIGHT = Variable("elevation", units="m", standard_name="height_above_reference_ellipsoid", resampling="cubic")
SPEC = CubeSpec(
    GRID.raster, (LAYER, FLAGS, HEIGHT), ("2020-01-01", "2020-01-03"), 20, 10, "abc", {"title": "a test"}, GRID
)


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "cube.zarr")


def shards(spec=SPEC):
    rows, cols = spec.tiles
    for row in range(rows):
        for col in range(cols):
            y, x = row * spec.shard, col * spec.shard
            yield (
                (row, col),
                Window(y, min(y + spec.shard, spec.raster.height), x, min(x + spec.shard, spec.raster.width)),
            )


def fill(cube, field, *, only=None):
    """Write a whole field tile by tile, each with its receipt."""
    for (row, col), window in shards(cube.spec):
        if only is None or (row, col) in only:
            for time in range(len(cube.times)):
                cube.write("sm_surface", field[window.slices] + 0.01 * time, window, time)
                cube.write("flags", np.full(window.shape, 1 + time, np.uint8), window, time)
            cube.write("elevation", 100 * field[window.slices], window)
            cube.commit(row, col)


@pytest.fixture
def field():
    values = np.random.default_rng(0).uniform(0.0, 0.6, SPEC.raster.shape).astype(np.float32)
    values[3, 4] = values[25:, 40:] = np.nan
    return values


def digest(url):
    files = sorted(p for p in Path(url).rglob("*") if p.is_file())
    return {str(p.relative_to(url)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_what_is_written_reads_back(url, field):
    fill(create_cube(url, SPEC), field)
    cube = open_cube(url, complete=True)
    assert cube.spec == SPEC
    assert [str(t)[:10] for t in cube.times] == list(SPEC.times)
    both = cube.read("sm_surface", cube.raster.window)
    assert both.dtype == np.float32
    np.testing.assert_allclose(both, np.stack([field, field + 0.01]), atol=0.5e-4 + 1e-7)
    np.testing.assert_array_equal(cube.read("elevation", cube.raster.window), 100 * field)
    flags = cube.read("flags", cube.raster.window, 1)
    assert flags.dtype == np.uint8
    assert (flags == 2).all()
    np.testing.assert_array_equal(cube.read("sm_surface", cube.raster.window, slice(1, 2))[0], both[1])


@settings(max_examples=60)
@given(windows(least=-15, most=45, max_side=30))
def test_a_window_that_reaches_outside_is_missing_there(prepared, window):
    cube, whole = prepared
    padded = np.pad(whole, 80, constant_values=np.nan)
    expected = padded[window.shift(80, 80).slices]
    np.testing.assert_array_equal(cube.read("elevation", window), expected)
    outside = np.pad(np.ones(cube.raster.shape, np.uint8), 80)[window.shift(80, 80).slices]
    np.testing.assert_array_equal(cube.read("flags", window, 0), outside)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    cube = create_cube(str(tmp_path_factory.mktemp("prepared") / "c.zarr"), SPEC)
    values = np.random.default_rng(1).uniform(0.0, 0.6, SPEC.raster.shape).astype(np.float32)
    fill(cube, values)
    return cube, 100 * values


def test_plain_xarray_and_rioxarray_read_it(url, field):
    fill(create_cube(url, SPEC), field)
    with xr.open_zarr(url) as data:
        np.testing.assert_allclose(data.sm_surface[0], field, atol=0.5e-4 + 1e-7)
        np.testing.assert_array_equal(data.elevation, 100 * field)
        assert data.flags.dtype == np.uint8
        assert list(data.time.values) == list(np.array(SPEC.times, "datetime64[ns]"))
        assert data.rio.crs.to_epsg() == 6933
        raster = GRID.raster
        bounds = (raster.x0, raster.y0 + 30 * raster.dy, raster.x0 + 50 * raster.dx, raster.y0)
        assert data.rio.bounds() == pytest.approx(bounds, abs=1e-6)
        assert data.sm_surface.rio.encoded_nodata == -32768
        assert np.isnan(data.elevation.rio.nodata)
        assert data.sm_surface.attrs["units"] == "m3 m-3"
        assert data.elevation.attrs["standard_name"] == HEIGHT.standard_name
        np.testing.assert_array_equal(data.x, GRID.x_centres(GRID.window.x0, GRID.window.x1))
        np.testing.assert_array_equal(data.y, GRID.y_centres(GRID.window.y0, GRID.window.y1))


def test_coordinates_of_cubes_on_other_cells_align_exactly(tmp_path):
    part = NestedGrid(EASE2_M09, Window(401, 403, 1002, 1005), GRID.ratio)
    urls = []
    for name, grid in (("whole", GRID), ("part", part)):
        urls.append(str(tmp_path / name))
        create_cube(urls[-1], replace(SPEC, raster=grid.raster, nested=grid))
    with xr.open_zarr(urls[0]) as whole, xr.open_zarr(urls[1]) as cut:
        np.testing.assert_array_equal(whole.x[20:], cut.x)
        np.testing.assert_array_equal(whole.y[10:], cut.y)


def test_a_geographic_cube_reads_back_too(url):
    raster = RasterGrid("EPSG:4326", -98.0, 35.0, 0.25, -0.25, 8, 12)
    create_cube(url, CubeSpec(raster, (HEIGHT,), shard=8, chunk=4)).write("elevation", np.ones((8, 12)), raster.window)
    with xr.open_zarr(url) as data:
        assert data.rio.crs.to_epsg() == 4326
        assert data.rio.bounds() == (-98.0, 33.0, -95.0, 35.0)
        assert data.x.attrs["standard_name"] == "longitude"


def test_a_write_is_whole_shards_or_nothing(url):
    """Every window between nine rows and nine columns: shards of 20 px end at 20, 40 and at the raster's own edges."""
    cube = create_cube(url, replace(SPEC, variables=(HEIGHT,)))
    untouched = digest(url)
    edges = (-20, 0, 5, 20, 25, 30, 40, 50, 60)
    aligned = []
    for y0, y1, x0, x1 in itertools.product(edges, repeat=4):
        if y0 < y1 and x0 < x1:
            if {y0, x0} <= {0, 20, 40} and y1 in {20, 30} and x1 in {20, 40, 50}:
                aligned.append(Window(y0, y1, x0, x1))
                continue
            with pytest.raises(CubeError, match="whole shards"):
                cube.write("elevation", np.ones((y1 - y0, x1 - x0)), Window(y0, y1, x0, x1))
    assert digest(url) == untouched
    assert len(aligned) == 3 * 6
    for window in aligned:
        cube.write("elevation", np.ones(window.shape), window)
    assert (cube.read("elevation", cube.raster.window) == 1).all()


@pytest.mark.parametrize(("call", "message"), [
    (("nonsense", (20, 20), Window(0, 20, 0, 20), 0), "no variable 'nonsense'; it has sm_surface, flags, elevation"),
    (("sm_surface", (20, 10), Window(0, 20, 0, 20), 0), "shape"),
    (("sm_surface", (20, 20), Window(0, 20, 0, 20), None), "no time"),
])  # fmt: skip
def test_a_write_that_cannot_be_meant_is_refused_before_any_byte(url, call, message):
    cube = create_cube(url, SPEC)
    before = digest(url)
    name, shape, window, time = call
    with pytest.raises(CubeError, match=message):
        cube.write(name, np.ones(shape), window, time)
    assert digest(url) == before


def test_another_fingerprint_is_refused_and_the_difference_named(url):
    create_cube(url, SPEC)
    other = replace(SPEC, fingerprint="zzz", attrs={"title": "another"})
    with pytest.raises(CubeError, match=r'title was "a test", is "another" \(fingerprint abc, now zzz\); restore'):
        create_cube(url, other, resume=True)
    with pytest.raises(CubeError, match="exists already"):
        create_cube(url, SPEC)
    assert create_cube(url, other, overwrite=True).spec.fingerprint == "zzz"


@pytest.mark.parametrize(("change", "what"), [
    ({"times": ("2020-01-01",)}, "times"), ({"shard": 10}, "shards"), ({"variables": (LAYER,)}, "variables"),
    ({"raster": replace(GRID.raster, x0=0.0), "nested": None}, "grid"),
])  # fmt: skip
def test_the_same_fingerprint_on_another_layout_is_refused(url, change, what):
    create_cube(url, SPEC)
    with pytest.raises(CubeError, match=f"other {what}"):
        create_cube(url, replace(SPEC, **change), resume=True)


def test_a_resumed_cube_ends_in_the_same_bytes(tmp_path, field):
    straight, broken = str(tmp_path / "a"), str(tmp_path / "b")
    fill(create_cube(straight, SPEC), field)
    fill(create_cube(broken, SPEC), field, only={(0, 0), (1, 2)})
    shutil.copy(tmp_path / "b/flags/zarr.json", tmp_path / "b/flags/zarr.json.0123.partial")  # a killed writer's
    resumed = create_cube(broken, SPEC, resume=True)
    assert resumed.done() == {(0, 0), (1, 2)}
    assert not resumed.complete
    fill(resumed, field, only={place for place, _ in shards()} - resumed.done())
    assert resumed.complete
    assert digest(straight) == digest(broken)


@pytest.mark.parametrize("stage", ["_create_variable", "_create_coordinates", "_group_attrs"])
def test_a_cube_whose_creation_was_cut_short_is_made_again(url, monkeypatch, stage):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(creating, stage, killed)
        with pytest.raises(KeyboardInterrupt):
            create_cube(url, SPEC)
    with pytest.raises(CubeError, match="not a finished cube"):
        open_cube(url)
    cube = create_cube(url, SPEC, resume=True)
    assert cube.spec == SPEC
    assert cube.done() == set()


def test_what_is_not_ours_is_never_removed(tmp_path):
    foreign = tmp_path / "foreign.zarr"
    xr.Dataset({"a": ("x", np.arange(3))}).to_zarr(foreign, zarr_format=3, consolidated=False)
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "thesis.txt").write_text("years of work")
    before = digest(tmp_path)
    for place in (foreign, papers):
        with pytest.raises(CubeError, match="cube"):
            create_cube(str(place), SPEC, resume=True)
    assert digest(tmp_path) == before


def test_a_damaged_identity_is_an_error_and_nothing_is_removed(url, field):
    fill(create_cube(url, SPEC), field)
    truncate(Path(url) / "zarr.json", 0.5)
    before = digest(url)
    with pytest.raises(CubeError, match="cannot be read as a cube"):
        create_cube(url, SPEC, resume=True)
    assert digest(url) == before


def test_a_tile_without_receipt_is_missing_and_not_done(url, field):
    cube = create_cube(url, SPEC)
    fill(cube, field, only={(0, 0)})
    cube.write("elevation", np.ones((20, 20)), Window(0, 20, 20, 40))  # written, but killed before its receipt
    assert cube.done() == {(0, 0)}
    assert np.isnan(cube.read("elevation", Window(20, 30, 0, 20))).all()
    with pytest.raises(CubeError, match="not finished"):
        open_cube(url, complete=True)
    cube.finish()
    assert open_cube(url, complete=True).complete


def test_no_cube_is_a_clear_error(url):
    with pytest.raises(CubeError, match="there is no cube"):
        open_cube(url)
    left = Path(url) / f"zarr.{uuid.uuid4().hex}.partial"
    left.parent.mkdir()
    left.touch()  # all that a writer left that was killed while it wrote its first object
    with pytest.raises(CubeError, match="there is no cube"):
        open_cube(url)
    assert create_cube(url, SPEC, resume=True).done() == set()


def test_every_flipped_bit_in_a_shard_is_an_error_and_never_another_value(url, field):
    fill(create_cube(url, SPEC), field)
    victim = data_objects(url, "elevation")[0]
    sound = victim.read_bytes()
    for position in np.linspace(0, 1, 60, endpoint=False):
        flip_bit(victim, position, bit=int(position * 60) % 8)
        with pytest.raises(Exception, match=r"(?i)checksum|crc|decod|blosc|index|invalid|error"):
            open_cube(url).read("elevation", Window(0, 20, 0, 20))
        victim.write_bytes(sound)
    np.testing.assert_array_equal(open_cube(url).read("elevation", Window(0, 20, 0, 20)), 100 * field[:20, :20])


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.7, 0.99])
def test_a_truncated_shard_is_an_error(url, field, fraction):
    fill(create_cube(url, SPEC), field)
    truncate(data_objects(url, "sm_surface")[0], fraction)
    with pytest.raises(Exception):  # noqa: B017, PT011 - zarr raises what its codec happens to meet first
        open_cube(url).read("sm_surface", Window(0, 20, 0, 20), 0)


def test_any_fsspec_url_works(field):
    cube = create_cube("memory://smdown-test/cube.zarr", SPEC, overwrite=True)
    fill(cube, field)
    again = create_cube("memory://smdown-test/cube.zarr", SPEC, resume=True)
    assert again.complete
    np.testing.assert_array_equal(again.read("elevation", again.raster.window), 100 * field)
    with pytest.raises(CubeError, match="exists already"):
        create_cube("memory://smdown-test/cube.zarr", SPEC)


def test_a_cube_travels_to_a_worker_by_its_url(url, field):
    fill(create_cube(url, SPEC), field)
    twin = pickle.loads(pickle.dumps(open_cube(url)))
    np.testing.assert_array_equal(twin.read("elevation", twin.raster.window), 100 * field)


def test_a_shard_is_one_object_and_checksummed(url, field):
    fill(create_cube(url, SPEC), field)
    assert len(data_objects(url, "elevation")) == 2 * 3
    array = zarr.open_array(f"{url}/elevation", mode="r")
    assert array.shards == (20, 20)
    assert array.chunks == (10, 10)
    assert "crc32c" in str(array.metadata.to_dict()["codecs"]).lower()


@given(
    values=rasters((9, 11), 0.0, 0.9),
    scale=st.sampled_from((1e-4, 1e-3, 0.01)),
    dtype=st.sampled_from(("int16", "uint16")),
)
def test_packing_keeps_values_within_half_a_count(values, scale, dtype):
    variable = Variable("v", dtype=dtype, scale=scale)
    back = variable.unpack(variable.pack(values))
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    good = np.isfinite(values)
    assert (np.abs(back[good].astype(float) - values[good]) <= scale / 2 + 1e-7).all()
    np.testing.assert_array_equal(variable.pack(back), variable.pack(values))


@pytest.mark.parametrize(("dtype", "least", "most"), [
    ("int16", -3.2767, 3.2767), ("uint16", 0.0, 6.5534), ("uint8", 0.0, 0.0254),
])  # fmt: skip
def test_packing_reaches_both_ends_of_its_type_and_refuses_what_is_beyond(dtype, least, most):
    variable = Variable("v", dtype=dtype, scale=1e-4)
    ends = np.array([[least, most]])
    np.testing.assert_allclose(variable.unpack(variable.pack(ends)), ends, atol=1e-6)
    for beyond in (least - 1e-4, most + 1e-4, -9999.0):
        with pytest.raises(CubeError, match="beyond"):
            variable.pack(np.array([[beyond]]))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: replace(SPEC, chunk=15), "whole chunks"),
    (lambda: replace(SPEC, times=("2020-01-03", "2020-01-01")), "unsorted"),
    (lambda: replace(SPEC, times=()), "no times"),
    (lambda: replace(SPEC, nested=GRID.at(20)), "nested grid"),
    (lambda: Variable("v", ("x", "y")), "dimensions"),
    (lambda: Variable("v", dtype="float32", scale=0.1), "integer"),
])  # fmt: skip
def test_impossible_layouts_are_refused(make, message):
    with pytest.raises(CubeError, match=message):
        make()
