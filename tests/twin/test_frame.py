"""Where things lie: the block of cells, its projections, and fields sampled on other grids."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Proj, Transformer

from smdown.errors import GridError
from smdown.grid import EASE2_M09
from smdown.twin.fields import Component, gaussian_field, make_sampler, sample_rows_columns, stream
from smdown.twin.frame import make_frame, parallel_scale
from smdown.twin.optical import tile_name


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.floats(-170, 170),
    st.floats(-70, 70),
)
def test_the_block_is_the_one_nearest_the_origin(cells, lon, lat):
    frame = make_frame(cells, (lon, lat))
    assert frame.cells.shape == cells
    x, y = Transformer.from_crs(4326, 6933, always_xy=True).transform(lon, lat)
    raster = frame.grid.raster
    away_x = raster.x0 + raster.dx * raster.width / 2 - x
    away_y = raster.y0 + raster.dy * raster.height / 2 - y
    assert max(abs(away_x), abs(away_y)) <= EASE2_M09.cell / 2 + 1e-3


@pytest.mark.parametrize("origin", [(-180.0, 10.0), (10.0, 84.9), (float("nan"), 0.0)])
def test_a_block_over_the_edge_is_refused(origin):
    with pytest.raises(GridError, match=r"got .*; (move the origin|longitude first)|longitude first"):
        make_frame((4, 4), origin)


def test_places_and_coordinates_are_each_others_reverse(frame):
    rows, columns = np.array([0.0, 10.25, 700.0]), np.array([3.0, 400.5, 741.0])
    lat, lon = frame.geographic(rows, columns)
    back_rows, back_columns = frame.place(lon, lat)
    np.testing.assert_allclose(back_rows, rows, atol=1e-3)
    np.testing.assert_allclose(back_columns, columns, atol=1e-3)
    exact = Transformer.from_crs(6933, 4326, always_xy=True).transform(
        frame.grid.x_centres(frame.window.x0, frame.window.x0 + 1),
        frame.grid.y_centres(frame.window.y0, frame.window.y0 + 1),
    )
    np.testing.assert_allclose((frame.lon[0], frame.lat[0]), np.ravel(exact), atol=1e-9)


@pytest.mark.parametrize("lat", [-60.0, -33.0, 0.0, 30.0, 52.0])
def test_scale_of_the_projection(lat):
    factors = Proj("EPSG:6933").get_factors(0.0, lat)
    np.testing.assert_allclose(parallel_scale(np.array([lat]))[0], factors.parallel_scale, rtol=1e-6)
    np.testing.assert_allclose(1 / parallel_scale(np.array([lat]))[0], factors.meridional_scale, rtol=1e-6)


def test_pixels_have_their_size_on_the_ground(frame):
    middle = frame.shape[0] // 2
    _, _, north_south = Geod(ellps="WGS84").inv(frame.lon[0], frame.lat[middle], frame.lon[0], frame.lat[middle + 1])
    _, _, east_west = Geod(ellps="WGS84").inv(frame.lon[0], frame.lat[middle], frame.lon[1], frame.lat[middle])
    np.testing.assert_allclose((north_south, east_west), frame.spacing, rtol=1e-3)


@pytest.mark.parametrize("origin", [(-98.0, 35.0), (-100.1, 60.0), (20.9, -33.0)])
def test_sampling_on_utm_hits_the_place_within_a_hundredth_pixel(origin):
    frame = make_frame((2, 2), origin)
    x, y = Transformer.from_crs(4326, frame.utm, always_xy=True).transform(*frame.centre)
    xs, ys = x + 30.0 * np.arange(-300, 300), y - 30.0 * np.arange(-250, 250)
    sampler = make_sampler((500, 600), xs, ys, frame.place_utm)
    rows = np.broadcast_to(np.arange(frame.shape[0], dtype=np.float32)[:, None], frame.shape)
    columns = np.broadcast_to(np.arange(frame.shape[1], dtype=np.float32), frame.shape)
    grid_x, grid_y = np.meshgrid(xs, ys)
    want_y, want_x = frame.place_utm(grid_x, grid_y)
    for field, want in ((rows, want_y), (columns, want_x)):
        got = sampler(np.ascontiguousarray(field))
        seen = np.isfinite(got)
        assert seen.mean() > 0.5
        np.testing.assert_allclose(got[seen], want[seen], atol=0.01)


def test_sampling_beyond_the_field_gives_nan():
    field = np.arange(12, dtype=np.float32).reshape(3, 4)
    got = sample_rows_columns(field, np.array([-0.1, 0.0, 1.5, 2.0, 2.1]), np.array([0.0, 2.5, 3.0]))
    assert np.isnan(got[[0, 4]]).all()
    np.testing.assert_allclose(got[1:4], np.array([[0, 2.5, 3], [6, 8.5, 9], [8, 10.5, 11]]), rtol=1e-6)


@pytest.mark.parametrize(
    ("lon", "lat", "epsg", "name"),
    [
        (-97.52, 35.47, 32614, "T14SPE"),  # Oklahoma City
        (2.35, 48.86, 32631, "T31UDQ"),  # Paris
        (18.42, -33.92, 32734, "T34HBH"),  # Cape Town
        (151.21, -33.87, 32756, "T56HLH"),  # Sydney
    ],
)
def test_military_grid_tiles(lon, lat, epsg, name):
    assert tile_name(lon, lat, f"EPSG:{epsg}") == name


@pytest.mark.parametrize("length", [200.0, 600.0])
def test_random_fields_have_the_variance_and_the_correlation_asked_for(length):
    fields = [gaussian_field(stream(s, "x"), (500, 600), (31.7, 28.4), [Component(length, 1.0)]) for s in range(6)]
    variance = np.mean([f.var() for f in fields])
    assert 0.8 < variance < 1.15
    lag = round(length / 28.4)
    got = np.mean([(f[:, lag:] * f[:, :-lag]).mean() for f in fields]) / variance
    want = (1 + lag * 28.4 / length) * math.exp(-lag * 28.4 / length)
    assert abs(got - want) < 0.08


def test_streams_do_not_depend_on_each_other():
    first = stream(0, "a").random(3)
    stream(0, "b").random(100)
    np.testing.assert_array_equal(stream(0, "a").random(3), first)
    assert not np.array_equal(stream(0, "b").random(3), first)
    assert not np.array_equal(stream(1, "a").random(3), first)
