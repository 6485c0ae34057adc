"""Drivers of a day: which steps of a source it needs, and what becomes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.cubes import Cube
from smdown.errors import CubeError
from smdown.features import expression, plugins
from smdown.features.config import (
    AntecedentDriver,
    DailyDriver,
    DifferenceDriver,
    DriverConfig,
    ExpressionDriver,
    FunctionDriver,
    Latest,
)
from smdown.features.ground import row_distances
from smdown.features.reader import SourceReader
from smdown.grid import NestedGrid, Window

F32 = npt.NDArray[np.float32]
DAY = np.timedelta64(1, "D")
LEAST_SUM = 1e-6
"""Sum of two reflectances above which their normalised difference is taken."""


def fill(driver: DriverConfig, reader: SourceReader, grid: NestedGrid, window: Window, day: np.datetime64) -> F32:
    """Return one driver of a day, ``(y, x)``; refuse a daily one without days."""
    if isinstance(driver, Latest):
        return _latest(driver, reader, grid, window, day)
    assert isinstance(driver, AntecedentDriver | DailyDriver)
    if not len(reader.cube.times):
        raise CubeError(f"got {reader.cube.url} for {driver.name}, which has no time axis; use a driver of kind source")
    if isinstance(driver, AntecedentDriver):
        return _antecedent(driver, reader, grid, window, day)
    return _daily(driver, reader, grid, window, day)


def _latest(driver: Latest, reader: SourceReader, grid: NestedGrid, window: Window, day: np.datetime64) -> F32:
    """Return what is made from the latest step of several variables, resampled first."""
    step = (latest_step(reader.cube, day),) if len(reader.cube.times) else ()

    def read(names: tuple[str, ...], part: Window) -> F32:
        return reader.read(names, grid, part, step, driver.resampling)[:, 0]

    if isinstance(driver, DifferenceDriver):
        return _difference(*read((driver.a, driver.b), window))
    wide = window.expand(driver.halo_px if isinstance(driver, FunctionDriver) else 0)
    fields = dict(zip(driver.variables, read(driver.variables, wide), strict=True))
    if isinstance(driver, ExpressionDriver):
        value = expression.evaluate(driver.expression, fields)
    else:
        value = plugins.apply(driver.function, fields, driver.halo_px, *row_distances(grid, wide.y0, wide.y1))
    low, high = driver.valid_range or (-np.inf, np.inf)
    return np.where((value >= low) & (value <= high), value, np.float32(np.nan))


def _difference(a: F32, b: F32) -> F32:
    with np.errstate(invalid="ignore", divide="ignore"):
        sound = (a >= 0) & (b >= 0) & (a + b > LEAST_SUM)
        return np.where(sound, (a - b) / (a + b), np.float32(np.nan))


def latest_step(cube: Cube, day: np.datetime64) -> int:
    """Return the last step at or before a day, or the first of all where there is none."""
    return max(0, int(np.searchsorted(cube.times, day.astype("datetime64[ns]"), side="right")) - 1)


def _antecedent(
    driver: AntecedentDriver, reader: SourceReader, grid: NestedGrid, window: Window, day: np.datetime64
) -> F32:
    """Return the weighted sum, scaled up by the weights of days that the record does not have.

    Days are summed before they are resampled: both are linear, and the source's grid is the smaller one.
    """
    weights = {}
    for back in range(driver.days):
        found = np.flatnonzero(reader.cube.times == (day - back * DAY).astype("datetime64[ns]"))
        if len(found):
            weights[int(found[0])] = (driver.decay or 1.0) ** back
    if not weights:
        return np.full(window.shape, np.nan, np.float32)
    whole = sum((driver.decay or 1.0) ** back for back in range(driver.days))
    scale = whole / sum(weights.values())
    return reader.read_sum(driver.variable, grid, window, {k: w * scale for k, w in weights.items()}, driver.resampling)


def _daily(driver: DailyDriver, reader: SourceReader, grid: NestedGrid, window: Window, day: np.datetime64) -> F32:
    """Return the day's value; where it is missing, the latest one within `max_age_days` before."""
    out = np.full(window.shape, np.nan, np.float32)
    for back in range(driver.max_age_days + 1):
        found = np.flatnonzero(reader.cube.times == (day - back * DAY).astype("datetime64[ns]"))
        if len(found):
            value = reader.read((driver.variable,), grid, window, (int(found[0]),), driver.resampling)[0, 0]
            out = np.where(np.isnan(out), value, out)
        if not np.isnan(out).any():
            break
    return out


def sequence_steps(cube: Cube, day: np.datetime64, days: int) -> list[int]:
    """Return the steps of the last `days` days, oldest first; a day without one takes the step before it."""
    if not len(cube.times):
        raise CubeError(f"got {cube.url} in the sequence, which has no time axis; take a daily source")
    return [latest_step(cube, day - back * DAY) for back in range(days - 1, -1, -1)]
