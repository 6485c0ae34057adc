"""Every reader on real files, against values read from the same files by other means."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import EASE2_M36, Window
from smdown.sources import check, ingest_plan, open_stations, run_ingest
from smdown.sources.config import (
    CellListConfig,
    IsmnConfig,
    NetcdfConfig,
    RasterConfig,
    ReflectanceConfig,
    SmapL4Config,
    StationLayer,
    StationsCsvConfig,
)
from smdown.sources.context import raster_bounds, transform_bounds

SOUTH_AFRICA = Window(1218, 1266, 2126, 2196)
SURFACE = {"sm_surface": StationLayer(depth=(0.0, 0.06))}


def ingest(config, context):
    tasks = ingest_plan({"source": config}, context).tasks
    receipts = [run_ingest(task) for task in tasks]
    return replace(receipts[-1], notes=tuple(note for r in receipts for note in r.notes)), tasks[-1].url


def smap_zip(folder):
    return CellListConfig(
        path=str(folder / "smap_9km" / "South-Africa_20200101_20200131.zip"), variables={"sm_surface": "soil_moisture"}
    )


def test_smap_9km_cell_lists(real_data, place):
    receipt, url = ingest(smap_zip(real_data), place(SOUTH_AFRICA))
    cube = open_cube(url)
    assert len(cube.times) == 31
    assert cube.raster.shape == (52, 74)
    values = cube.read("sm_surface", cube.raster.window)
    assert np.nanmin(values) == pytest.approx(0.02, abs=1e-4)
    assert any("5061 repeated cells averaged" in note for note in receipt.notes)
    found = 0
    with zipfile.ZipFile(real_data / "smap_9km" / "South-Africa_20200101_20200131.zip") as archive:
        for name in archive.namelist():
            if not name.endswith(".nc"):
                continue
            with h5py.File(io.BytesIO(archive.read(name))) as file:
                frame = pd.DataFrame({k: file[k][...] for k in ("latitude", "longitude", "soil_moisture")})
            cells = frame.groupby(["latitude", "longitude"]).soil_moisture.mean().dropna()
            day = list(cube.times.astype("datetime64[D]").astype(str)).index(name[-13:-3])
            assert np.isfinite(values[day]).sum() == len(cells)
            assert np.nanmean(values[day], dtype="f8") == pytest.approx(cells.mean(), abs=1e-6)
            assert np.sort(values[day][np.isfinite(values[day])]) == pytest.approx(np.sort(cells), abs=1e-6)
            found += 1
    assert found == 31


def test_smap_9km_rows_run_south(real_data, place):
    """One cell looked up by its coordinates, so that no flip or shift can hide."""
    _, url = ingest(smap_zip(real_data), place(SOUTH_AFRICA))
    data = xr.open_zarr(url, chunks=None)
    from pyproj import Transformer

    with zipfile.ZipFile(real_data / "smap_9km" / "South-Africa_20200101_20200131.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("2020-01-05.nc"))
        with h5py.File(io.BytesIO(archive.read(name))) as file:
            lat, lon, value = (file[k][...] for k in ("latitude", "longitude", "soil_moisture"))
    once = pd.Series(list(zip(lat, lon, strict=True))).duplicated(keep=False).to_numpy()
    index = np.flatnonzero(~once & np.isfinite(value))[::97]
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True).transform(lon[index], lat[index])
    day = data.sm_surface.sel(time="2020-01-05")
    out = day.sel(x=xr.DataArray(x), y=xr.DataArray(y), method="nearest").values
    np.testing.assert_allclose(out, value[index], rtol=1e-6)


def test_smap_36km_with_the_outage_of_2019(real_data, place):
    config = CellListConfig(
        path=str(real_data / "yanco" / "smap36km_weekly_201808_202007.zip"),
        lattice="ease2_m36",
        variables={"sm_surface": "soil_moisture", "sm_dca": "soil_moisture_dca"},
    )
    context = place(Window(318, 321, 872, 877), start="2018-08-01", end="2020-07-31", lattice=EASE2_M36)
    receipt, url = ingest(config, context)
    cube = open_cube(url)
    assert len(cube.times) == 103
    values = cube.read("sm_surface", cube.raster.window)
    empty = [str(t)[:10] for t, v in zip(cube.times, values, strict=True) if np.isnan(v).all()]
    assert set(empty) >= {"2019-06-24", "2019-07-01", "2019-07-08", "2019-07-15", "2020-04-27"}
    assert np.isfinite(values[:, 2:-2, 2:-2]).sum() == np.isfinite(values).sum() > 1000
    assert any("5 files without cells" in note for note in receipt.notes)
    with pytest.raises(InputError, match="off the lattice ease2_m09"):
        check({"s": config.model_copy(update={"lattice": "ease2_m09"})}, context)


def test_aster_dem_is_read_by_its_coordinates(real_data, place):
    """Its GeoTransform attribute is that of the finer original; the coordinates are centres of 30 arc seconds."""
    path = real_data / "smap_9km" / "South_Africa_ASTER_DEM_30arcsec.nc"
    config = NetcdfConfig(path=str(path), variables={"elevation": "__xarray_dataarray_variable__"}, units="m")
    receipt, url = ingest(config, place(SOUTH_AFRICA))
    cube = open_cube(url)
    assert cube.raster.crs == "EPSG:4326"
    assert cube.raster.dx == pytest.approx(1 / 120, abs=1e-12)
    out = xr.open_zarr(url, chunks=None).elevation
    wanted = xr.open_dataset(path, engine="h5netcdf")["__xarray_dataarray_variable__"]
    np.testing.assert_allclose(out, wanted.sel(x=out.x, y=out.y, method="nearest", tolerance=1e-9), rtol=1e-6)
    assert any("covers 84% of the extent" in note for note in receipt.notes)


def test_era5_hours_become_days(real_data, place):
    path = real_data / "smap_9km" / "ERA5_South-Africa_20200101_20200131.nc"
    config = NetcdfConfig(path=str(path), variables={"swvl1": "swvl1", "land": "lsm"}, daily="mean")
    _, url = ingest(config, place(SOUTH_AFRICA))
    out = xr.open_zarr(url, chunks=None)
    assert out.swvl1.dims == ("time", "y", "x")
    assert out.land.dims == ("y", "x")
    with xr.open_dataset(path, engine="h5netcdf") as source:
        wanted = source.swvl1.load().resample(valid_time="1D").mean()
        np.testing.assert_allclose(out.swvl1, wanted.transpose("valid_time", "latitude", "longitude"), atol=1e-6)
    assert out.y[0] > out.y[-1]
    assert open_cube(url).raster.x0 == pytest.approx(18.45)


YANCO = ["DEM_100m_resampled", "SLT_100m_resampled", "AWC_100m_resampled", "CMRSET_Landsat_ET_2016_02_01"]


def test_yanco_rasters_and_their_nodata(real_data, place):
    folder = real_data / "yanco" / "rasters_100m"
    config = RasterConfig(path=str(folder), variables={name.lower(): f"{name}.tif" for name in YANCO})
    _, url = ingest(config, place(lonlat=(146.4, -34.8), size=2))
    cube = open_cube(url)
    for name in YANCO:
        with rasterio.open(folder / f"{name}.tif") as file:
            whole = file.read(1, masked=True).filled(np.nan)
        y0, x0 = round((-34.3 - cube.raster.y0) / 0.001), round((cube.raster.x0 - 146) / 0.001)
        part = whole[y0 : y0 + cube.raster.height, x0 : x0 + cube.raster.width]
        np.testing.assert_array_equal(cube.read(name.lower(), cube.raster.window), part)
    everything = RasterConfig(path=str(folder / "*.tif"), variables={"any": 1})
    check({"s": everything}, place(lonlat=(146.4, -34.8)))


def test_yanco_nodata_in_the_file_is_missing(real_data, place):
    path = real_data / "yanco" / "lst_pair" / "Landsat_LST_cloudrm_20160205.tif"
    receipt, url = ingest(RasterConfig(path=str(path), variables={"lst": 1}), place(lonlat=(146.2, -35.0), size=3))
    cube = open_cube(url)
    out = cube.read("lst", cube.raster.window)
    with rasterio.open(path) as file:
        assert np.isnan(out).any() == (file.read(1, masked=True).mask.any())
    assert 280 < np.nanmin(out) < np.nanmax(out) < 350
    assert receipt.pixels == out.size


def test_landsat_scene_with_nodata_255(real_data, place):
    folder = real_data / "landsat_dem_30m" / "para"
    bands = {f"b{n}": f"LT52240631988227CUB02_B{n}.TIF" for n in (3, 4)}
    _, url = ingest(
        RasterConfig(path=str(folder), variables=bands | {"elevation": "SRTM_30m.tif"}),
        place(lonlat=(-49.89, -3.75), size=1),
    )
    cube = open_cube(url)
    assert cube.raster.crs == "EPSG:32622"
    with rasterio.open(folder / bands["b3"]) as file:
        raw = file.read(1)
    out = cube.read("b3", cube.raster.window)
    assert out.shape == raw.shape
    np.testing.assert_array_equal(out, np.where(raw == 255, np.nan, raw))


def test_landsat_scene_to_a_composite(real_data, place):
    """Landsat 5 of 1988 by its scene identifier; its bands have no mask, and count 255 is missing."""
    folder = real_data / "landsat_dem_30m" / "para"
    config = ReflectanceConfig(
        path=str(folder), bands={"red": "*_B3.TIF", "nir": "*_B4.TIF"}, scale=1 / 255, offset=0.0, composite_days=5
    )
    where = place(lonlat=(-49.89, -3.75), start="1988-08-13", end="1988-08-20")
    _, url = ingest(config, where)
    cube = open_cube(url)
    assert cube.raster.crs == "EPSG:32622"
    assert cube.spec.times == ("1988-08-13",)
    raw = {}
    for band, name in (("red", "B3"), ("nir", "B4")):
        with rasterio.open(folder / f"LT52240631988227CUB02_{name}.TIF") as file:
            raw[band] = file.read(1)
    clear = np.all([(v != 255) & (v > 0) for v in raw.values()], axis=0)
    for band, counts in raw.items():
        out = cube.read(band, cube.raster.window, 0)
        np.testing.assert_allclose(out, np.where(clear, counts / 255, np.nan), atol=5.1e-5)
    mean = np.nanmean(out)
    cube = open_cube(ingest(config.model_copy(update={"resolution": 60.0}), where)[1])
    assert cube.raster.dx == 60.0
    assert abs(np.nanmean(cube.read("nir", cube.raster.window, 0)) - mean) < 2e-3


def test_dem_with_another_crs_than_its_scene(real_data, place):
    """It states SIRGAS 1995 in words of its own, the scene beside it SIRGAS 2000: other names, the same ground."""
    path = str(real_data / "landsat_dem_30m" / "olinda" / "olinda_dem_utm25s.tif")
    context = place(lonlat=(-34.87, -8.0))
    as_stated, mended = (RasterConfig(path=path, variables={"elevation": 1}, crs=crs) for crs in (None, "EPSG:31985"))
    rasters = [open_cube(ingest(config, context)[1]).raster for config in (as_stated, mended)]
    assert rasters[1].crs == "EPSG:31985"
    stated, scene = (transform_bounds(raster.crs, "EPSG:4326", raster_bounds(raster)) for raster in rasters)
    np.testing.assert_allclose(stated, scene, atol=1e-6)
    for wrong in ("EPSG:32614", "EPSG:4326"):
        with pytest.raises(InputError, match=r"empty extent: got olinda_dem|does not reach|beyond the world"):
            check({"dem": RasterConfig(path=path, variables={"elevation": 1}, crs=wrong)}, context)


def test_structure_file_without_soil_moisture(real_data, place):
    """NSIDC's SPL3SMP skeleton holds coordinates only; names without a time stamp are refused before that."""
    path = real_data / "smap_hdf5" / "SC_SPL3SMP_009_prefetch.nc4"
    with pytest.raises(InputError, match="no time stamp"):
        check({"smap": SmapL4Config(path=str(path))}, place(SOUTH_AFRICA))
    by_number = {"date_pattern": r"SMP_(\d{3})", "date_format": "%j"}
    listed = CellListConfig(path=str(path), variables={"sm": "soil_moisture"}, **by_number)
    with pytest.raises(InputError, match="none in the period"):
        check({"smap": listed}, place(SOUTH_AFRICA))


