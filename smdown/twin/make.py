"""Make a twin: run the region's physics and write what a user, and what only the truth, would know of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from smdown import __version__
from smdown.cubes import Cube, CubeSpec, Variable, create_cube
from smdown.errors import ConfigError, InputError
from smdown.twin.fields import stream
from smdown.twin.frame import RATIO, Frame, make_frame
from smdown.twin.optical import EVERY_DAYS, make_scenery, write_scene
from smdown.twin.precipitation import write_precipitation
from smdown.twin.rasters import write_elevation, write_soil
from smdown.twin.region import SPIN_UP_DAYS, History, Region, Weather, make_region, make_weather, simulate
from smdown.twin.smap import write_smap
from smdown.twin.stations import NETWORK, Sites, place_stations, write_stations
from smdown.twin.summary import FILE, FOLDERS, TwinSummary, load_summary

Array32 = npt.NDArray[np.float32]
Progress = Callable[[str, int, int], None]

_SHARD_CELLS = 4
_LAYERS = ("sm_surface", "sm_rootzone")


def make_twin(
    out: Path,
    cells: tuple[int, int] = (8, 8),
    days: int = 120,
    stations: int = 60,
    seed: int = 0,
    truth_every: int = 10,
    origin: tuple[float, float] = (-98.0, 35.0),
    start: str = "2020-04-01",
    progress: Progress | None = None,
    *,
    smap_noise: float = 1.0,
) -> TwinSummary:
    """Make a synthetic region and write its input files and its truth.

    The same arguments give the same bytes. A finished twin of the same recipe is left as it is.

    Parameters
    ----------
    out : Path
        Folder; may hold an older twin, which is replaced, but nothing else.
    cells : tuple of int
        Rows and columns of 9 km cells.
    days : int
        Length of the period.
    stations : int
        Number of stations.
    seed : int
        Seed, at least 0.
    truth_every : int
        The truth is kept of every so many days, from the first.
    origin : tuple of float
        Longitude and latitude (degrees) of the region's middle, up to a cell.
    start : str
        First day, ISO.
    progress : callable, optional
        Called with a stage's name, steps done and steps in all.
    smap_noise : float
        Factor on the coarse product's error; 0 makes it the exact cell mean.

    Returns
    -------
    TwinSummary
        Where everything is.
    """
    first = _checked(cells, days, stations, seed, truth_every, start)
    recipe = json.dumps(
        [__version__, *cells, days, stations, seed, truth_every, *origin, str(first), smap_noise], separators=(",", ":")
    )
    frame = make_frame(cells, origin)
    if (finished := _prepare(out, recipe)) is not None:
        return finished
    report = progress or (lambda _stage, _done, _total: None)
    report("region", 0, 1)
    region = make_region(frame, seed)
    weather = make_weather(region, first, days, seed)
    sites = place_stations(frame, stations, seed)
    report("region", 1, 1)
    truth_days = range(0, days, truth_every)
    summary = TwinSummary(
        out,
        frame.cells,
        frame.bounds(0.0),
        str(first),
        str(first + np.timedelta64(days - 1, "D")),
        tuple(str(first + np.timedelta64(d, "D")) for d in truth_days),
        tuple(f"{NETWORK}/{name}" for name in sites.names),
        frame.utm,
        seed,
        recipe,
    )
    _write_static(summary, region, weather, report)
    history = _run(summary, region, weather, sites, days, report)
    report("series", 0, 2)
    write_smap(summary.smap, frame, history.cells, first, seed, smap_noise)
    report("series", 1, 2)
    _write_stations(summary, region, weather, sites, history)
    report("series", 2, 2)
    summary.save()
    return summary


def _checked(
    cells: tuple[int, int], days: int, stations: int, seed: int, truth_every: int, start: str
) -> np.datetime64:
    for name, value, least in (
        ("rows of cells", cells[0], 1),
        ("columns of cells", cells[1], 1),
        ("days", days, 1),
        ("stations", stations, 0),
        ("seed", seed, 0),
        ("truth_every", truth_every, 1),
    ):
        if value < least:
            raise ConfigError(f"got {value} for {name} of a twin; it must be at least {least}")
    try:
        return np.datetime64(start, "D")
    except ValueError as error:
        raise ConfigError(f"got {start!r} as the first day of a twin; write it as 2020-04-01") from error


def _prepare(out: Path, recipe: str) -> TwinSummary | None:
    """Return the finished twin if it is the one that is asked for; otherwise make room."""
    try:
        found = load_summary(out)
        if found.recipe == recipe:
            return found
    except InputError:
        pass
    foreign = {p.name for p in out.iterdir()} - {FILE, *FOLDERS.values()} if out.exists() else set()
    if foreign:
        raise ConfigError(
            f"got {out} for a twin, a folder that holds other things ({min(foreign)}); name a new or empty one"
        )
    (out / FILE).unlink(missing_ok=True)
    for folder in FOLDERS.values():
        shutil.rmtree(out / folder, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    return None


def _write_static(summary: TwinSummary, region: Region, weather: Weather, report: Progress) -> None:
    frame = region.frame
    report("rasters", 0, 3)
    write_elevation(summary.dem, frame, region.terrain.elevation)
    report("rasters", 1, 3)
    write_soil(summary.soil, frame, region.texture, summary.seed)
    report("rasters", 2, 3)
    write_precipitation(summary.precipitation, frame, region.nodes, weather.rain, weather.days, summary.seed)
    report("rasters", 3, 3)


def _run(summary: TwinSummary, region: Region, weather: Weather, sites: Sites, days: int, report: Progress) -> History:
    """Run the water balance, writing truth and scenes of the days that have them."""
    frame, first = region.frame, np.datetime64(summary.start, "D")
    truth = {int((np.datetime64(d, "D") - first).astype(int)): k for k, d in enumerate(summary.truth_days)}
    phase = int(stream(summary.seed, "orbit").integers(0, min(EVERY_DAYS, max(days // 2, 1))))
    scenes = set(range(phase, days, EVERY_DAYS))
    cube = _truth_cube(summary, frame)
    scenery = make_scenery(frame, region.land.vegetation, region.texture)
    history = History(np.zeros((days, 2, *frame.cells.shape)), np.zeros((days, 2, len(sites.names)), dtype=np.float32))
    for day, maps in simulate(region, weather, sites, {*truth, *scenes}, history):
        if day in truth:
            _write_truth(cube, maps[:, frame.inner[0], frame.inner[1]], truth[day])
        if day in scenes:
            now = day + SPIN_UP_DAYS
            saturation = maps[0] / region.land.soil.porosity
            write_scene(summary.optical, scenery, weather.days[now], weather.seasons[now], saturation, summary.seed)
        report("days", day + 1, days)
    cube.finish()
    report("days", days, days)
    return history


def _truth_cube(summary: TwinSummary, frame: Frame) -> Cube:
    shard = RATIO * min(_SHARD_CELLS, max(frame.cells.shape))
    variables = tuple(
        Variable(name, ("time", "y", "x"), "int16", 1e-4, "m3 m-3", long_name, valid_range=(0.0, 0.9))
        for name, long_name in zip(_LAYERS, ("true soil moisture, 0-5 cm", "true soil moisture, 0-100 cm"), strict=True)
    )
    spec = CubeSpec(
        frame.grid.raster, variables, summary.truth_days, shard, RATIO, summary.recipe, {"title": "Synthetic truth"},
        frame.grid,
    )  # fmt: skip
    return create_cube(str(summary.truth), spec)


def _write_truth(cube: Cube, maps: Array32, time: int) -> None:
    assert cube.nested is not None
    for tile in cube.nested.tiles(cube.spec.shard // RATIO):
        window = tile.core.relative_to(cube.nested.window)
        for name, field in zip(_LAYERS, maps, strict=True):
            cube.write(name, field[window.slices], window, time)


def _write_stations(summary: TwinSummary, region: Region, weather: Weather, sites: Sites, history: History) -> None:
    warmth = np.array([sun.soil_temperature for sun in weather.suns[SPIN_UP_DAYS:]])
    at = sites.rows, sites.columns
    write_stations(
        summary.stations, region.frame, sites, history.spots, region.terrain.elevation[at], warmth,
        region.land.soil.porosity[at], np.datetime64(summary.start, "D"), summary.seed,
    )  # fmt: skip
