"""Every file format that the readers take, as a source of many small files, so that any of them can be damaged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from rasterio.shutil import copy as gdal_copy
from scipy.io import netcdf_file

from smdown.sources import IngestContext
from smdown.sources.config import RasterConfig, SmapL4Config
from smdown.sources.context import transform_bounds
from tests.sources import kinds
from tests.sources.fabricate import write_tif
from tests.sources.kinds import DAYS, KINDS

SIDE, ROWS, COLUMNS, STEP = 16, 13, 18, 0.002
"""Pixels of one tile of a mosaic, its rows and columns of tiles, degrees of a pixel."""
CHECKED = {"compression": 4, "shuffle": True, "fletcher32": True}
SCENE_SIDE, METRES = 16, 150.0
"""The same of scenes, in metres."""


def context(out: Path) -> IngestContext:
    """The region of all kinds, over all days."""
    return replace(kinds.context(out), end=DAYS[-1])


# -- pieces: what of the result one file gives -------------------------------------------------------------------------


def of_day(data: xr.Dataset, n: int) -> xr.Dataset | None:
    """The day of a file."""
    day = np.datetime64(DAYS[n])
    return data.sel(time=day, drop=True) if day in data["time"].values else None


def of_tile(data: xr.Dataset, n: int) -> xr.Dataset:
    """The pixels of a tile of the mosaic."""
    return _box(data, *corner(n), SIDE * STEP)


def _box(data: xr.Dataset, west: float, north: float, size: float) -> xr.Dataset:
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    cols, rows = np.flatnonzero((x > west) & (x < west + size)), np.flatnonzero((y < north) & (y > north - size))
    return data.isel(y=rows, x=cols)


def of_station(data: xr.Dataset, n: int) -> xr.Dataset | None:
    """The row of a station, its place included."""
    found = [i for i, name in enumerate(data["station"].values) if str(name).rsplit("/", 1)[-1].lower() == f"s{n}"]
    return data.isel(station=found[0]).reset_coords(drop=False) if found else None


# -- writers -----------------------------------------------------------------------------------------------------------


def corner(n: int) -> tuple[float, float]:
    """West and north of a tile of a mosaic that covers the extent and its margin."""
    west, _, _, north = kinds.context(Path()).lonlat
    row, column = row_column(n)
    return west - 0.1 + column * SIDE * STEP, north + 0.1 - row * SIDE * STEP


def row_column(n: int) -> tuple[int, int]:
    """Place of a tile in its mosaic; the first lie within the extent."""
    row, column = divmod((n + 5 * COLUMNS + 4) % (ROWS * COLUMNS), COLUMNS)
    return row, column


def tile(folder: Path, n: int, **options: Any) -> Path:
    """One tile of a mosaic."""
    field = np.round(kinds.values(n, (SIDE, SIDE)) * 1000, 1)
    return write_tif(folder / f"t_{n:03d}.tif", field, *corner(n), STEP, STEP, **options)


def cog(folder: Path, n: int) -> Path:
    """The same as a cloud-optimised GeoTIFF."""
    plain = tile(folder / "plain", n)
    path = folder / plain.name
    gdal_copy(plain, path, driver="COG", compress="DEFLATE", blocksize=128)
    shutil.rmtree(folder / "plain")
    return path


def vrt(folder: Path, n: int) -> Path:
    """The same as a VRT; the file behind it lies in a folder of its own."""
    plain = tile(folder.with_name("behind"), n)
    path = folder / f"t_{n:03d}.vrt"
    folder.mkdir(parents=True, exist_ok=True)
    gdal_copy(plain, path, driver="VRT")
    named = f'<SourceFilename relativeToVRT="1">../behind/{plain.name}'
    path.write_text(re.sub(r"<SourceFilename[^>]*>[^<]*", named, path.read_text()))
    return path


def packed(write: Callable[..., Path]) -> Callable[..., Path]:
    """Return a writer of the same HDF5 files whose arrays are compressed and carry checksums."""

    def written(folder: Path, n: int) -> Path:
        path = write(folder, n)
        plain = path.rename(path.with_suffix(".plain"))
        with h5py.File(plain) as old, h5py.File(path, "w", libver="latest") as new:

            def put(name: str, node: Any) -> None:
                if isinstance(node, h5py.Dataset):
                    there = new.create_dataset(name, data=node[...], chunks=node.shape, **CHECKED)
                    for key, value in node.attrs.items():
                        there.attrs[key] = value

            old.visititems(put)
        plain.unlink()
        return path

    return written


def aup(folder: Path, n: int) -> Path:
    """An analysis with its spread, in the place of an ordinary file."""
    path = kinds.smap_l4(folder, n)
    path = path.rename(path.with_name(path.name.replace("_gph_", "_aup_")))
    with h5py.File(path, "a") as file:
        file.move("Geophysical_Data", "Analysis_Data")
        group = file["Analysis_Data"]
        for layer in ("sm_surface", "sm_rootzone"):
            group.move(layer, f"{layer}_analysis")
            group[f"{layer}_analysis_ensstd"] = kinds.values(n + 1)
    return path


def netcdf4(folder: Path, n: int, *, packed: bool = False) -> Path:
    """A day of rain as NetCDF-4."""
    lat, lon, field = rain(n)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rain_{DAYS[n]}.nc"
    options = {"chunks": field.shape} | CHECKED if packed else {}
    with h5py.File(path, "w", libver="latest" if packed else "earliest") as file:
        for name, values, units in _coordinates(n, lat, lon):
            file[name] = values
            file[name].attrs["units"] = units
            file[name].make_scale(name)
        file.create_dataset("pr", data=field, **options)
        file["pr"].attrs["_FillValue"] = np.float32(np.nan)
        for axis, name in enumerate(("time", "lat", "lon")):
            file["pr"].dims[axis].attach_scale(file[name])
    return path


def netcdf3(folder: Path, n: int) -> Path:
    """The same as classic NetCDF."""
    lat, lon, field = rain(n)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rain_{DAYS[n]}.nc"
    with netcdf_file(path, "w", version=2) as file:
        for name, values, units in _coordinates(n, lat, lon):
            file.createDimension(name, values.size)
            there = file.createVariable(name, values.dtype, (name,))
            there[:], there.units = values, units
        file.createVariable("pr", "f4", ("time", "lat", "lon"))[:] = field
    return path


def rain(n: int) -> tuple[Any, Any, Any]:
    """Latitudes, longitudes and one field of rain."""
    west, south, east, north = kinds.context(Path()).lonlat
    lat, lon = np.arange(north + 0.5, south - 0.5, -0.1), np.arange(west - 0.5, east + 0.5, 0.1)
    return lat, lon, kinds.values(n, (1, lat.size, lon.size))


def _coordinates(n: int, lat: Any, lon: Any) -> list[tuple[str, Any, str]]:
    time = np.array([n], "i4")
    return [("time", time, f"days since {DAYS[0]}"), ("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")]


def scene(folder: Path, n: int) -> Path:
    """A scene of two bands and its mask, beside the others, all of one day; its second band."""
    west, north, _ = place_of_scene(n)
    name = f"HLS.L30.T14S{n:03d}.2020092T170000.v2.0"
    for band, fill in (("B04", -9999), ("B05", -9999), ("Fmask", 255)):
        counts = (kinds.values(n, (SCENE_SIDE, SCENE_SIDE)) * 10000).astype("i2")
        counts = counts if fill < 0 else np.zeros_like(counts, dtype="u1")
        write_tif(folder / f"{name}.{band}.tif", counts, west, north, METRES, METRES, nodata=fill, crs=kinds.UTM)
    return folder / f"{name}.B05.tif"


def of_scene(data: xr.Dataset, n: int) -> xr.Dataset:
    """The pixels of a scene."""
    return _box(data, *place_of_scene(n))


def place_of_scene(n: int) -> tuple[float, float, float]:
    """West, north and side of a scene."""
    x, _, _, y = transform_bounds("EPSG:4326", kinds.UTM, kinds.context(Path()).lonlat)
    west, north, size = round(x / 300) * 300 - 4500, round(y / 300) * 300 + 4500, SCENE_SIDE * METRES
    row, column = row_column(n)
    return west + column * size, north - row * size, size


def ceop(folder: Path, n: int) -> Path:
    """A station in ISMN's other format, each line with everything."""
    path = kinds.ismn(folder, n)
    head, *rows = path.read_text().splitlines()
    _, network, station, *place, _ = head.split()
    lines = []
    for row in rows:
        stamp, last = row.split()[:2], row.split()[2:]
        lines.append(" ".join([*stamp, *stamp, network, network, station, *place, *last]))
    path.write_text("\n".join(lines) + "\n")
    return path


