"""Input files of every kind of source that reads many, so that some of them can be spoilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Transformer

from smdown.grid import EASE2_M09, NestedGrid
from smdown.sources import IngestContext
from smdown.sources.config import (
    CellListConfig,
    IsmnConfig,
    NetcdfConfig,
    RasterConfig,
    ReflectanceConfig,
    SmapL3Config,
    SmapL4Config,
    StationLayer,
    StationsCsvConfig,
)
from smdown.sources.context import transform_bounds
from tests.sources.fabricate import CELLS, smap_name, write_l3, write_smap, write_stm, write_tif

UTM = "EPSG:32614"
DAYS = [str(day) for day in np.datetime64("2020-04-01") + np.arange(240)]
PLACE = NestedGrid(EASE2_M09, CELLS, 1)


def context(out: Path) -> IngestContext:
    return IngestContext(nested=PLACE, start="2020-04-01", end="2020-04-20", out=str(out))


def values(n: int, shape=CELLS.shape) -> Any:
    return np.random.default_rng(n).uniform(0.1, 0.4, shape).astype("f4")


def smap_l4(folder: Path, n: int) -> Path:
    return write_smap(folder / smap_name(DAYS[n], 1), values(n))


def smap_l3(folder: Path, n: int) -> Path:
    return write_l3(folder / f"SMAP_L3_SM_P_E_{DAYS[n].replace('-', '')}_R19240_001.h5", values(n), values(n + 10))


def cell_list(folder: Path, n: int, name="soil_moisture") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    x, y = np.meshgrid(PLACE.raster.x, PLACE.raster.y)
    lon, lat = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True).transform(x, y)
    path = folder / f"list_{DAYS[n]}.nc"
    with h5py.File(path, "w") as file:
        file["latitude"], file["longitude"] = lat.astype("f4").ravel(), lon.astype("f4").ravel()
        file[name] = values(n).ravel()
    return path


def netcdf(folder: Path, n: int, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    west, south, east, north = context(folder).lonlat
    lat, lon = np.arange(north + 1, south - 1, -0.1), np.arange(west - 1, east + 1, 0.1)
    coords = {
        "time": pd.to_datetime([DAYS[n]]),
        "lat": ("lat", lat, {"units": "degrees_north"}),
        "lon": ("lon", lon, {"units": "degrees_east"}),
    }
    field = values(n, (1, lat.size, lon.size))
    field[0, 5:8, 5:8] = np.resize(changes.get("fill", np.nan), (3, 3))
    data = xr.Dataset({changes.get("name", "pr"): (("time", "lat", "lon"), field)}, coords=coords)
    if changes.get("bare"):
        data = data.assign_coords(lat=("lat", lat), lon=("lon", lon))
    data.to_netcdf(folder / f"rain_{DAYS[n]}.nc", engine="h5netcdf")
    return folder / f"rain_{DAYS[n]}.nc"


def raster(folder: Path, n: int, total: int = 3, **changes: Any) -> Path:
    """One of the strips of a mosaic, side by side."""
    width = 90 // total
    west, _, _, north = context(folder).lonlat
    field = values(n, (100, width)) * 1000
    field[40:60, 3] = np.resize(changes.get("fill", np.nan), 20)
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "crs": "EPSG:4326"} | changes.get("options", {})
    return write_tif(folder / f"dem_{n}.tif", field, west - 0.25 + n * width / 100, north + 0.3, 0.01, 0.01, **options)


def reflectance(folder: Path, n: int, **changes: Any) -> Path:
    """A scene of two bands and its mask; the path of the second band."""
    x, _, _, y = transform_bounds("EPSG:4326", UTM, context(folder).lonlat)
    x, y = round(x / 300) * 300 - 12000, round(y / 300) * 300 + 12000
    name = f"HLS.L30.T14SNE.2020{92 + n:03d}T170000.v2.0"
    for band, fill in (("B04", -9999), ("B05", -9999), ("Fmask", 255)):
        counts = (values(n, (240, 250)) * 10000 if fill < 0 else np.zeros((240, 250))).astype(
            "i2" if fill < 0 else "u1"
        )
        options = {"nodata": fill, "crs": UTM} | changes.get("options", {})
        write_tif(folder / f"{name}.{band}.tif", counts, x, y, 300.0, 300.0, **options)
    return folder / f"{name}.B05.tif"


def ismn(folder: Path, n: int) -> Path:
    west, south, east, north = context(folder).lonlat
    rows = [
        (f"{day.replace('-', '/')} {h:02d}:00", 0.1 + n % 8 / 10 + h / 1000, "G") for day in DAYS[:3] for h in range(24)
    ]
    return write_stm(folder, f"S{n}", 0.05, 0.05, rows, lat=(south + north) / 2, lon=(west + east) / 2)


def stations_csv(folder: Path, n: int, name="sm") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    west, south, east, north = context(folder).lonlat
    frame = pd.DataFrame(
        {
            "date": DAYS[:3],
            "latitude": (south + north) / 2,
            "longitude": (west + east) / 2,
            name: values(n, 3).astype("f8"),
        }
    )
    frame.to_csv(folder / f"net_s{n}_data.csv", index=False)
    return folder / f"net_s{n}_data.csv"


@dataclass(frozen=True)
class Kind:
    """How to make and read three files of one kind of source."""

    write: Callable[..., Path]
    config: Callable[[str], Any]
    station: bool = False


KINDS = {
    "smap_l4": Kind(smap_l4, lambda path: SmapL4Config(path=path)),
    "smap_l3": Kind(smap_l3, lambda path: SmapL3Config(path=path)),
    "cell_list": Kind(cell_list, lambda path: CellListConfig(path=path, variables={"sm": "soil_moisture"})),
    "netcdf": Kind(netcdf, lambda path: NetcdfConfig(path=path, variables={"rain": "pr"})),
    "raster": Kind(raster, lambda path: RasterConfig(path=path, variables={"elevation": 1})),
    "reflectance": Kind(
        reflectance,
        lambda path: ReflectanceConfig(
            path=path, bands={"red": "*.B04.tif", "nir": "*.B05.tif"}, mask="*.Fmask.tif", composite_days=10
        ),
    ),
    "ismn": Kind(ismn, lambda path: IsmnConfig(path=path, layers={"sm": StationLayer(depth=(0, 0.06))}), station=True),
    "stations_csv": Kind(
        stations_csv,
        lambda path: StationsCsvConfig(path=path, variables={"sm": "sm"}, station_pattern=r"net_(\w+)_data"),
        station=True,
    ),
}
