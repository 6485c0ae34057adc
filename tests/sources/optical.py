"""Small optical scenes named and numbered as their providers do, of a known ground."""

from __future__ import annotations

import math

import numpy as np
from affine import Affine
from pyproj import Transformer

from smdown.sources.context import transform_bounds
from tests.sources.fabricate import write_tif

BANDS = ("green", "red", "nir", "swir1")
LEVEL = {"green": 0.06, "red": 0.12, "nir": 0.34, "swir1": 0.25}
WAVE_M = 9000.0
HLS = {"L30": ("B03", "B04", "B05", "B06"), "S30": ("B03", "B04", "B8A", "B11")}
LANDSAT = {"LC08": ("B3", "B4", "B5", "B6"), "LE07": ("B2", "B3", "B4", "B5")}
SAFE = {"green": "B03_10m", "red": "B04_10m", "nir": "B08_10m", "swir1": "B11_20m"}


def ground(band, lon, lat):
    """Reflectance of a place: waves, different in every band."""
    x, y = lon * 111320 * math.cos(math.radians(39)), lat * 110800
    turn = BANDS.index(band)
    k = 2 * np.pi / WAVE_M
    return LEVEL[band] * (1 + 0.3 * np.sin(k * x + turn) * np.cos(k * y - turn))


def lonlat_of(x, y, crs):
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*np.meshgrid(x, y))


class Place:
    """Pixels around the extent: `box` in degrees, whole pixels of `unit` metres (multiples line up)."""

    def __init__(self, context, crs, unit, box=None):
        west, south, east, north = context.lonlat
        x0, y0, x1, y1 = transform_bounds(
            "EPSG:4326", crs, box or (west - 0.05, south - 0.05, east + 0.05, north + 0.05)
        )
        self.crs = crs
        self.x0, self.y0 = math.floor(x0 / unit) * unit, math.ceil(y1 / unit) * unit
        self.width, self.height = math.ceil((x1 - self.x0) / unit) * unit, math.ceil((self.y0 - y0) / unit) * unit

    def shape(self, pixel):
        return int(self.height / pixel), int(self.width / pixel)

    def reflectance(self, band, pixel):
        height, width = self.shape(pixel)
        x, y = self.x0 + (np.arange(width) + 0.5) * pixel, self.y0 - (np.arange(height) + 0.5) * pixel
        return ground(band, *lonlat_of(x, y, self.crs))

    def write(self, path, values, pixel, **profile):
        return write_tif(path, values, self.x0, self.y0, pixel, pixel, self.crs, **profile)

    def write_jp2(self, path, values, pixel):
        transform = Affine(pixel, 0, self.x0, 0, -pixel, self.y0)
        options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "transform": transform}
        return write_tif(path, values, 0, 0, pixel, pixel, self.crs, **options)


def hls(folder, place, day, mask=None, sensor="L30", pixel=300.0, tile="14SNE"):
    """`day` as 2020092."""
    name = f"HLS.{sensor}.T{tile}.{day}T171234.v2.0"
    for band, code in zip(BANDS, HLS[sensor], strict=True):
        counts = np.rint(place.reflectance(band, pixel) * 1e4).astype("i2")
        place.write(folder / name / f"{name}.{code}.tif", counts, pixel, nodata=-9999)
    if sensor == "S30":  # its red edge has the names of the other's near and short-wave infrared
        for code in ("B05", "B06"):
            place.write(folder / name / f"{name}.{code}.tif", np.full_like(counts, 7000), pixel, nodata=-9999)
    bits = np.full(place.shape(pixel), 64) if mask is None else mask
    place.write(folder / name / f"{name}.Fmask.tif", np.asarray(bits, "u1"), pixel, nodata=255)
    return folder / name


def landsat(folder, place, day, mask=None, platform="LC08", pixel=300.0):
    """`day` as 20200401."""
    name = f"{platform}_L2SP_028037_{day}_20200822_02_T1"
    for band, code in zip(BANDS, LANDSAT[platform], strict=True):
        counts = np.rint((place.reflectance(band, pixel) + 0.2) / 2.75e-5).astype("u2")
        place.write(folder / name / f"{name}_SR_{code}.TIF", counts, pixel, nodata=0)
    blue = {"LC08": "B2", "LE07": "B1"}[platform]  # the older sensors' number of green
    place.write(folder / name / f"{name}_SR_{blue}.TIF", np.full_like(counts, 9000), pixel, nodata=0)
    bits = np.full(place.shape(pixel), 21824 if platform == "LC08" else 5440) if mask is None else mask
    place.write(folder / name / f"{name}_QA_PIXEL.TIF", np.asarray(bits, "u2"), pixel, nodata=1)
    return folder / name


def sentinel2(folder, place, day, baseline="0510", scl=None, fine=200.0, noise=None, name=None):
    """`day` as 20200401; bands of `fine` and twice as large pixels, as 10 m and 20 m."""
    stamp = f"{day}T171234"
    safe = name or f"S2A_MSIL2A_{stamp}_N{baseline}_R069_T14SNE_20220301T000000.SAFE"
    images = folder / safe / "GRANULE" / f"L2A_T14SNE_A000001_{stamp}" / "IMG_DATA"
    for band, code in SAFE.items():
        pixel = fine if code.endswith("10m") else 2 * fine
        counts = np.rint(place.reflectance(band, pixel) * 1e4) + (1000 if int(baseline) >= 400 else 0)
        counts += 0 if noise is None or pixel != fine else noise
        place.write_jp2(images / f"R{code[-3:]}" / f"T14SNE_{stamp}_{code}.jp2", counts.astype("u2"), pixel)
    classes = np.full(place.shape(2 * fine), 5) if scl is None else scl
    place.write_jp2(images / "R20m" / f"T14SNE_{stamp}_SCL_20m.jp2", np.asarray(classes, "u1"), 2 * fine)
    return folder / safe


def wanted(cube, band):
    """The ground at a cube's pixels."""
    return ground(band, *lonlat_of(cube.raster.x, cube.raster.y, cube.raster.crs))
