"""The weather: storms that cross the region, as they are and as a gauge product reports them, and the sun."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smdown.twin.fields import Component, gaussian_field, sample_rows_columns, stream
from smdown.twin.frame import Frame

Array32 = npt.NDArray[np.float32]

STEP = 32
"""Pixels between the nodes of the rain field: about 1 km."""
MEAN_RAIN = 2.8
"""Rain that the storms bring on average (mm/day)."""
MOST_RAIN = 200.0
"""What a day's rain comes near to where storms pile up (mm)."""
BORDER_M = 45000.0
"""Ground beyond the region on which it rains, for the gauge product's margin."""


@dataclass(frozen=True)
class Nodes:
    """The lattice of about 1 km that rain is known on; node ``before`` lies on the working grid's first pixel.

    Parameters
    ----------
    before : tuple of int
        Nodes north and west of the working grid.
    shape : tuple of int
        Rows and columns of nodes.
    spacing : tuple of float
        Distance between nodes on the ground (m).
    """

    before: tuple[int, int]
    shape: tuple[int, int]
    spacing: tuple[float, float]

    def lines(self, pixels: int) -> tuple[npt.NDArray[np.int64], Array32]:
        """Return for each pixel the node before it, counted from the grid's first, and the next one's weight."""
        i = np.arange(pixels)
        return i // STEP, ((i % STEP) / STEP).astype(np.float32)


