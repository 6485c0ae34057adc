"""The vegetation: pasture and woods by nature, fields by parcel, and what each does in a year."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from smdown.twin.fields import Component, gaussian_field, stream
from smdown.twin.frame import Frame
from smdown.twin.soil import Texture
from smdown.twin.terrain import Terrain

Array32 = npt.NDArray[np.float32]
Season = tuple[float, float, float]
"""What pasture, winter crops and summer crops have reached of their height."""

PARCEL_M = 620.0
"""Mean side of a field."""


class Vegetation(NamedTuple):
    """Green cover (0-1) is ``lasting * p + winter * w + summer * s`` with the season's `p`, `w`, `s`.

    Parameters
    ----------
    lasting, winter, summer : ndarray
        Cover of pasture and wood, of winter crops and of summer crops at their height; float32 ``(y, x)``.
    """

    lasting: Array32
    winter: Array32
    summer: Array32

    def cover(self, season: Season) -> Array32:
        """Return the cover of a day."""
        p, w, s = (np.float32(v) for v in season)
        return np.clip(self.lasting * p + self.winter * w + self.summer * s, 0.0, 1.0)


def make_vegetation(frame: Frame, terrain: Terrain, texture: Texture, seed: int) -> Vegetation:
    """Return vegetation: fields on gentle loamy land, denser growth where soil is finer and land hollow."""
    rng = stream(seed, "vegetation")
    scales = (Component(14000.0, 0.4), Component(4000.0, 0.3), Component(1000.0, 0.2), Component(250.0, 0.1))
    wild, tilled = (gaussian_field(rng, frame.shape, frame.spacing, scales) for _ in range(2))
    vigour = np.clip(0.8 + 0.12 * terrain.hollow + 0.006 * (texture.clay - 23.0), 0.4, 1.1)
    lasting = np.float32(0.85) / (1.0 + np.exp(0.2 - 1.1 * wild - 0.35 * terrain.hollow))
    share = np.float32(1.0) / (1.0 + np.exp(0.4 - 1.3 * tilled + 12.0 * (terrain.gradient - 0.03)))
    winter, summer, fallow = _parcels(frame, share.astype(np.float32), seed)
    own = np.where(winter + summer > 0, 0.1, lasting) * (1.0 - 0.8 * fallow)
    return Vegetation(*(np.clip(v * vigour, 0.0, 0.97).astype(np.float32) for v in (own, winter, summer)))


def season(day: np.datetime64, lat: float) -> Season:
    """Return what share of their height pasture, winter crops and summer crops have reached on a day."""
    year_day = (day.astype("datetime64[D]") - day.astype("datetime64[Y]")).astype(int) + (0 if lat >= 0 else 182)
    lasting = 0.62 + 0.38 * np.cos(2 * np.pi * (year_day - 185) / 365.25)
    return float(lasting), _bump(year_day, 112, 34), _bump(year_day, 205, 30)


def _bump(year_day: int, peak: int, width: int) -> float:
    away = (year_day - peak + 182) % 365 - 182
    return float(np.exp(-0.5 * (away / width) ** 2))


def _parcels(frame: Frame, share: Array32, seed: int) -> tuple[Array32, Array32, Array32]:
    """Return cover at their height of winter and of summer crops, and where land lies fallow (1)."""
    step_y, step_x = (PARCEL_M / s for s in frame.spacing)
    shape = (int(frame.shape[0] / step_y) + 4, int(frame.shape[1] / step_x) + 4)
    rng = stream(seed, "parcels")
    seeds = np.stack(np.meshgrid(*(np.arange(n) - 1.5 for n in shape), indexing="ij")) + rng.random((2, *shape))
    rows, columns = (
        np.clip(places * step, 0, n - 1).astype(np.int64)
        for places, step, n in zip(seeds, (step_y, step_x), frame.shape, strict=True)
    )
    chance, kind, height = rng.random((3, *shape))
    tilled = chance < share[rows, columns]
    height = 0.7 + 0.25 * height
    covers = (
        (tilled & (kind < 0.5)) * height,
        (tilled & (kind >= 0.5) & (kind < 0.85)) * height,
        tilled & (kind >= 0.85),
    )
    parcel = np.empty(frame.shape, dtype=np.int32)
    _nearest(seeds, step_y, step_x, parcel)
    winter, summer, fallow = (np.asarray(c, dtype=np.float32).reshape(-1)[parcel] for c in covers)
    return winter, summer, fallow


@njit(parallel=True, cache=True)
def _nearest(seeds: npt.NDArray[np.float64], step_y: float, step_x: float, parcel: npt.NDArray[np.int32]) -> None:
    """Give each pixel the number of its nearest seed (one seed a box; distance is the larger of the differences)."""
    ny, nx = seeds.shape[1:]
    for r in prange(parcel.shape[0]):
        y = r / step_y
        for x_pixel in range(parcel.shape[1]):
            x = x_pixel / step_x
            nearest = 1e9
            for v in range(max(0, int(y + 1.5) - 1), min(ny, int(y + 1.5) + 2)):
                for u in range(max(0, int(x + 1.5) - 1), min(nx, int(x + 1.5) + 2)):
                    away = max(abs(seeds[0, v, u] - y), abs(seeds[1, v, u] - x))
                    if away < nearest:
                        nearest = away
                        parcel[r, x_pixel] = v * nx + u
