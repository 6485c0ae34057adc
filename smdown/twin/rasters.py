"""The static rasters: elevation and soil on longitude and latitude, one arc-second, as GeoTIFF."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine

from smdown.twin.fields import Component, gaussian_field, sample_rows_columns, stream
from smdown.twin.frame import FILE_MARGIN_M, Frame
from smdown.twin.soil import PARTICLE_DENSITY, Texture, porosity_of

Array32 = npt.NDArray[np.float32]

ARC = 3600
"""Pixels per degree."""
NODATA = -9999.0
_MAPPING = (Component(1500.0, 0.5), Component(300.0, 0.5))


def write_geotiff(path: Path, bands: npt.NDArray[Any], crs: str, transform: Affine, nodata: float | None) -> None:
    """Write one band as a tiled, compressed GeoTIFF that holds no time and no path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    predictor = 3 if bands.dtype.kind == "f" else 2
    height, width = bands.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=1, dtype=bands.dtype, crs=crs,
        transform=transform, nodata=nodata, tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", zlevel=1, predictor=predictor,
    ) as file:  # fmt: skip
        file.write(bands, 1)


def write_elevation(out: Path, frame: Frame, elevation: Array32) -> None:
    """Write the elevation (m) in tiles that end at whole degrees, as elevation models come."""
    for name, window in degree_tiles(frame):
        write_geotiff(out / f"dem_{name}.tif", _sampled(frame, elevation, window), "EPSG:4326", _at(window), NODATA)


def write_soil(out: Path, frame: Frame, texture: Texture, seed: int) -> None:
    """Write sand, silt, clay and organic matter (%) and bulk density (g cm-3), each with a surveyor's error."""
    rng = stream(seed, "survey")
    west, south, east, north = _extent(frame)
    window = west, south, east, north
    shape = north - south, east - west
    spacing = frame.spacing[0], frame.spacing[0] * math.cos(math.radians(frame.centre[1]))
    error = [gaussian_field(rng, shape, spacing, _MAPPING) for _ in range(4)]
    density = PARTICLE_DENSITY * (1.0 - porosity_of(texture.sand, texture.organic))
    sand = np.clip(_sampled(frame, texture.sand, window) + 3.0 * error[0], 1.0, 96.0)
    clay = np.clip(_sampled(frame, texture.clay, window) + 2.5 * error[1], 1.0, 99.0 - sand)
    rasters = {
        "sand": sand,
        "clay": clay,
        "silt": 100.0 - sand - clay,
        "organic": _sampled(frame, texture.organic, window) * np.exp(0.15 * error[2]),
        "bulk_density": _sampled(frame, density, window) + 0.03 * error[3],
    }
    for name, values in rasters.items():
        known = np.where(np.isfinite(values), np.round(values, 2), NODATA).astype(np.float32)
        write_geotiff(out / f"{name}.tif", known, "EPSG:4326", _at(window), NODATA)


def degree_tiles(frame: Frame) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Yield name and window (west, south, east, north, in arc-seconds) of each degree that the region touches."""
    west, south, east, north = _extent(frame)
    for lat in range(south // ARC, -(-north // ARC)):
        for lon in range(west // ARC, -(-east // ARC)):
            name = f"{'n' if lat >= 0 else 's'}{abs(lat):02d}_{'e' if lon >= 0 else 'w'}{abs(lon):03d}"
            w, e = max(west, lon * ARC), min(east, (lon + 1) * ARC)
            s, n = max(south, lat * ARC), min(north, (lat + 1) * ARC)
            yield name, (w, s, e, n)


def _extent(frame: Frame) -> tuple[int, int, int, int]:
    west, south, east, north = (v * ARC for v in frame.bounds(FILE_MARGIN_M))
    return math.floor(west), math.floor(south), math.ceil(east), math.ceil(north)


def _at(window: tuple[int, int, int, int]) -> Affine:
    west, _, _, north = window
    return Affine(1 / ARC, 0.0, west / ARC, 0.0, -1 / ARC, north / ARC)


def _sampled(frame: Frame, field: Array32, window: tuple[int, int, int, int]) -> Array32:
    """Return a field of the working grid at the pixel centres of a window of arc-seconds."""
    west, south, east, north = window
    lon = (np.arange(west, east) + 0.5) / ARC
    lat = (np.arange(north, south, -1) - 0.5) / ARC
    rows = frame.place(np.zeros_like(lat), lat)[0]
    columns = frame.place(lon, np.zeros_like(lon))[1]
    return sample_rows_columns(field, rows, columns)