def test_imerg_chip_is_transposed(real_data, place):
    """Stored (time, lon, lat), south first: half-hourly rates of one stamp."""
    path = real_data / "smap_hdf5" / "GPM_3IMERGHH_bounds.nc4"
    config = NetcdfConfig(path=str(path), variables={"precipitation": "precipitationCal"}, group="Grid", daily="mean")
    with h5py.File(path) as file:
        day = str(np.datetime64(int(file["Grid/time"][0]), "s").astype("datetime64[D]"))
        rate, lat, lon = (file[f"Grid/{name}"][...] for name in ("precipitationCal", "lat", "lon"))
    _, url = ingest(config, place(lonlat=(-22.0, 38.0), size=20, start=day, end=day))
    out = xr.open_zarr(url, chunks=None).precipitation.isel(time=0)
    assert out.y[0] > out.y[-1]
    rows = [int(np.argmin(np.abs(lat - y))) for y in out.y.values]
    cols = [int(np.argmin(np.abs(lon - x))) for x in out.x.values]
    wanted = np.where(rate[0] < 0, np.nan, rate[0]).T[rows][:, cols]
    np.testing.assert_allclose(out, wanted, rtol=1e-6)
    assert float(out.max()) > 0
    with pytest.raises(InputError, match="empty extent"):
        check({"rain": config}, place(SOUTH_AFRICA))


