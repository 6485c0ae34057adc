"""The optical scenes: Landsat-like reflectances in UTM with clouds and their mask, named as HLS names them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine
from numba import njit, prange
from pyproj import Transformer

from smdown.twin.fields import Component, Sampler, add_interpolated, gaussian_field, make_sampler, stream
from smdown.twin.frame import Frame
from smdown.twin.rasters import write_geotiff
from smdown.twin.soil import Texture
from smdown.twin.vegetation import Season, Vegetation

Array32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

PIXEL = 30.0
EVERY_DAYS = 16
FILL = -9999
BANDS = ("B03", "B04", "B05", "B06")
"""Green, red, near infrared and first short-wave infrared of Landsat 8 and 9."""
CLOUD, ADJACENT, SHADOW, LOW_AEROSOL = 1 << 1, 1 << 2, 1 << 3, 1 << 6
"""Bits of the mask."""
_PLANT = (0.065, 0.035, 0.42, 0.165)
_BARE = (0.100, 0.140, 0.215, 0.300)
_WETTED = (0.9, 0.9, 0.8, 1.3)  # how much a soil darkens from dry to saturated: exponent per unit of saturation
_CLOUD_LIGHT = (0.46, 0.45, 0.48, 0.36)


@dataclass(frozen=True)
class Scenery:
    """What the satellite sees that does not change, on its own grid.

    Parameters
    ----------
    sampler : Sampler
        Brings fields of the working grid to the scenes' grid.
    transform : Affine
        Place of the scenes' grid.
    crs : str
        Its UTM zone.
    tile : str
        Military grid tile of the region's middle.
    plants : Vegetation
        Cover.
    brightness : ndarray
        Factor on the reflectance of bare soil.
    """

    sampler: Sampler
    transform: Affine
    crs: str
    tile: str
    plants: Vegetation
    brightness: Array32


def make_scenery(frame: Frame, plants: Vegetation, texture: Texture) -> Scenery:
    """Return the scenery: the UTM rectangle around the region on whole pixels, and what lies in it."""
    west, south, east, north = frame.bounds(0.0)
    edge = np.linspace(0.0, 1.0, 21)
    lon = np.concatenate([west + edge * (east - west)] * 2 + [np.full(21, west), np.full(21, east)])
    lat = np.concatenate([np.full(21, south), np.full(21, north)] + [south + edge * (north - south)] * 2)
    x, y = Transformer.from_crs("EPSG:4326", frame.utm, always_xy=True).transform(lon, lat)
    left, top = math.floor(min(x) / PIXEL - 4) * PIXEL, math.ceil(max(y) / PIXEL + 4) * PIXEL
    shape = math.ceil((top - min(y)) / PIXEL + 4), math.ceil((max(x) - left) / PIXEL + 4)
    columns, rows = left + PIXEL * (np.arange(2) + 0.5), top - PIXEL * (np.arange(2) + 0.5)
    sampler = make_sampler(shape, columns, rows, frame.place_utm)
    brightness = 0.85 + 0.006 * (texture.sand - 43.0) - 0.06 * (texture.organic - 1.6)
    return Scenery(
        sampler,
        Affine(PIXEL, 0.0, left, 0.0, -PIXEL, top),
        frame.utm,
        tile_name(*frame.centre, frame.utm),
        Vegetation(*(sampler(p) for p in plants)),
        sampler(np.clip(brightness, 0.5, 1.3)),
    )


def tile_name(lon: float, lat: float, crs: str) -> str:
    """Return the 100 km square of the military grid (MGRS) that holds a place (degrees) of a UTM zone: ``T14SND``."""
    zone = int(crs[-2:])
    band = "CDEFGHJKLMNPQRSTUVWX"[min(max(int((lat + 80) // 8), 0), 19)]
    easting, northing = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    column = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")[(zone - 1) % 3][min(max(int(easting // 1e5) - 1, 0), 7)]
    row = "ABCDEFGHJKLMNPQRSTUV"[(int(northing // 1e5) + (5 if zone % 2 == 0 else 0)) % 20]
    return f"T{zone:02d}{band}{column}{row}"


def write_scene(
    out: Path, scenery: Scenery, day: np.datetime64, season: Season, saturation: Array32, seed: int
) -> None:
    """Write the bands and the mask of one overpass.

    Parameters
    ----------
    out : Path
        Folder of all scenes.
    scenery : Scenery
        What does not change.
    day : datetime64
        Day of the overpass.
    season : tuple of float
        The season's cover on that day.
    saturation : ndarray
        Share of the surface soil's pores that hold water, on the working grid.
    seed : int
        Seed of the twin.
    """
    stamp = day.astype("datetime64[D]").item()
    rng = stream(seed, f"scene {stamp:%Y%j}")
    name = f"HLS.L30.{scenery.tile}.{stamp:%Y%j}T170000.v2.0"
    green = scenery.plants.cover(season)
    wet = scenery.sampler(saturation)
    cloud, adjacent, shadow = _sky(rng, green.shape)
    counts = np.empty(green.shape, dtype=np.int16)
    for k, band in enumerate(BANDS):
        noise = rng.standard_normal(green.shape, dtype=np.float32)
        numbers = np.array([_PLANT[k], _BARE[k], _WETTED[k], _CLOUD_LIGHT[k]], dtype=np.float32)
        _expose(green, scenery.brightness, wet, cloud, adjacent, shadow, noise, numbers, counts)
        write_geotiff(out / name / f"{name}.{band}.tif", counts, scenery.crs, scenery.transform, FILL)
    bits = np.full(green.shape, LOW_AEROSOL, dtype=np.uint8)
    bits |= (cloud > 0) * np.uint8(CLOUD) | adjacent * np.uint8(ADJACENT) | shadow * np.uint8(SHADOW)
    bits[~np.isfinite(wet)] = 255
    write_geotiff(out / name / f"{name}.Fmask.tif", bits, scenery.crs, scenery.transform, 255)


@njit(parallel=True, cache=True)
def _expose(
    green: Array32, brightness: Array32, wet: Array32, cloud: Array32, adjacent: Mask, shadow: Mask,
    noise: Array32, numbers: Array32, counts: npt.NDArray[np.int16],
) -> None:  # fmt: skip
    """Write the reflectance (counts of 1e-4) of a band: plants over darker or lighter soil, seen through the sky."""
    plant, bare, wetted, haze = numbers
    for r in prange(green.shape[0]):
        for x in range(green.shape[1]):
            if not np.isfinite(wet[r, x]):
                counts[r, x] = FILL
                continue
            soil = bare * brightness[r, x] * np.exp(-wetted * (wet[r, x] - np.float32(0.4)))
            light = (green[r, x] * plant + (1 - green[r, x]) * soil) * (1 + np.float32(0.02) * noise[r, x])
            if adjacent[r, x]:
                light += np.float32(0.15) * (haze - light)
            if shadow[r, x]:
                light *= np.float32(0.45)
            if cloud[r, x] > 0:
                light += min(cloud[r, x] * np.float32(1.5), np.float32(1.0)) * (haze - light)
            counts[r, x] = int(min(max(np.rint(light * 1e4), 1.0), 16000.0))


def _sky(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array32, Mask, Mask]:
    """Return the thickness of clouds (0-1, 0 where clear), what lies next to them, and their shadows."""
    step = 4
    coarse = shape[0] // step + 6, shape[1] // step + 6
    scales = [Component(9000.0, 0.5), Component(2500.0, 0.35), Component(600.0, 0.15)]
    field = gaussian_field(rng, coarse, (PIXEL * step, PIXEL * step), scales)
    share = 0.6 * float(rng.beta(0.9, 2.2))
    thick = np.zeros(shape, dtype=np.float32)
    rows, columns = (np.arange(n) / step + 2.0 for n in shape)
    add_interpolated(thick, field - np.float32(np.quantile(field, 1.0 - share)), rows, columns, 1.2)
    cloud = thick > 0.02
    away = int(rng.integers(16, 36))
    shadow = np.zeros(shape, dtype=bool)
    shadow[:-away, : -(away // 2)] = cloud[away:, away // 2 :]  # morning sun
    shadow &= ~cloud
    return np.where(cloud, np.minimum(thick, 1.0), 0.0).astype(np.float32), (thick > -0.1) & ~cloud & ~shadow, shadow
