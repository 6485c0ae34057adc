"""Scenes of several zones and grids to one cube: a known ground, without a seam."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window
from smdown.sources import IngestContext, check
from smdown.sources.config import ReflectanceConfig
from smdown.sources.regrid import offset_px, regrid
from tests.sources import optical
from tests.sources.fabricate import ingest
from tests.sources.optical import BANDS, Place, wanted

WEST, EAST = "EPSG:32614", "EPSG:32615"
PIXEL = 300.0
RESAMPLED = 1.2e-3
"""What clamping takes off the crests of waves of 30 pixels and amplitude 0.1; the nearest pixel is off by 0.02."""


@pytest.fixture
def context(tmp_path):
    """Five cells across the border of two zones, 96 W; three of them in the western one."""
    cells = Window(300, 303, 896, 901)
    return IngestContext(
        nested=NestedGrid(EASE2_M09, cells, 300), start="2020-04-01", end="2020-04-04", out=str(tmp_path / "out")
    )


def sides(context, overlap=0.02):
    """The ground of each zone, in its own projection, with some of the other's."""
    west, south, east, north = context.lonlat
    south, north = south - 0.15, north + 0.15
    return (
        Place(context, WEST, PIXEL, (west - 0.15, south, -96 + overlap, north)),
        Place(context, EAST, PIXEL, (-96 - overlap, south, east + 0.15, north)),
    )


def config(folder, **options):
    return ReflectanceConfig(path=str(folder), product="hls", composite_days=1, **options)


def residuals(url):
    cube = open_cube(url)
    return cube, {b: cube.read(b, cube.raster.window, 0) - wanted(cube, b) for b in BANDS}


def east_of(cube, lon):
    return optical.lonlat_of(cube.raster.x, cube.raster.y, cube.raster.crs)[0] > lon


def test_two_zones_make_one_ground_without_a_seam(tmp_path, context):
    for place, tile in zip(sides(context), ("14RQV", "15RTQ"), strict=True):
        optical.hls(tmp_path, place, "2020092", tile=tile)
    receipt, url = ingest(config(tmp_path), context)
    cube, off = residuals(url)
    assert cube.raster.crs == WEST  # three cells of five
    assert any("1 of 2 scenes are resampled to pixels of 300 in WGS 84 / UTM zone 14N" in n for n in receipt.notes)
    other = east_of(cube, -95.97)
    assert 0.1 < other.mean() < 0.9
    for band in BANDS:
        assert np.isfinite(off[band]).mean() > 0.98
        assert np.nanmax(np.abs(off[band][~other])) < 1.1e-4
        assert np.nanmax(np.abs(off[band][other])) < RESAMPLED
        assert np.nanmean(np.abs(off[band])) < 1e-4
        inside = off[band][8:-8, 8:-8]
        assert np.isfinite(inside).all()
    shifted = np.abs(off["nir"][:, 1:] - off["nir"][:, :-1])
    assert np.nanmax(shifted) < 2 * RESAMPLED  # no step anywhere, the border included


def test_any_window_is_a_window_of_the_whole(tmp_path, context, monkeypatch):
    for place, tile in zip(sides(context), ("14RQV", "15RTQ"), strict=True):
        optical.hls(tmp_path, place, "2020092", tile=tile)
    _, url = ingest(config(tmp_path), context, "whole")
    one = open_cube(url)
    monkeypatch.setattr("smdown.sources.prepared._CHUNK", 8)
    _, url = ingest(config(tmp_path), context, "parts")
    many = open_cube(url)
    assert many.spec.shard < one.raster.width // 3
    for band in BANDS:
        np.testing.assert_array_equal(
            one.read(band, one.raster.window, 0), many.read(band, many.raster.window, 0)
        )  # fmt: skip


def test_clear_pixels_of_the_common_grid_come_first(tmp_path, context):
    """Where both zones see the same day, the own pixels count, and the other zone's where a cloud hides them."""
    places = sides(context, overlap=0.2)
    cloud = np.full(places[0].shape(PIXEL), 64)
    cloud[:, -80:] = 66
    optical.hls(tmp_path / "a", places[1], "2020092", tile="15RTQ")
    optical.hls(tmp_path / "b", places[0], "2020092", cloud, tile="14RQV")
    _, off = residuals(ingest(config(tmp_path), context)[1])
    for band in BANDS:
        assert np.nanmax(np.abs(off[band])) < RESAMPLED
        assert np.isfinite(off[band]).mean() > 0.98


def test_clouds_of_another_zone_leave_no_trace(tmp_path, context):
    _, place = sides(context, overlap=1.0)
    folder = optical.hls(tmp_path, place, "2020092", tile="15RTQ")
    other, _ = sides(context, overlap=-0.3)
    optical.hls(tmp_path, other, "2020092", tile="14RQV")
    clear = residuals(ingest(config(tmp_path), context, "clear")[1])
    mask = np.full(place.shape(PIXEL), 64)
    mask[::9, ::7] = 66
    counts = np.rint(place.reflectance("nir", PIXEL) * 1e4)
    counts[mask == 66] = 9000
    place.write(folder / f"{folder.name}.B05.tif", counts.astype("i2"), PIXEL, nodata=-9999)
    place.write(folder / f"{folder.name}.Fmask.tif", mask.astype("u1"), PIXEL, nodata=255)
    _, cloudy = residuals(ingest(config(tmp_path), context, "cloudy")[1])
    gone = np.isnan(cloudy["nir"])
    assert 0.005 < gone.mean() < 0.05
    assert np.nanmax(np.abs(cloudy["nir"])) < 0.01  # a cloud's own weight beside it would be some 0.05
    assert clear[0].raster == open_cube(str(tmp_path / "out" / "cloudy.zarr")).raster


