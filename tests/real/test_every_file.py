"""Every file of the shared data ingests, or is refused with the right reason; none is left out."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import EASE2_M36, Window
from smdown.sources import check, ingest_plan, run_ingest
from smdown.sources.config import (
    CellListConfig,
    IsmnConfig,
    NetcdfConfig,
    RasterConfig,
    SmapL3Config,
    SmapL4Config,
    StationLayer,
    StationsCsvConfig,
)
from smdown.sources.quality import read_quality

CAPE = {"cells": Window(1218, 1266, 2126, 2196)}
YANCO = {"lonlat": (146.4, -34.8), "size": 2}
PARA = {"lonlat": (-49.89, -3.75)}
OLINDA = {"lonlat": (-34.87, -8.0)}
LAYER = {"sm": StationLayer(depth=(0.0, 0.25))}


def raster(path, **options):
    return RasterConfig(path=path, variables={"value": 1}, **options)


def netcdf(variable, **options):
    return lambda path: NetcdfConfig(path=path, variables={"value": variable}, **options)


def cells(lattice):
    return lambda path: CellListConfig(path=path, lattice=lattice, variables={"value": "soil_moisture"})


def stations(**options):
    return lambda path: IsmnConfig(path=path, layers=LAYER, **options)


def table(path):
    pattern = r"OzNet_(\w+)_cleaned"
    return StationsCsvConfig(
        path=path, variables={"sm": "insitu_sm"}, station_pattern=pattern, latitude="lat", longitude="lon", date="time"
    )


def sites(path):
    return StationsCsvConfig(path=path, variables={"sm": "sm"})


OUTAGE = {"cells": Window(318, 321, 872, 877), "start": "2018-08-01", "end": "2020-07-31", "lattice": EASE2_M36}
OZNET = {"lonlat": (146.4, -34.9), "size": 15, "start": "2018-01-01", "end": "2018-12-31"}
FROZEN = {"lonlat": (-40.0, 72.0), "size": 12}
WHOLE = {
    "smap_9km/South-Africa_20200101_20200131.zip": (cells("ease2_m09"), CAPE),
    "smap_9km/South_Africa_ASTER_DEM_30arcsec.nc": (netcdf("__xarray_dataarray_variable__"), CAPE),
    "smap_9km/ERA5_South-Africa_20200101_20200131.nc": (netcdf("swvl1", daily="mean"), CAPE),
    "yanco/smap36km_weekly_201808_202007.zip": (cells("ease2_m36"), OUTAGE),
    "yanco/stations_daily_2016_2021.zip": (table, OZNET),
    "yanco/ismn_oznet_stm_2017_2022.zip": (stations(), OZNET),
    "ismn/DWD_2024_2025_sm5cm_sm15cm_p.zip": (
        stations(), {"lonlat": (9.79, 52.96), "size": 40, "start": "2024-09-01", "end": "2024-09-30"},
    ),
    "ismn/ismn_pkg_Data_header_values.zip": (
        stations(flags=("G", "U")), {"lonlat": (102.13, 33.88), "start": "2008-07-01", "end": "2008-12-31"},
    ),
    "ismn/ismn_pkg_Data_seperate_files_20170810_20180809.zip": (
        stations(), {"lonlat": (-97.49, 36.61), "start": "2017-08-10", "end": "2017-12-31"},
    ),
    "smap_hdf5/GPM_3IMERGHH_bounds.nc4": (
        netcdf("precipitationCal", group="Grid", daily="mean"), {"lonlat": (-22.0, 38.0), "size": 20},
    ),
    "smap_hdf5/SPL3FTP_subsetted.nc4": (
        netcdf("altitude_dem", group="Freeze_Thaw_Retrieval_Data_Global", select={"am_pm": 0}), FROZEN,
    ),
    **{f"yanco/rasters_100m/{name}.tif": (raster, YANCO) for name in (
        "ANUClimate_v2-0_rain_daily_20160205", "ANUClimate_v2-0_srad_daily_20160205",
        "ANUClimate_v2-0_tavg_daily_20160205", "ANUClimate_v2-0_vpd_daily_20160205", "AWC_100m_resampled",
        "CMRSET_Landsat_ET_2016_02_01", "DEM_100m_resampled", "SLT_100m_resampled", "ubESTARFM_LST_cloudrm_20160205",
    )},
    **{f"yanco/lst_pair/{name}_LST_cloudrm_20160205.tif": (raster, {"lonlat": (146.2, -35.0), "size": 1})
       for name in ("Landsat", "MOD11A1")},
    **{f"landsat_dem_30m/para/LT52240631988227CUB02_B{n}.TIF": (raster, PARA) for n in range(1, 8)},
    "landsat_dem_30m/para/SRTM_30m.tif": (raster, PARA),
    "landsat_dem_30m/olinda/L7_ETMs.tif": (raster, OLINDA),
    "landsat_dem_30m/olinda/olinda_dem_utm25s.tif": (raster, OLINDA),
}  # fmt: skip
"""File, how it is read, and where: all of these ingest."""
REFUSED = {
    "smap_hdf5/SC_SPL3SMP_009_prefetch.nc4": (lambda p: SmapL3Config(path=p), CAPE, "holds no date"),
    "smap_hdf5/SC_SPL3SMP_008.dmr": (netcdf("soil_moisture"), CAPE, "cannot be read as NetCDF"),
    "landsat_dem_30m/para/LT52240631988227CUB02_MTL.txt": (raster, PARA, "cannot be read as a raster"),
    "yanco/OzNet_study_sites.csv": (sites, OZNET, "without the column"),
    "yanco/LICENSE_OzNet_AOA_MIT.txt": (lambda p: SmapL4Config(path=p), CAPE, "no time stamp"),
    "README.md": (stations(), CAPE, "without soil_moisture|no ISMN file|cannot be read"),
}
"""File, how somebody might try to read it, where, and why not."""


def test_none_is_left_out(real_data):
    there = {p.relative_to(real_data).as_posix() for p in real_data.rglob("*") if p.is_file()}
    assert there == WHOLE.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", WHOLE)
def test_ingests(real_data, place, name):
    make, where = WHOLE[name]
    if "GPM" in name:
        with h5py.File(real_data / name) as file:
            day = str(np.datetime64(int(file["Grid/time"][0]), "s").astype("datetime64[D]"))
        where = where | {"start": day, "end": day}
    plan = ingest_plan({"source": make(str(real_data / name))}, place(**where))
    for task in plan.tasks:
        run_ingest(task)
    report = read_quality(plan.tasks[0].url)
    assert report.set_aside == {}
    assert report.files > 0
    for variable in report.variables.values():
        assert variable.valid > 0
        assert -500 < variable.minimum <= variable.maximum < 5000, "a fill came through"


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(real_data, place, name):
    make, where, why = REFUSED[name]
    with pytest.raises(InputError, match=why) as caught:
        check({"source": make(str(real_data / name))}, place(**where))
    assert "\n" not in str(caught.value)
    assert "source source: got " in str(caught.value)


def test_structure_file_has_no_soil_moisture(real_data, place, tmp_path):
    """NSIDC's skeleton of SPL3SMP under a name that it would have: groups, coordinates full of fills, nothing else."""
    path = tmp_path / "SMAP_L3_SM_P_20200105_R18290_001.nc4"
    path.symlink_to(real_data / "smap_hdf5" / "SC_SPL3SMP_009_prefetch.nc4")
    config = SmapL3Config(path=str(path), lattice="ease2_m36")
    with pytest.raises(InputError, match=r"no 'Soil_Moisture_Retrieval_Data_AM/soil_moisture'; it has .*latitude"):
        check({"l3": config}, place(**CAPE))
    group = "Soil_Moisture_Retrieval_Data_PM"  # its latitudes, fills left out, are those of the cells that they lie in
    places = {name: f"{group}/{name}_pm" for name in ("latitude", "longitude")}
    listed = CellListConfig(path=str(path), lattice="ease2_m36", variables={"lat": f"{group}/latitude_pm"}, **places)
    (task,) = ingest_plan({"cells": listed}, place(**CAPE)).tasks
    run_ingest(task)
    cube = open_cube(task.url)
    found = cube.read("lat", cube.raster.window, 0)
    lat = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True).transform(0 * cube.raster.y, cube.raster.y)[1]
    assert np.isfinite(found).any()
    np.testing.assert_allclose(found, np.where(np.isnan(found), np.nan, lat[:, None]), atol=1e-3)


