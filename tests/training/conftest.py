"""A small made-up region behind the same methods as `smdown.features.Loader`."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from pyproj import Transformer

from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.training import Layer, TrainContext

STATIC = ("elevation", "slope", "tpi", "sand", "clay")
DYNAMIC = ("ndvi", "rain_1d", "rain_7d", "rain_30d")
NAMES = (*STATIC[:3], *DYNAMIC[:1], *STATIC[3:], *DYNAMIC[1:])


def field_of(rng: np.random.Generator, size: int, slope: float) -> np.ndarray:
    """Return a random field of unit variance whose power falls with wavenumber to the power -slope."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    k[0, 0] = np.inf
    noise = np.fft.fft2(rng.standard_normal((size, size))) * k ** (-slope / 2)
    out = np.fft.ifft2(noise).real
    return (out - out.mean()) / out.std()


@dataclass
class Region:
    """Fields at `base` pixels a cell over the cells and a margin of one, and a truth that follows from them."""

    n: int = 4
    days: int = 30
    base: int = 36
    seed: int = 0
    noise: float = 0.01
    stations: int = 16
    calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.cells = Window(400, 400 + self.n, 800, 800 + self.n)
        self.origin = self.cells.expand(1).refine(self.base)
        size = self.origin.height
        slopes = dict(zip(STATIC, (3.0, 2.0, 1.5, 2.5, 2.2), strict=True))
        self.static_fields = {k: field_of(rng, size, s) * 3 + 10 for k, s in slopes.items()}
        self.times = np.datetime64("2020-04-01", "ns") + np.arange(self.days) * np.timedelta64(1, "D")
        storms = rng.gamma(0.25, 20.0, self.days + 30)
        shape = [field_of(rng, size, 4.0) for _ in range(3)]
        mix = rng.standard_normal((self.days + 30, 3)) * 0.3
        self.rain = np.stack(
            [
                s * np.exp(sum(m * f for m, f in zip(row, shape, strict=True)))
                for s, row in zip(storms, mix, strict=True)
            ]
        ).astype(np.float32)
        self.ndvi = field_of(rng, size, 1.8)
        self.hidden = [field_of(rng, size, 1.5) for _ in range(2)]
        self.truth = self._truth()
        self.coarse_noise = rng.standard_normal((2, self.days, self.n, self.n)) * 0.01
        at = rng.integers(self.base, self.base * (self.n + 1), (self.stations, 2))
        self.station_at = at
        self.station_bias = rng.standard_normal((2, self.stations)) * 0.02

    def _truth(self) -> np.ndarray:
        elevation, slope, tpi, sand, clay = ((self.static_fields[k] - 10) / 3 for k in STATIC)
        keep = 1 / (1 + np.exp(-(1.6 - 0.5 * sand)))
        top = np.zeros_like(elevation)
        deep = np.zeros_like(elevation)
        out = []
        for d, rain in enumerate(self.rain):
            top = top * keep + rain
            deep = deep * 0.97 + 0.2 * top
            if d >= 30:
                wet = np.tanh(top / 60) * 2
                lift = -0.4 * tpi - 0.25 * slope + 0.3 * self.ndvi + 0.2 * clay - 0.1 * elevation
                surface = 1 / (1 + np.exp(-(wet - 1.5 + lift * (0.6 + 0.4 * wet) + 0.25 * clay**2 * 0.3)))
                root = 1 / (1 + np.exp(-(np.tanh(deep / 150) - 0.6 + 0.8 * lift + 0.3 * clay)))
                out.append(
                    [
                        0.05 + 0.4 * surface + self.noise * self.hidden[0],
                        0.1 + 0.35 * root + self.noise * self.hidden[1],
                    ]
                )
        return np.array(out, dtype=np.float32).swapaxes(0, 1)

    # -- the loader's methods ---------------------------------------------------------------------------------------

    @property
    def spec(self) -> SimpleNamespace:
        return SimpleNamespace(
            names=NAMES,
            static_names=STATIC,
            dynamic_names=DYNAMIC,
            sequence_names=("rain",),
            units=dict.fromkeys(NAMES, "1") | {"rain": "mm"},
            drivers=tuple(SimpleNamespace(name=name, required=True) for name in NAMES),
            sequence=SimpleNamespace(days=20, resolution=1000),
        )

    def _cut(self, data: np.ndarray, window: Window, ratio: int) -> np.ndarray:
        """Return block means of a window; NaN outside of the fields."""
        step = self.base // ratio
        assert step * ratio == self.base
        w = Window(window.y0 * step, window.y1 * step, window.x0 * step, window.x1 * step).relative_to(self.origin)
        size = data.shape[-1]
        out = np.full((*data.shape[:-2], w.height, w.width), np.nan, dtype=np.float32)
        part = w.intersect(Window(0, size, 0, size))
        if part is not None:
            ys, xs = part.relative_to(w).slices
            out[..., ys, xs] = data[(..., *part.slices)]
        return out.reshape(*data.shape[:-2], window.height, step, window.width, step).mean(axis=(-3, -1))

    def _day(self, day: np.datetime64) -> int:
        return int(np.searchsorted(self.times, day))

    def static(self, grid: NestedGrid, window: Window, names: tuple[str, ...] | None = None) -> np.ndarray:
        self.calls["static"] = self.calls.get("static", 0) + 1
        return self._cut(np.stack([self.static_fields[k] for k in names or STATIC]), window, grid.ratio)

    def dynamic(self, grid: NestedGrid, window: Window, day: np.datetime64) -> np.ndarray:
        self.calls["dynamic"] = self.calls.get("dynamic", 0) + 1
        d = self._day(day) + 30
        sums = [self.rain[d], self.rain[d - 6 : d + 1].sum(0), self.rain[d - 29 : d + 1].sum(0)]
        return self._cut(np.stack([self.ndvi, *sums]).astype(np.float32), window, grid.ratio)

    def load(self, grid: NestedGrid, window: Window, day: np.datetime64) -> np.ndarray:
        both = dict(zip(STATIC, self.static(grid, window), strict=True))
        both |= dict(zip(DYNAMIC, self.dynamic(grid, window, day), strict=True))
        return np.stack([both[name] for name in NAMES])

    def sequence(self, cells: Window, day: np.datetime64) -> np.ndarray:
        d = self._day(day) + 30
        return self._cut(self.rain[d - 19 : d + 1][:, None], cells.refine(9).expand(1), 9)

    def coarse(self, source: str, variable: str, cells: Window, day: np.datetime64) -> np.ndarray:
        assert source == "smap"
        n, d = ("sm_surface", "sm_rootzone").index(variable), self._day(day)
        out = self._cut(self.truth[n, d], cells, 1)
        inside = cells.intersect(self.cells)
        values = np.full_like(out, np.nan)
        if inside is not None:
            here, there = inside.relative_to(cells).slices, inside.relative_to(self.cells).slices
            values[here] = out[here] + self.coarse_noise[n, d][there]
        return values

    def gridded(self, source: str, variable: str, grid: NestedGrid, window: Window, day: np.datetime64) -> np.ndarray:
        assert source == "finer"
        n, d = ("sm_surface", "sm_rootzone").index(variable), self._day(day)
        out = self._cut(self.truth[n, d], window, grid.ratio)
        inside = window.intersect(grid.window)
        values = np.full_like(out, np.nan)
        if inside is not None:
            here = inside.relative_to(window).slices
            values[here] = out[here]
        return values

    # -- what a test needs ------------------------------------------------------------------------------------------

    def station_data(self) -> xr.Dataset:
        grid = NestedGrid(EASE2_M09, self.cells, self.base)
        y = np.array(
            [grid.y_centres(int(i) + self.origin.y0, int(i) + self.origin.y0 + 1)[0] for i in self.station_at[:, 0]]
        )
        x = np.array(
            [grid.x_centres(int(i) + self.origin.x0, int(i) + self.origin.x0 + 1)[0] for i in self.station_at[:, 1]]
        )
        lon, lat = Transformer.from_crs(EASE2_M09.crs, "EPSG:4326", always_xy=True).transform(x, y)
        values = self.truth[:, :, self.station_at[:, 0], self.station_at[:, 1]] + self.station_bias[:, None]
        return xr.Dataset(
            {name: (("time", "station"), values[n]) for n, name in enumerate(("sm_surface", "sm_rootzone"))},
            coords={
                "time": self.times,
                "station": [f"net/s{i}" for i in range(self.stations)],
                "latitude": ("station", lat),
                "longitude": ("station", lon),
            },
        )

    def context(self, out: str, **changes: object) -> TrainContext:
        values = {
            "spec": self.spec,
            "cells": self.cells,
            "layers": (Layer("sm_surface", "smap", "sm_surface"), Layer("sm_rootzone", "smap", "sm_rootzone")),
            "days": tuple(str(t)[:10] for t in self.times),
            "sources_url": "",
            "stations_url": "stations",
            "map_ratio": self.base,
            "out": out,
        }
        return TrainContext(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def region() -> Region:
    return Region()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
