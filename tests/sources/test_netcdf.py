from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.sources import IngestContext, check
from smdown.sources.config import NetcdfConfig
from smdown.sources.context import transform_bounds
from tests.sources.fabricate import ingest

HOURS = pd.date_range("2020-04-01", periods=96, freq="h")


@pytest.fixture
def axes(lonlat):
    """Latitudes from north to south and longitudes from west to east, 0.1 degree, one degree outside the extent."""
    west, south, east, north = lonlat
    lat = np.round(np.arange(np.ceil(north) + 1, np.floor(south) - 1, -0.1), 3)
    lon = np.round(np.arange(np.floor(west) - 1, np.ceil(east) + 1, 0.1), 3)
    return lat, lon


def field(time, lat, lon):
    t, y, x = np.meshgrid(np.arange(time), lat, lon, indexing="ij")
    return (t * 0.01 + y * 0.1 + x * 0.001 + 30).astype("f4")


def dataset(values, time, lat, lon, name="pr", **attrs):
    coords = {
        "time": time,
        "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
        "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
    }
    return xr.Dataset({name: (("time", "lat", "lon"), values, {"units": "mm"} | attrs)}, coords=coords)


def config(path, daily="mean", **options):
    return NetcdfConfig(path=str(path), variables={"precipitation": "pr"}, daily=daily, **options)


def read(url, name="precipitation"):
    cube = open_cube(url)
    return cube, cube.read(name, cube.raster.window)


def expected(values, cube, lat, lon):
    rows = [int(np.argmin(np.abs(lat - y))) for y in cube.raster.y]
    cols = [int(np.argmin(np.abs(lon - x))) for x in cube.raster.x]
    return values[..., rows, :][..., cols]


@pytest.mark.parametrize(("daily", "factor"), [("mean", 1), ("sum", 24)])
def test_hours_become_days(tmp_path, context, axes, daily, factor):
    values = field(96, *axes)
    dataset(values, HOURS, *axes).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    _, url = ingest(config(tmp_path / "a.nc", daily), context)
    cube, out = read(url)
    days = values.reshape(4, 24, *values.shape[1:]).mean(axis=1, dtype="f8") * factor
    np.testing.assert_allclose(out, expected(days, cube, *axes), rtol=1e-5)
    assert cube.raster.dx == pytest.approx(0.1, abs=1e-9)
    assert cube.raster.dy == pytest.approx(-0.1, abs=1e-9)
    assert cube.spec.times == ("2020-04-01", "2020-04-02", "2020-04-03", "2020-04-04")
    assert cube.variables["precipitation"].units == "mm"


def variants(ds, lat, lon):
    east = (lon + 360) % 360
    order = np.argsort(east)
    yield "flipped", ds.isel(lat=slice(None, None, -1)), {}
    yield "transposed", ds.transpose("time", "lon", "lat"), {}
    yield "0-360", ds.assign_coords(lon=("lon", east, ds.lon.attrs)).isel(lon=order), {}
    yield "float32 axes", ds.assign_coords(lat=ds.lat.astype("f4"), lon=ds.lon.astype("f4")), {}
    yield "extra dimension", ds.expand_dims("number", axis=1), {}
    yield "unsorted times", ds.isel(time=[2, 0, 3, 1]), {}
    yield "repeated times", ds.isel(time=[0, 1, 1, 2, 3]), {}
    yield "noleap", ds, {"time": {"calendar": "noleap", "units": "hours since 2020-01-01", "dtype": "i4"}}
    yield "packed", ds, {"pr": {"dtype": "i2", "scale_factor": 1e-3, "add_offset": 30.0, "_FillValue": -32768}}


@pytest.mark.parametrize("index", range(9))
def test_any_layout_reads_the_same(tmp_path, context, axes, index):
    values = field(4, *axes)
    values[1, :, 3] = np.nan
    plain = dataset(values, HOURS[:4] + pd.to_timedelta(np.arange(4) * 23, "h"), *axes)
    name, ds, encoding = list(variants(plain, *axes))[index]
    ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding=encoding)
    _, url = ingest(config(tmp_path / "a.nc", "none"), context)
    cube, out = read(url)
    np.testing.assert_allclose(out, expected(values, cube, *axes), atol=6e-4 if name == "packed" else 1e-5)
    assert cube.raster.dy < 0 < cube.raster.dx


