import itertools

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import EASE2_M09, NestedGrid
from smdown.sources import IngestContext, check
from smdown.sources.config import RasterConfig
from smdown.sources.context import transform_bounds
from tests.sources.fabricate import CELLS, ingest, write_tif

STEP = 0.01
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}


def field(height, width, seed=0):
    return np.random.default_rng(seed).normal(500, 100, (height, width)).astype("f4")


@pytest.fixture
def corner(lonlat):
    """North-west corner half a degree outside the extent, on a lattice of 0.01 degree."""
    return np.floor(lonlat[0] * 100) / 100 - 0.5, np.ceil(lonlat[3] * 100) / 100 + 0.5


def stored(url, name="elevation"):
    cube = open_cube(url)
    return cube, cube.read(name, cube.raster.window)


def whole_window(cube, west, north):
    y0 = round((north - cube.raster.y0) / -cube.raster.dy)
    x0 = round((cube.raster.x0 - west) / cube.raster.dx)
    return slice(y0, y0 + cube.raster.height), slice(x0, x0 + cube.raster.width)


def config(path, **options):
    return RasterConfig(path=str(path), variables={"elevation": 1}, **options)


def test_only_what_the_extent_needs_is_kept(tmp_path, context, corner, lonlat):
    values = field(160, 180)
    write_tif(tmp_path / "dem.tif", values, *corner, STEP, STEP)
    _, url = ingest(config(tmp_path / "dem.tif", units="m"), context)
    cube, out = stored(url)
    np.testing.assert_array_equal(out, values[whole_window(cube, *corner)])
    west, south, east, north = lonlat
    grid = cube.raster
    for gap in (
        west - grid.x0,
        grid.y0 - north,
        grid.x0 + grid.width * STEP - east,
        south - (grid.y0 - grid.height * STEP),
    ):
        assert context.margin + 8 * STEP <= gap <= context.margin + 10 * STEP
    assert grid.crs == "EPSG:4326"
    assert cube.variables["elevation"].units == "m"


def test_flipped_rows_come_out_north_up(tmp_path, context, corner):
    values = field(160, 180)
    west, north = corner
    up = write_tif(tmp_path / "up.tif", values, west, north, STEP, STEP)
    down = Affine(STEP, 0, west, 0, STEP, north - 160 * STEP)
    flipped = write_tif(tmp_path / "down.tif", values[::-1], 0, 0, 1, 1, transform=down)
    results = [stored(ingest(config(path), context, path.stem)[1]) for path in (up, flipped)]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert results[0][0].raster.y0 == pytest.approx(results[1][0].raster.y0)
    assert results[1][0].raster.dy < 0


def test_fills_never_survive(tmp_path, context, corner):
    values = field(160, 180)
    values[60, 60:66] = -9999, np.nan, np.inf, -3.4e38, 1e20, 32767
    path = write_tif(tmp_path / "dem.tif", values, *corner, STEP, STEP, nodata=-9999)
    _, url = ingest(config(path, nodata=32767, valid_range=(-500, 9000)), context)
    cube, out = stored(url)
    expected = np.where((values > -500) & (values < 9000), values, np.nan)
    np.testing.assert_array_equal(out, expected[whole_window(cube, *corner)])
    assert np.isnan(out).sum() == 6


