"""Longitudes from 0 to 360, from -180 to 180, and files over the seams of both: the values at a place stay the same."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from smdown.config import ExtentConfig
from smdown.cubes import open_cube
from smdown.errors import ConfigError, InputError
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window
from smdown.sources import IngestContext, check
from smdown.sources.config import NetcdfConfig, RasterConfig
from smdown.sources.turns import views
from tests.sources.fabricate import ingest, write_tif

PLACES = {"greenwich": (1920, 1936), "east": (3845, 3856), "west": (0, 11), "america": (900, 910)}
STEPS = {"corner": 0.125, "centre": 0.0}  # where the first pixel's centre lies; 0: a pixel lies on the seam


def context(tmp_path, place):
    cells = Window(800, 806, *PLACES[place])
    return IngestContext(
        nested=NestedGrid(EASE2_M09, cells, 300), start="2020-04-01", end="2020-04-02", out=str(tmp_path / "out")
    )


def truth(lon, lat):
    """A field of the place alone, continuous round the world."""
    lon, lat = np.meshgrid(np.deg2rad(lon), np.deg2rad(lat))
    return (np.cos(lon) + 0.5 * np.sin(2 * lon) + lat).astype("f4")


def assert_true(url, name, region):
    """The cube holds the field's values at its own coordinates, and covers the extent with neighbours on all sides."""
    data = xr.open_zarr(url, chunks=None)
    values = data[name].isel(time=0) if "time" in data[name].dims else data[name]
    np.testing.assert_allclose(values, truth(data.x.values, data.y.values), atol=2e-5)
    west, _, east, _ = region.lonlat
    assert data.x.values.min() < west - 0.25
    assert data.x.values.max() > east + 0.25


def netcdf(path, lon):
    lat = np.arange(3.0, -1.0, -0.25)
    field = truth(lon, lat)[None]
    coords = {
        "time": pd.to_datetime(["2020-04-01"]),
        "lat": ("lat", lat, {"units": "degrees_north"}),
        "lon": ("lon", lon, {"units": "degrees_east"}),
    }
    xr.Dataset({"pr": (("time", "lat", "lon"), field)}, coords=coords).to_netcdf(path, engine="h5netcdf")
    return NetcdfConfig(path=str(path), variables={"rain": "pr"})


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("first", STEPS)
@pytest.mark.parametrize("start", [0.0, -180.0])
def test_global_netcdf(place, first, start, tmp_path):
    region = context(tmp_path, place)
    config = netcdf(tmp_path / "in.nc", start + STEPS[first] + np.arange(1440) * 0.25)
    receipt, url = ingest(config, region)
    assert not any("covers" in note for note in receipt.notes)
    assert_true(url, "rain", region)


@pytest.mark.parametrize(
    ("place", "lon"),
    [
        ("east", np.arange(170, 190, 0.25)),
        ("west", np.arange(170, 190, 0.25)),
        ("west", np.arange(-190, -170, 0.25)),
        ("east", np.concatenate([np.arange(170, 180, 0.25), np.arange(-180, -170, 0.25)])),
        ("west", np.concatenate([np.arange(-180, -170, 0.25), np.arange(170, 180, 0.25)])),
        ("greenwich", np.concatenate([np.arange(0, 10, 0.25), np.arange(350, 360, 0.25)])),
        ("greenwich", np.arange(350, 370, 0.25)),
        ("greenwich", np.arange(0, 360.25, 0.25)),  # the first meridian again at the end
    ],
)
def test_netcdf_over_a_seam(place, lon, tmp_path):
    region = context(tmp_path, place)
    _, url = ingest(netcdf(tmp_path / "in.nc", lon), region)
    assert_true(url, "rain", region)


def geotiff(path, west, count, dx=0.25):
    lat = 3.0 - dx * (np.arange(16) + 0.5)
    write_tif(path, truth(west + dx * (np.arange(count) + 0.5), lat), west, 3.0, dx, dx, tiled=False)
    return RasterConfig(path=str(path.parent), variables={"dem": 1})


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("first", STEPS)
@pytest.mark.parametrize("start", [0.0, -180.0])
def test_global_geotiff(place, first, start, tmp_path):
    region = context(tmp_path, place)
    config = geotiff(tmp_path / "in" / "dem.tif", start + STEPS[first] - 0.125, 1440)
    receipt, url = ingest(config, region)
    assert not any("covers" in note for note in receipt.notes)
    assert_true(url, "dem", region)
    assert open_cube(url).complete


@pytest.mark.parametrize("place", ["east", "west"])
@pytest.mark.parametrize("tiles", [((170, 80),), ((-190, 80),), ((170, 40), (-180, 40)), ((170, 40), (180, 40))])
def test_geotiff_over_the_antimeridian(place, tiles, tmp_path):
    region = context(tmp_path, place)
    for west, count in tiles:
        config = geotiff(tmp_path / "in" / f"dem{west}.tif", float(west), count)
    _, url = ingest(config, region)
    assert_true(url, "dem", region)


def test_pixels_that_do_not_divide_the_circle(tmp_path):
    config = geotiff(tmp_path / "in" / "dem.tif", 170.0, 60, 0.7)
    with pytest.raises(InputError, match="beyond 180 degrees of longitude") as caught:
        check({"dem": config}, context(tmp_path, "east"))
    assert "\n" not in str(caught.value)


@given(st.integers(-720, 1440), st.integers(1, 1500), st.sampled_from([0.25, 0.5, 1.0]))
@settings(max_examples=200, deadline=None)
def test_views_show_every_column_in_its_place(start, width, dx):
    raster = RasterGrid("EPSG:4326", start * 0.25, 10.0, dx, -dx, 4, min(width, round(360 / dx)))
    if not -360 <= raster.x0 <= 360 or raster.x0 + raster.width * dx > 540:
        return
    seen = np.zeros(raster.width, dtype=bool)
    for part, first in views(raster):
        lon = part.x0 + dx * (np.arange(part.width) + 0.5)
        own = raster.x0 + dx * (np.arange(first, first + part.width) + 0.5)
        turns = (lon - own) / 360
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
        assert np.abs(lon).max() < 180 + 17 * dx
        seen[first : first + part.width] = True
    assert seen.all()


def test_a_region_over_the_antimeridian_is_refused():
    for bbox in ((170.0, -20.0, -170.0, -10.0), (170.0, -20.0, 190.0, -10.0)):
        with pytest.raises(ConfigError, match="over the antimeridian"):
            ExtentConfig(bbox=bbox).window(EASE2_M09)
    assert ExtentConfig(bbox=(170.0, -20.0, 180.0, -10.0)).window(EASE2_M09).x1 == 3856