def make_nodes(frame: Frame) -> Nodes:
    """Return the rain lattice of a region."""
    spacing = (frame.spacing[0] * STEP, frame.spacing[1] * STEP)
    before = (math.ceil(BORDER_M / spacing[0]), math.ceil(BORDER_M / spacing[1]))
    inside = [n // STEP + 2 for n in frame.shape]
    return Nodes(before, (inside[0] + 2 * before[0], inside[1] + 2 * before[1]), spacing)


class Sun(NamedTuple):
    """What a day asks of the land.

    Parameters
    ----------
    demand : float
        Potential evapotranspiration of flat land (mm/day).
    tilt : float
        Factor on a surface's southness in the radiation that it receives, relative to flat land.
    soil_temperature : float
        Degrees Celsius at 5 cm.
    """

    demand: float
    tilt: float
    soil_temperature: float


def make_rain(nodes: Nodes, days: int, seed: int) -> Array32:
    """Return daily rain on the lattice (mm/day), float32 ``(day, y, x)``: systems that come every few days."""
    rng = stream(seed, "storms")
    rain = np.zeros((days, *nodes.shape), dtype=np.float32)
    climate = np.exp(0.18 * gaussian_field(rng, nodes.shape, nodes.spacing, [Component(35000.0, 1.0)]))
    clock = float(rng.gamma(1.4, 2.0))
    while clock < days:
        heading, strength = rng.uniform(0.0, 0.5 * np.pi), float(rng.gamma(2.0, 0.5))
        length = 2 if rng.random() < 0.35 else 1
        for day in range(int(clock), min(int(clock) + length, days)):
            rain[day] += _storm(rng, nodes, heading, strength)
        clock += length + float(rng.gamma(1.1, 3.2))
    rain *= climate * np.float32(min(max(MEAN_RAIN / max(float(rain.mean()), 0.1), 0.5), 2.0))
    rain /= 1 + rain / np.float32(MOST_RAIN)
    rain[rain < 0.2] = 0.0
    return rain


def _storm(rng: np.random.Generator, nodes: Nodes, heading: float, strength: float) -> Array32:
    """Return one day of a system: widespread light rain and moving cells of heavy rain (mm)."""
    broad = gaussian_field(rng, nodes.shape, nodes.spacing, [Component(22000.0, 0.7), Component(6000.0, 0.3)])
    rain = 3.5 * strength * np.exp(0.8 * broad)
    area_km2 = nodes.shape[0] * nodes.shape[1] * nodes.spacing[0] * nodes.spacing[1] / 1e6
    for _ in range(rng.poisson(0.0022 * area_km2 * strength)):
        where = rng.random(2) * nodes.shape
        depth = float(rng.gamma(2.0, 6.5))
        across = float(rng.lognormal(np.log(4000.0), 0.3))
        along = math.hypot(across, float(rng.uniform(3000.0, 12000.0)))
        _add_cell(rain, nodes, (float(where[0]), float(where[1])), depth, along, across, heading + rng.normal(0, 0.2))
    speckle = gaussian_field(rng, nodes.shape, nodes.spacing, [Component(2500.0, 1.0)])
    return np.asarray(rain * np.exp(0.3 * speckle - 0.045), dtype=np.float32)


def _add_cell(
    rain: Array32, nodes: Nodes, where: tuple[float, float], depth: float, along: float, across: float, heading: float
) -> None:
    """Add the track that a moving cell leaves in a day: an ellipse along its heading (radians north of east)."""
    y0, y1, x0, x1 = (
        int(min(max(c + sign * 3.2 * along / s, 0), n))
        for c, s, n in zip(where, nodes.spacing, nodes.shape, strict=True)
        for sign in (-1, 1)
    )
    north = -(np.arange(y0, y1) - where[0])[:, None] * nodes.spacing[0]
    east = (np.arange(x0, x1) - where[1])[None, :] * nodes.spacing[1]
    u = (east * math.cos(heading) + north * math.sin(heading)) / along
    v = (north * math.cos(heading) - east * math.sin(heading)) / across
    rain[y0:y1, x0:x1] += depth * np.exp(-0.5 * (u * u + v * v))


def relief_factor(frame: Frame, elevation: Array32) -> Array32:
    """Return the factor by which hills catch more rain, on the nodes over the working grid."""
    fy, fx = (np.minimum(np.arange(n // STEP + 2) * STEP, n - 1).astype(float) for n in frame.shape)
    heights = sample_rows_columns(elevation, fy, fx)
    return np.asarray(np.clip(1.0 + 0.0008 * (heights - heights.mean()), 0.7, 1.4), dtype=np.float32)


def make_sun(days: npt.NDArray[np.datetime64], wet: npt.NDArray[np.bool_], lat: float, seed: int) -> list[Sun]:
    """Return the sun and warmth of each day.

    Extraterrestrial radiation after FAO-56 (Allen et al., 1998, equations 21-25), evapotranspiration after Hargreaves
    and Samani (1985, Applied Engineering in Agriculture 1), cut on days of rain.

    Parameters
    ----------
    days : ndarray
        Days, datetime64.
    wet : ndarray
        Whether it rains over much of the region on each.
    lat : float
        Latitude (degrees).
    seed : int
        Seed of the twin.
    """
    rng = stream(seed, "sun")
    anomaly, out = 0.0, []
    for day, rainy in zip(days, wet, strict=True):
        year_day = int((day.astype("datetime64[D]") - day.astype("datetime64[Y]")).astype(int)) + 1
        anomaly = 0.7 * anomaly + float(rng.normal(0.0, 2.2))
        phase = math.cos(2 * math.pi * (year_day - (200 if lat >= 0 else 17)) / 365.25)
        mean = 27.0 - 0.32 * abs(lat) + (3.0 + 0.24 * abs(lat)) * phase + anomaly - (2.0 if rainy else 0.0)
        spread = 7.0 if rainy else 13.0
        radiation, noon = _radiation(year_day, lat)
        demand = 0.0023 * 0.408 * radiation * max(mean + 17.8, 0.0) * math.sqrt(spread)
        out.append(Sun(max(demand, 0.2), 0.7 * math.tan(min(max(noon, -1.2), 1.2)), mean - 1.0))
    return out


def _radiation(year_day: int, lat: float) -> tuple[float, float]:
    """Return daily extraterrestrial radiation (MJ m-2) and how far south of the zenith the noon sun is (radians)."""
    phi = math.radians(lat)
    angle = 2 * math.pi * year_day / 365
    declination = 0.409 * math.sin(angle - 1.39)
    sunset = math.acos(min(max(-math.tan(phi) * math.tan(declination), -1.0), 1.0))
    arc = sunset * math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.sin(sunset)
    return 24 * 60 / math.pi * 0.082 * (1 + 0.033 * math.cos(angle)) * arc, phi - declination