def test_freeze_thaw_lies_on_ease_grid(real_data, place):
    """Its grid mapping stands in the file's root, outside the group, and names EASE-Grid 2.0 in parameters alone."""
    path = real_data / "smap_hdf5" / "SPL3FTP_subsetted.nc4"
    config = WHOLE["smap_hdf5/SPL3FTP_subsetted.nc4"][0](str(path))
    (task,) = ingest_plan({"ft": config}, place(**FROZEN)).tasks
    run_ingest(task)
    cube = open_cube(task.url)
    assert cube.raster.crs == "EPSG:6933"
    position = np.array([(cube.raster.x0 - EASE2_M36.x0), (EASE2_M36.y0 - cube.raster.y0)]) / EASE2_M36.cell
    np.testing.assert_allclose(position, np.rint(position), atol=1e-6)
    assert cube.raster.dx == pytest.approx(EASE2_M36.cell, rel=1e-9)
    with h5py.File(path) as file:
        group = file["Freeze_Thaw_Retrieval_Data_Global"]
        x, y, raw = group["x"][...], group["y"][...], group["altitude_dem"][0]
    rows = [int(np.argmin(np.abs(y - v))) for v in cube.raster.y]
    cols = [int(np.argmin(np.abs(x - v))) for v in cube.raster.x]
    wanted = np.where(raw == -9999, np.nan, raw)[rows][:, cols]
    np.testing.assert_array_equal(cube.read("value", cube.raster.window), wanted)


def test_undeclared_nodata_of_a_real_raster_is_found(real_data, place, tmp_path):
    """A Yanco raster whose declaration is lost: -3.4e38 is missing whatever it says, -9999 is asked about."""
    with rasterio.open(real_data / "yanco" / "rasters_100m" / "DEM_100m_resampled.tif") as file:
        profile, values = file.profile | {"nodata": None}, file.read(1)
    values[480:520, 380:420] = np.float32(-3.4e38)
    for fill in (-3.4e38, -9999):
        with rasterio.open(tmp_path / "dem.tif", "w", **profile) as file:
            file.write(np.where(values < -1e30, np.float32(fill), values), 1)
        (task,) = ingest_plan({"dem": raster(str(tmp_path / "dem.tif"))}, place(**YANCO)).tasks
        if fill == -9999:
            with pytest.raises(InputError, match=r"holds -9999 far from its other values .* set nodata: -9999"):
                run_ingest(task)
        else:
            run_ingest(task)
            assert read_quality(task.url).variables["value"].minimum > 0