def test_region_across_greenwich_from_0_to_360(tmp_path):
    cells = Window(300, 304, 1924, 1932)
    context = IngestContext(
        nested=NestedGrid(EASE2_M09, cells, 1), start="2020-04-01", end="2020-04-04", out=str(tmp_path / "out")
    )
    north = np.ceil(context.lonlat[3])
    lat, lon = np.arange(north + 3, north - 4, -0.5), np.arange(0, 360, 0.5)
    values = field(1, lat, np.where(lon >= 180, lon - 360, lon))
    dataset(values, HOURS[:1], lat, lon).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    cube, out = read(ingest(config(tmp_path / "a.nc", "none"), context)[1])
    y, x = np.meshgrid(cube.raster.y, cube.raster.x, indexing="ij")
    np.testing.assert_allclose(out[0], y * 0.1 + x * 0.001 + 30, atol=1e-5)
    assert cube.raster.x[0] < 0 < cube.raster.x[-1]


def test_netcdf3_and_static_with_a_stray_time(tmp_path, context, axes):
    values = field(1, *axes)
    ds = dataset(values, pd.to_datetime(["2013-11-29"]), *axes, name="lsm")
    ds["pr"] = dataset(field(4, *axes), HOURS[:4], *axes).rename(time="valid_time").pr
    ds.to_netcdf(tmp_path / "a.nc", engine="scipy", format="NETCDF3_64BIT")
    both = NetcdfConfig(path=str(tmp_path / "a.nc"), variables={"mask": "lsm", "rain": "pr"}, daily="mean")
    cube, mask = read(ingest(both, context)[1], "mask")
    assert mask.shape == cube.raster.shape
    np.testing.assert_allclose(mask, expected(values[0], cube, *axes), rtol=1e-6)
    assert cube.variables["rain"].timed
    assert cube.spec.times == ("2020-04-01",)


def test_fills_and_limits(tmp_path, context, axes):
    values = field(1, *axes)
    values[0, ::3, ::2] = -9999.9
    values[0, 1::3, ::2] = np.inf
    ds = dataset(values, HOURS[:1], *axes, valid_min=np.float32(0.0), valid_max=np.float32(1e4))
    ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"pr": {"_FillValue": None}})
    cube, out = read(ingest(config(tmp_path / "a.nc"), context)[1])
    good = np.where((values >= 0) & (values <= 1e4), values, np.nan)
    np.testing.assert_array_equal(out, expected(good, cube, *axes))
    cube, out = read(ingest(config(tmp_path / "a.nc", valid_range=(33.75, 33.85)), context, "narrow")[1])
    assert np.nanmin(out) >= 33.75
    assert np.nanmax(out) <= 33.85
    assert 0 < np.isfinite(out).mean() < np.isfinite(good).mean()


def test_days_of_another_hour(tmp_path, context, axes):
    values = field(4, *axes)
    stamps = HOURS[:4] + pd.to_timedelta(np.arange(1, 5) * 23 + np.arange(4) + 1, "h")
    dataset(values, stamps.normalize(), *axes).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    cube, out = read(ingest(config(tmp_path / "a.nc", shift_hours=-24), context)[1])
    assert cube.spec.times[0] == "2020-04-01"
    np.testing.assert_allclose(out[0], expected(values[0], cube, *axes), rtol=1e-6)


def test_lead_days_are_read_for_drivers(tmp_path, context, axes):
    days = pd.date_range("2020-03-20", periods=20)
    dataset(field(20, *axes), days, *axes).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    cube, _ = read(ingest(config(tmp_path / "a.nc"), replace(context, lead_days=5))[1])
    assert cube.spec.times[0] == "2020-03-27"
    assert cube.spec.times[-1] == "2020-04-04"