# -- the table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """How a file is written and read, and which piece of the result it gives.

    Parameters
    ----------
    write : callable
        Takes a folder and a number; returns the file to damage.
    config : callable
        Takes the folder.
    piece : callable
        Takes the result and the number; returns what that file gave, None where nothing.
    unguarded : float
        Share of a file's bits that nothing guards: values without a checksum, numbers in a text.
    """

    write: Callable[..., Path]
    config: Callable[[str], Any]
    piece: Callable[[xr.Dataset, int], xr.Dataset | None]
    unguarded: float

    @property
    def gridded(self) -> bool:
        """Whether it gives a cube."""
        return self.piece is not of_station

    def siblings(self, name: str) -> tuple[str, ...]:
        """Return the names of the files that are set aside for a damaged one: a scene goes by its first."""
        return (name, name.replace(".B05.", ".B04."))


def of(kind: str, unguarded: float, write: Callable[..., Path] | None = None, piece: Any = of_day) -> Format:
    """Return a format that a kind of source reads."""
    return Format(write or KINDS[kind].write, KINDS[kind].config, piece, unguarded)


def mosaic(unguarded: float, write: Callable[..., Path]) -> Format:
    """Return a format of the tiles of a mosaic."""
    return Format(write, lambda path: RasterConfig(path=path, variables={"elevation": 1}), of_tile, unguarded)


FORMATS = {
    "smap_l4": of("smap_l4", 0.05),
    "smap_l4 packed": of("smap_l4", 0.0, packed(kinds.smap_l4)),
    "smap_l4 aup": Format(aup, lambda path: SmapL4Config(path=path, product="aup"), of_day, 0.05),
    "smap_l3": of("smap_l3", 0.05),
    "smap_l3 packed": of("smap_l3", 0.0, packed(kinds.smap_l3)),
    "cell_list": of("cell_list", 0.1),
    "netcdf-4": of("netcdf", 0.2, netcdf4),
    "netcdf-4 packed": of("netcdf", 0.0, lambda folder, n: netcdf4(folder, n, packed=True)),
    "netcdf-3": of("netcdf", 0.75, netcdf3),
    "tif striped": mosaic(0.85, tile),
    "tif tiled": mosaic(0.85, lambda folder, n: tile(folder, n, tiled=True, blockxsize=16, blockysize=16)),
    "tif deflate": mosaic(0.03, lambda folder, n: tile(folder, n, compress="deflate", predictor=3)),
    "cog": mosaic(0.03, cog),
    "vrt": mosaic(0.1, vrt),
    "reflectance": of("reflectance", 0.7, scene, of_scene),
    "ismn values": of("ismn", 0.2, None, of_station),
    "ismn ceop": of("ismn", 0.1, ceop, of_station),
    "stations_csv": of("stations_csv", 0.15, None, of_station),
}