def test_oznet_in_a_flat_folder(real_data, place):
    path = real_data / "yanco" / "ismn_oznet_stm_2017_2022.zip"
    context = place(lonlat=(146.4, -34.9), size=15, start="2018-01-01", end="2018-12-31")
    _, url = ingest(IsmnConfig(path=str(path), layers=SURFACE), context)
    stations = open_stations(url)
    assert all(str(name).startswith("OZNET/") for name in stations.station.values)
    assert "OZNET/Yamma-Road" in stations.station.values
    assert stations.sizes["station"] >= 8
    one = stations.sm_surface.sel(station="OZNET/Yamma-Road")
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if "Yamma-Road" in n)
        columns = ["day", "hour", "value", "flag", "own"]
        frame = pd.read_csv(archive.open(name), sep=r"\s+", skiprows=1, names=columns)
    good = frame[frame.flag == "G"].groupby("day").value.mean()
    good.index = pd.DatetimeIndex(good.index)
    np.testing.assert_allclose(one, good.reindex(one.time.values), rtol=1e-6)
    assert int(one.notnull().sum()) > 200
    assert 0 <= float(stations.sm_surface.min()) < float(stations.sm_surface.max()) <= 0.6


@pytest.mark.parametrize(
    ("archive", "lonlat", "start", "network", "flags"),
    [
        ("ismn_pkg_Data_header_values.zip", (102.13, 33.88), "2008-07-01", "MAQU", ("G", "U")),
        ("ismn_pkg_Data_seperate_files_20170810_20180809.zip", (-97.49, 36.61), "2017-08-10", "COSMOS", ("G",)),
    ],
)
def test_both_formats_of_ismn(real_data, place, archive, lonlat, start, network, flags):
    config = IsmnConfig(
        path=str(real_data / "ismn" / archive), layers={"sm_surface": StationLayer(depth=(0, 0.25))}, flags=flags
    )
    stations = open_stations(ingest(config, place(lonlat=lonlat, start=start, end=start[:4] + "-12-31"))[1])
    assert stations.network.values.tolist() == [network]
    assert 0 < float(stations.sm_surface.mean()) < 0.6


