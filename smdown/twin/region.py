"""The region as a whole: everything that does not change, its weather, and the run of its water balance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smdown.twin.balance import BLOCK_DAYS, Land, Watch
from smdown.twin.frame import RATIO, Frame
from smdown.twin.soil import Texture, make_hydraulics, make_texture
from smdown.twin.stations import Sites
from smdown.twin.terrain import Terrain, make_terrain
from smdown.twin.vegetation import Season, make_vegetation, season
from smdown.twin.weather import Nodes, Sun, make_nodes, make_rain, make_sun, relief_factor

Array32 = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]

SPIN_UP_DAYS = 60
"""Days of weather before the first day, in which the soil forgets how it started."""


@dataclass(frozen=True)
class Region:
    """A synthetic region.

    Parameters
    ----------
    frame : Frame
        Where it lies.
    terrain : Terrain
        Its relief.
    texture : Texture
        Its soil, as maps know it.
    land : Land
        Its soil and vegetation, as the water knows them.
    nodes : Nodes
        Lattice of its rain.
    """

    frame: Frame
    terrain: Terrain
    texture: Texture
    land: Land
    nodes: Nodes


@dataclass(frozen=True)
class Weather:
    """The weather of a period and of the spin-up before it.

    Parameters
    ----------
    days : ndarray
        Days, datetime64[D].
    rain : ndarray
        Rain on the nodes (mm/day), ``(day, y, x)``.
    suns : tuple of Sun
        Demand of each day.
    seasons : tuple of Season
        State of the vegetation on each day.
    """

    days: npt.NDArray[np.datetime64]
    rain: Array32
    suns: tuple[Sun, ...]
    seasons: tuple[Season, ...]


@dataclass(frozen=True)
class History:
    """What the water balance leaves of every day; water contents in m3 m-3, surface before root zone.

    Parameters
    ----------
    cells : ndarray
        Means of the cells, float64 ``(day, layer, y, x)``.
    spots : ndarray
        At the stations, float32 ``(day, layer, station)``.
    """

    cells: Array64
    spots: Array32


def make_region(frame: Frame, seed: int) -> Region:
    """Return the region that a seed makes of a frame."""
    terrain = make_terrain(frame, seed)
    texture = make_texture(frame, terrain, seed)
    soil = make_hydraulics(frame, terrain, texture, seed)
    plants = make_vegetation(frame, terrain, texture, seed)
    nodes = make_nodes(frame)
    return Region(frame, terrain, texture, Land(soil, plants, terrain.southness, nodes), nodes)


def make_weather(region: Region, start: np.datetime64, days: int, seed: int) -> Weather:
    """Return the weather of `days` days from `start`, and of the spin-up before."""
    lat = region.frame.centre[1]
    dates = start.astype("datetime64[D]") + np.arange(-SPIN_UP_DAYS, days)
    rain = make_rain(region.nodes, len(dates), seed)
    suns = make_sun(dates, rain.mean(axis=(1, 2)) > 2.0, lat, seed)
    return Weather(dates, rain, tuple(suns), tuple(season(d, lat) for d in dates))


def simulate(
    region: Region, weather: Weather, sites: Sites, wanted: set[int], history: History
) -> Iterator[tuple[int, Array32]]:
    """Run the water balance.

    Parameters
    ----------
    region, weather : Region, Weather
        Where and under what.
    sites : Sites
        Pixels to follow.
    wanted : set of int
        Days, counted from the first after the spin-up, whose maps to give.
    history : History
        Filled on the way.

    Yields
    ------
    day : int
        A day that is wanted.
    maps : ndarray
        Water content of both layers at its end on the working grid, float32 ``(layer, y, x)``.
    """
    frame, land = region.frame, region.land
    rows, cols = frame.cells.shape
    edges = frame.margin + RATIO * np.arange(cols + 1)
    inside = _over_region(region, weather.rain)
    state = land.start()
    for first in range(0, len(weather.days), BLOCK_DAYS):
        block = range(first, min(first + BLOCK_DAYS, len(weather.days)))
        hits = [i for i in block if i - SPIN_UP_DAYS in wanted]
        slots = np.array([hits.index(i) if i in hits else -1 for i in block], dtype=np.int64)
        part = slice(block.start, block.stop)
        watch = Watch(edges, sites.rows, sites.columns, slots)
        report = land.advance(state, inside[part], weather.suns[part], weather.seasons[part], watch)
        if first >= SPIN_UP_DAYS:
            own = slice(first - SPIN_UP_DAYS, block.stop - SPIN_UP_DAYS)
            sums = report.sums[:, :, frame.inner[0]].reshape(len(block), 2, rows, RATIO, cols)
            history.cells[own] = sums.sum(axis=3) / (RATIO * RATIO)
            history.spots[own] = report.spots
        for i, maps in zip(hits, report.maps, strict=True):
            yield i - SPIN_UP_DAYS, maps


def _over_region(region: Region, rain: Array32) -> Array32:
    """Return the rain on the nodes over the working grid; hills catch more of it."""
    (y, x), (ny, nx) = region.nodes.before, region.land.node_shape
    return rain[:, y : y + ny, x : x + nx] * relief_factor(region.frame, region.terrain.elevation)