def test_years_in_several_files(tmp_path, context, axes):
    values = field(4, *axes)
    for n in range(2):
        part = dataset(values[2 * n : 2 * n + 2], HOURS[::24][2 * n : 2 * n + 2], *axes)
        part.to_netcdf(tmp_path / f"part{n}.nc", engine="h5netcdf")
    cube, out = read(ingest(config(tmp_path / "part*.nc"), context)[1])
    np.testing.assert_allclose(out, expected(values, cube, *axes), rtol=1e-6)
    shifted = dataset(values[:1], HOURS[:1], axes[0] + 0.05, axes[1])
    shifted.to_netcdf(tmp_path / "part2.nc", engine="h5netcdf")
    receipt, _ = ingest(config(tmp_path / "part*.nc"), context)
    assert any("part0.nc and part2.nc, whose grids differ" in note for note in receipt.notes)
    (tmp_path / "part1.nc").unlink()
    with pytest.raises(InputError, match=r"part0.nc and part2.nc, whose grids differ"):  # no grid is that of most
        check({"s": config(tmp_path / "part*.nc")}, context)


def test_errors_say_what_to_do(tmp_path, context, axes):
    path = tmp_path / "a.nc"
    dataset(field(96, *axes), HOURS, *axes).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="24 values on 2020-04-01; set daily"):
        check({"s": config(path, "none")}, context)
    with pytest.raises(InputError, match="no variable 'pr_day'; it has pr"):
        check({"s": NetcdfConfig(path=str(path), variables={"a": "pr_day"})}, context)
    with pytest.raises(InputError, match="no day of it in the period"):
        check({"s": config(path)}, replace(context, start="2021-01-01", end="2021-01-02"))
    far = dataset(field(1, axes[0] - 60, axes[1]), HOURS[:1], axes[0] - 60, axes[1])
    far.to_netcdf(tmp_path / "far.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="empty extent: got"):
        check({"s": config(tmp_path / "far.nc")}, context)
    irregular = dataset(field(1, *axes), HOURS[:1], np.sort(axes[0] ** 2)[::-1], axes[1])
    irregular.to_netcdf(tmp_path / "irregular.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="not evenly spaced"):
        check({"s": config(tmp_path / "irregular.nc")}, context)


def test_projected_grid_needs_its_crs(tmp_path, context):
    x0, y0, x1, y1 = transform_bounds("EPSG:4326", "EPSG:5070", context.lonlat)
    x, y = np.arange(x0 - 2e4, x1 + 2e4, 1000.0), np.arange(y0 - 2e4, y1 + 2e4, 1000.0)
    ds = xr.Dataset({"pr": (("y", "x"), np.add.outer(y, x).astype("f4"))}, coords={"x": x, "y": y})
    ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="set crs"):
        check({"s": config(tmp_path / "a.nc")}, context)
    cube, out = read(ingest(config(tmp_path / "a.nc", crs="EPSG:5070"), context)[1])
    np.testing.assert_allclose(out, np.add.outer(cube.raster.y, cube.raster.x), rtol=1e-5)
    km = ds.assign_coords(x=("x", x / 1000, {"units": "km"}), y=("y", y / 1000, {"units": "km"}))
    km.to_netcdf(tmp_path / "km.nc", engine="h5netcdf")
    again, same = read(ingest(config(tmp_path / "km.nc", crs="EPSG:5070"), context, "km")[1])
    assert again.raster.x0 == pytest.approx(cube.raster.x0)
    np.testing.assert_array_equal(same, out)


@pytest.mark.parametrize("cut", np.linspace(0.01, 0.99, 18))
def test_truncated_file_is_refused(tmp_path, context, axes, cut):
    path = tmp_path / "a.nc"
    dataset(field(4, *axes), HOURS[::24][:4], *axes).to_netcdf(path, engine="h5netcdf")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(InputError, match="download it again"):
        check({"s": config(path)}, context)


def test_html_named_nc(tmp_path, context):
    (tmp_path / "a.nc").write_text("<html><body>Please log in</body></html>")
    with pytest.raises(InputError, match="a web page"):
        check({"s": config(tmp_path / "a.nc")}, context)
