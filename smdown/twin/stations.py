"""The stations: probes at five depths, in the header+values files of the International Soil Moisture Network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from smdown.twin.fields import stream
from smdown.twin.frame import RATIO, Frame

Array32 = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]

NETWORK = "TWIN"
SENSOR = "Probe"
DEPTHS = (0.05, 0.10, 0.20, 0.50, 1.00)
"""Depths of the probes (m)."""
DEPTH_WEIGHTS = (0.075, 0.075, 0.2, 0.4, 0.25)
"""Weight of each probe in the mean over 0-1 m: trapezoids between probes, the first one's value above it."""
STEPS_PER_DAY = 4
GROUP = 3
"""Stations that share a cell, where stations come in groups."""
_LAG_DAYS = (0.0, 1.0, 3.0, 8.0, 15.0)
_NOISE_SD, _PROBE_SD, _PLACE_SD = 0.004, 0.006, 0.012


@dataclass(frozen=True)
class Sites:
    """Where the stations stand.

    Parameters
    ----------
    names : tuple of str
        Names, unique.
    rows, columns : ndarray
        Pixels of the working grid.
    """

    names: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


def place_stations(frame: Frame, count: int, seed: int) -> Sites:
    """Return the sites: half of them in groups of three that share a cell, the others anywhere in the region."""
    rng = stream(seed, "sites")
    height, width = frame.cells.shape
    groups = min(count // (2 * GROUP), height * width)
    shared = np.repeat(rng.permutation(height * width)[:groups], GROUP)
    cells = np.concatenate([shared, rng.integers(0, height * width, count - len(shared))]).astype(np.int64)
    pixels: dict[tuple[int, int], None] = {}
    for cell in cells:
        place = (0, 0)
        while place in pixels or place == (0, 0):
            y, x = (int(v) for v in rng.integers(2, RATIO - 2, 2))
            place = (frame.margin + RATIO * int(cell // width) + y, frame.margin + RATIO * int(cell % width) + x)
        pixels[place] = None
    rows, columns = np.array(list(pixels), dtype=np.int64).reshape(-1, 2).T
    return Sites(tuple(f"T{k + 1:03d}" for k in range(count)), rows.copy(), columns.copy())


def profile(surface: Array64, rootzone: Array64) -> Array64:
    """Return daily water content at the depths of the probes, ``(depth, day, station)``.

    The probe at 5 cm measures the surface layer. Deeper ones follow what lies below it, the later and the smoother
    the deeper; their mean with :data:`DEPTH_WEIGHTS` is the root zone's water content on every day.

    Parameters
    ----------
    surface, rootzone : ndarray
        True water content of 0-5 cm and 0-100 cm (m3 m-3), ``(day, station)``.
    """
    below = (rootzone - 0.05 * surface) / 0.95
    levels = [surface]
    for depth, lag in zip(DEPTHS[1:], _LAG_DAYS[1:], strict=True):
        smooth = np.empty_like(below)
        smooth[0] = below[0]
        for day in range(1, len(below)):
            smooth[day] = smooth[day - 1] + (below[day] - smooth[day - 1]) / (1.0 + lag)
        near = np.exp(-(depth - 0.05) / 0.12)
        levels.append(smooth + 0.7 * near * (surface - below))
    weights = np.array(DEPTH_WEIGHTS)[:, None, None]
    values = np.stack(levels)
    missing = rootzone - (weights * values).sum(axis=0)
    values[1:] += missing / (1.0 - DEPTH_WEIGHTS[0])
    return values


def write_stations(
    out: Path, frame: Frame, sites: Sites, daily: Array32, elevation: Array32, soil_temperature: Array64,
    porosity: Array32, start: np.datetime64, seed: int,
) -> None:  # fmt: skip
    """Write one file per station and depth.

    Parameters
    ----------
    out : Path
        Folder; files lie in ``<network>/<station>/``.
    frame : Frame
        Region.
    sites : Sites
        Places.
    daily : ndarray
        True water content of 0-5 cm and 0-100 cm (m3 m-3), ``(day, layer, station)``.
    elevation, porosity : ndarray
        At the stations (m; m3 m-3).
    soil_temperature : ndarray
        Of each day (degrees Celsius).
    start : datetime64
        First day.
    seed : int
        Seed of the twin.
    """
    levels = profile(daily[:, 0].astype(np.float64), daily[:, 1].astype(np.float64))
    days = np.arange(len(daily))
    clock = np.arange(len(days) * STEPS_PER_DAY) / STEPS_PER_DAY
    stamps = _stamps(start, len(clock))
    chill = np.interp(clock, days + 0.5, soil_temperature) - 5.0 * np.cos(2 * np.pi * (clock - 0.1))
    end = start + np.timedelta64(len(days) - 1, "D")
    period = f"{start.astype('datetime64[D]')}_{end.astype('datetime64[D]')}".replace("-", "")
    lat, lon = frame.geographic(sites.rows.astype(np.float64), sites.columns.astype(np.float64))
    for k, name in enumerate(sites.names):
        rng = stream(seed, f"station {name}")
        place = rng.normal(0.0, _PLACE_SD)
        folder = out / NETWORK / name
        folder.mkdir(parents=True, exist_ok=True)
        for j, depth in enumerate(DEPTHS):
            true = np.interp(clock, days + 0.5, levels[j, :, k])
            value, flag, there = _measure(rng, true + place, chill, float(porosity[k]), depth)
            where = f"{lat[k]:.5f} {lon[k]:.5f} {elevation[k]:.2f} {depth:.2f} {depth:.2f}"
            rows = [f"{stamps[i]} {value[i]:8.4f} {flag[i]} M" for i in np.flatnonzero(there)]
            path = folder / f"{NETWORK}_{NETWORK}_{name}_sm_{depth:.6f}_{depth:.6f}_{SENSOR}_{period}.stm"
            path.write_bytes(("\n".join([f"{NETWORK} {NETWORK} {name} {where} {SENSOR}", *rows]) + "\n").encode())


def _stamps(start: np.datetime64, count: int) -> list[str]:
    step = np.timedelta64(24 // STEPS_PER_DAY, "h")
    times = start.astype("datetime64[h]") + np.arange(count) * step
    return [str(t.astype("datetime64[m]")).replace("-", "/").replace("T", " ") for t in times]


def _measure(
    rng: np.random.Generator, true: Array64, chill: Array64, porosity: float, depth: float
) -> tuple[Array64, list[str], npt.NDArray[np.bool_]]:
    """Return what a probe logs: values with noise and a lasting error, quality flags, and which rows exist at all."""
    count = len(true)
    value = np.clip(true + rng.normal(0.0, _PROBE_SD) + rng.normal(0.0, _NOISE_SD, count), 0.005, 0.62)
    flag = np.full(count, "G", dtype=object)
    frozen = (chill < 0.0) & (depth <= 0.10)
    value[frozen] *= 0.75
    spikes = rng.random(count) < 0.002
    value[spikes] += rng.uniform(0.1, 0.3, int(spikes.sum()))
    for code, where in (("D06", spikes), ("C03", value > porosity), ("D03", frozen)):
        flag[where] = [code if f == "G" else f"{f},{code}" for f in flag[where]]
    there = rng.random(count) > 0.01
    for _ in range(int(rng.poisson(count / STEPS_PER_DAY / 90.0))):
        begin = int(rng.integers(0, count))
        there[begin : begin + int(rng.integers(4, 48))] = False
    return value, list(flag), there