def test_archive_with_two_depths_and_precipitation(real_data, place):
    layers = SURFACE | {"sm_deep": StationLayer(depth=(0.1, 0.2), surface_within=0.1)}
    config = IsmnConfig(path=str(real_data / "ismn" / "DWD_2024_2025_sm5cm_sm15cm_p.zip"), layers=layers)
    context = place(lonlat=(9.79, 52.96), size=40, start="2024-09-01", end="2024-09-30")
    _, url = ingest(config, context)
    stations = open_stations(url)
    assert set(stations.network.values) == {"DWD"}
    soltau = stations.sel(station="DWD/Soltau")
    assert not np.allclose(soltau.sm_surface, soltau.sm_deep)
    with pytest.raises(InputError, match=r"no sensor of sm_rootzone|without one good value"):
        ingest(IsmnConfig(path=config.path, layers={"sm_rootzone": StationLayer(depth=(0.5, 1.0))}), context)


def test_daily_tables_of_the_stations(real_data, place):
    config = StationsCsvConfig(
        path=str(real_data / "yanco" / "stations_daily_2016_2021.zip"),
        variables={"sm_surface": "insitu_sm"},
        station_pattern=r"OzNet_(\w+)_cleaned",
        latitude="lat",
        longitude="lon",
        date="time",
        network="OZNET",
    )
    context = place(lonlat=(146.2, -34.85), size=8, start="2017-01-01", end="2017-12-31")
    stations = open_stations(ingest(config, context)[1])

    assert "OZNET/y7" in stations.station.values
    assert stations.sizes["station"] > 10
    assert 0.0 < float(stations.sm_surface.mean()) < 0.5


def test_the_data_folder_is_left_alone(real_data, place):
    before = {p: p.stat().st_mtime_ns for p in sorted(real_data.rglob("*"))}
    ingest(
        RasterConfig(path=str(real_data / "yanco" / "rasters_100m" / "DEM_100m_resampled.tif"), variables={"e": 1}),
        place(lonlat=(146.4, -34.8)),
    )
    assert {p: p.stat().st_mtime_ns for p in sorted(real_data.rglob("*"))} == before