def test_declared_scale_and_integer_nodata(tmp_path, context, corner):
    counts = np.random.default_rng(1).integers(0, 1000, (160, 180)).astype("i2")
    counts[70, 70] = -1
    path = write_tif(tmp_path / "a.tif", counts, *corner, STEP, STEP, nodata=-1)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (5.0,)
    cube, out = stored(ingest(config(path), context)[1])
    expected = np.where(counts == -1, np.nan, counts * 0.1 + 5)
    np.testing.assert_allclose(out, expected[whole_window(cube, *corner)], rtol=1e-6)


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_mosaic_of_any_tiles_is_the_whole(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("mosaic")
    context = IngestContext(
        nested=NestedGrid(EASE2_M09, CELLS, 1), start="2020-04-01", end="2020-04-01", out=str(folder / "out")
    )
    west, north = context.lonlat[0] - 0.3, context.lonlat[3] + 0.3
    values = field(120, 140, seed=data.draw(st.integers(0, 9)))
    ys = [0, *sorted(data.draw(st.sets(st.integers(1, 119), max_size=3))), 120]
    xs = [0, *sorted(data.draw(st.sets(st.integers(1, 139), max_size=3))), 140]
    overlap = data.draw(st.integers(0, 4))
    for y0, y1 in itertools.pairwise(ys):
        for x0, x1 in itertools.pairwise(xs):
            part = values[y0 : y1 + overlap, x0 : x1 + overlap]
            write_tif(folder / f"t_{y0}_{x0}.tif", part, west + x0 * STEP, north - y0 * STEP, STEP, STEP)
    cube, out = stored(ingest(config(folder / "t_*.tif"), context)[1])
    np.testing.assert_array_equal(out, values[whole_window(cube, west, north)])


def test_raster_beyond_one_shard(tmp_path, context, lonlat):
    west, north = lonlat[0] - 0.01, lonlat[3] + 0.01
    values = field(1300, 1500)
    path = write_tif(tmp_path / "fine.tif", values, west, north, 3e-4, 3e-4, tiled=True, blockxsize=256, blockysize=256)
    cube, out = stored(ingest(config(path), context)[1])
    assert cube.spec.tiles == (2, 2)
    np.testing.assert_array_equal(out, values[whole_window(cube, west, north)])


def test_variables_from_several_files(tmp_path, context, corner):
    sand, clay = field(160, 180, 1), field(160, 180, 2)
    write_tif(tmp_path / "soil" / "sand.tif", sand, *corner, STEP, STEP)
    write_tif(tmp_path / "soil" / "clay.tif", clay, *corner, STEP, STEP)
    soil = RasterConfig(variables={"sand": "soil/sand.tif", "clay": "soil/cl*.tif"}).resolved(tmp_path)
    _, url = ingest(soil, context)
    for name, values in (("sand", sand), ("clay", clay)):
        cube, out = stored(url, name)
        np.testing.assert_array_equal(out, values[whole_window(cube, *corner)])


def test_projected_raster_covers_the_rotated_extent(tmp_path, context):
    x0, y0, x1, y1 = transform_bounds("EPSG:4326", "EPSG:32614", context.lonlat)
    values = np.ones((int((y1 - y0) / 100) + 400, int((x1 - x0) / 100) + 400), "f4")
    path = write_tif(tmp_path / "utm.tif", values, x0 - 20000, y1 + 20000, 100, 100, "EPSG:32614")
    cube, out = stored(ingest(config(path), context)[1])
    assert cube.raster.crs == "EPSG:32614"
    assert cube.raster.x0 < x0 - 8000
    assert np.isfinite(out).all()


def test_wrong_or_missing_crs(tmp_path, context, corner):
    bare = write_tif(tmp_path / "bare.tif", field(160, 180), *corner, STEP, STEP, crs=None)
    with pytest.raises(InputError, match=r"states no coordinate reference system; set crs"):
        check({"dem": config(bare)}, context)
    check({"dem": config(bare, crs="EPSG:4326")}, context)
    with pytest.raises(InputError, match="names no coordinate reference system"):
        check({"dem": config(bare, crs="EPSG:99999")}, context)
    wrong = write_tif(tmp_path / "wrong.tif", field(160, 180), *corner, STEP, STEP, crs="EPSG:32614")
    with pytest.raises(InputError, match=r"empty extent: got wrong.tif covering .*set crs"):
        check({"dem": config(wrong)}, context)
    assert not (tmp_path / "out").exists()


def test_rotated_misaligned_and_missing(tmp_path, context, corner):
    west, north = corner
    turned = write_tif(
        tmp_path / "r.tif", field(9, 9), 0, 0, 1, 1, transform=Affine(STEP, 1e-3, west, 1e-3, -STEP, north)
    )
    with pytest.raises(InputError, match="rotated"):
        check({"dem": config(turned)}, context)
    write_tif(tmp_path / "m" / "a.tif", field(160, 80), west, north, STEP, STEP)
    write_tif(tmp_path / "m" / "b.tif", field(160, 80), west + 80.3 * STEP, north, STEP, STEP)
    with pytest.raises(InputError, match=r"a.tif and b.tif .* do not line up \(off by 0.3 pixel"):
        check({"dem": config(tmp_path / "m")}, context)
    with pytest.raises(InputError, match=r"got band 3 of .*, which has 1"):
        check({"dem": RasterConfig(path=str(tmp_path / "m" / "a.tif"), variables={"e": 3})}, context)
    with pytest.raises(InputError, match="no file matches"):
        check({"dem": config(tmp_path / "none*.tif")}, context)
    far = write_tif(tmp_path / "far.tif", field(9, 9), 10, 10, STEP, STEP)
    with pytest.raises(InputError, match="empty extent"):
        check({"dem": config(far)}, context)


@pytest.mark.parametrize("cut", np.linspace(0.01, 0.99, 18))
def test_truncated_raster_is_refused(tmp_path, context, corner, cut):
    path = write_tif(tmp_path / "dem.tif", field(160, 180), *corner, STEP, STEP, **TILED)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(InputError, match="download it again"):
        ingest(config(path), context)
    assert not (tmp_path / "out" / "source.zarr").exists()


def test_pixel_is_point_is_the_same_ground(tmp_path, context, corner):
    values = field(160, 180)
    area = write_tif(tmp_path / "area.tif", values, *corner, STEP, STEP)
    point = write_tif(tmp_path / "point.tif", values, *corner, STEP, STEP)
    with rasterio.open(point, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    a, b = (stored(ingest(config(path), context, path.stem)[1])[0].raster for path in (area, point))
    with rasterio.open(point) as file:
        assert (a.x0 - b.x0) == pytest.approx(corner[0] - file.transform.c, abs=1e-9)