def test_grids_that_do_not_line_up(tmp_path, context):
    """Landsat's pixels have their centres where others have their corners."""
    west, south, east, north = context.lonlat
    box = west - 0.2, south - 0.2, east + 0.2, north + 0.2
    place, half = Place(context, WEST, PIXEL, box), Place(context, WEST, PIXEL, box)
    half.x0, half.y0 = half.x0 + PIXEL / 2, half.y0 + PIXEL / 2
    optical.hls(tmp_path, place, "2020092")
    optical.hls(tmp_path, place, "2020093", sensor="S30")
    optical.hls(tmp_path, half, "2020094")
    receipt, url = ingest(config(tmp_path), context)
    cube = open_cube(url)
    assert any("1 of 3 scenes are resampled" in note for note in receipt.notes)
    out = cube.read("red", cube.raster.window, 2)
    assert np.nanmax(np.abs(out - wanted(cube, "red"))) < RESAMPLED
    assert np.isfinite(out).all()


def test_bands_and_mask_of_one_place(tmp_path, context):
    place, other = sides(context)
    folder = optical.hls(tmp_path, place, "2020092")
    other.write(folder / f"{folder.name}.Fmask.tif", np.zeros(other.shape(PIXEL), "u1"), PIXEL)
    with pytest.raises(InputError, match=r"differ in extent .*must be of one place"):
        check({"optical": config(tmp_path)}, context)


# -- the resampling itself ---------------------------------------------------------------------------------------------

SOURCE = RasterGrid(EAST, 200_000.0, 3_500_000.0, 30.0, -30.0, 900, 800)


@pytest.fixture(scope="module")
def target():
    x, y = Transformer.from_crs(EAST, WEST, always_xy=True).transform(212_000.0, 3_486_500.0)
    return RasterGrid(WEST, round(x / 30) * 30 - 6000, round(y / 30) * 30 + 6000, 30.0, -30.0, 400, 400)


def positions(target):
    """Rows and columns of the source at each of the target's pixels, pixel by pixel."""
    x, y = Transformer.from_crs(WEST, EAST, always_xy=True).transform(*np.meshgrid(target.x, target.y))
    return (SOURCE.y0 - y) / 30, (x - SOURCE.x0) / 30


def test_positions_are_exact(target):
    """A ramp shows the position that a pixel was read at; the cubic reproduces it."""
    job = regrid(SOURCE, target, target.window)
    need = job.need
    assert SOURCE.window.expand(3).contains(need)
    rows, cols = positions(target)
    for axis, exact in ((0, rows), (1, cols)):
        ramp = (np.indices(need.shape)[axis] + 0.5).astype("f4")
        start = (need.y0, need.x0)[axis]
        np.testing.assert_allclose(job(ramp) + start, exact, atol=1e-3)


@given(
    st.integers(0, 300), st.integers(0, 300), st.integers(1, 100), st.integers(1, 100), st.sampled_from([30.0, 60.0])
)
def test_windows_of_a_warp_are_those_of_the_whole(target, y, x, height, width, pixel):
    grid = RasterGrid(WEST, target.x0, target.y0, pixel, -pixel, 400, 400)
    rng = np.random.default_rng(0)
    field = rng.uniform(0, 1, SOURCE.shape).astype("f4")
    field[rng.uniform(size=SOURCE.shape) < 0.1] = np.nan

    def made(window):
        job = regrid(SOURCE, grid, window)
        part, out = job.need.intersect(SOURCE.window), np.full(job.need.shape, np.nan, "f4")
        if part is not None:
            out[part.relative_to(job.need).slices] = field[part.slices]
        return job(out)

    window = Window(y, y + height, x, x + width)
    np.testing.assert_array_equal(made(window), made(Window(0, 400, 0, 400))[window.slices])


@given(st.integers(-50, 50), st.integers(-50, 50), st.floats(-0.009, 0.009))
def test_aligned_grids_shift(rows, cols, slip):
    target = RasterGrid(EAST, SOURCE.x0 + (cols + slip) * 30, SOURCE.y0 - rows * 30, 30.0, -30.0, 100, 100)
    assert offset_px(SOURCE, target) == (rows, cols)
    assert regrid(SOURCE, target, Window(0, 9, 0, 9)).need == Window(rows, rows + 9, cols, cols + 9)
    off = RasterGrid(EAST, SOURCE.x0 + (cols + 0.5) * 30, SOURCE.y0, 30.0, -30.0, 100, 100)
    assert offset_px(SOURCE, off) is None
