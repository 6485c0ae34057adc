"""A loader and an ensemble whose answers depend on a pixel's place alone, as the real ones' do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.inference.engine import Engine
from smdown.inference.job import LayerJob, PredictJob

STATIC, DYNAMIC = ("elevation", "sand"), ("ndvi",)
NAMES = ("elevation", "ndvi", "sand")
SEQUENCE_RATIO = 9
DAYS = ("2020-05-01", "2020-05-02", "2020-05-03")
CELLS = Window(400, 405, 800, 803)


def noise(window: Window, seed: int) -> np.ndarray:
    """White noise in [0, 1) by global index, so that any mistake of a halo shows."""
    y = np.arange(window.y0, window.y1, dtype=np.uint64)[:, None]
    x = np.arange(window.x0, window.x1, dtype=np.uint64)[None, :]
    h = y * np.uint64(0x9E3779B97F4A7C15) + x * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(seed * 7919 + 1)
    for shift in (31, 29, 32):
        h = (h ^ (h >> np.uint64(shift))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((h >> np.uint64(40)).astype(np.float64) / 2**24).astype(np.float32)


@dataclass
class FakeDrivers:
    missing_coarse: frozenset = frozenset()  # (row, column) of cells, on every day
    missing_days: frozenset = frozenset()
    holes: dict = field(default_factory=dict)  # driver -> Window that is NaN, global pixels
    sequence_hole: Window | None = None
    coarse_value: float | None = None
    calls: list = field(default_factory=list)

    def _driver(self, name, window, seed):
        values = noise(window, seed)
        hole = self.holes.get(name)
        part = hole.intersect(window) if hole else None
        if part is not None:
            values[part.relative_to(window).slices] = np.nan
        return values

    def static(self, grid, window):
        self.calls.append(("static", window))
        return np.stack([self._driver(name, window, n) for n, name in enumerate(STATIC)])

    def dynamic(self, grid, window, day):
        self.calls.append(("dynamic", window))
        return np.stack([self._driver(name, window, 50 + DAYS.index(str(day)[:10])) for name in DYNAMIC])

    def sequence(self, cells, day):
        window = cells.refine(SEQUENCE_RATIO).expand(1)
        values = np.stack([noise(window, 90 + t) for t in range(4)])[:, None]
        part = self.sequence_hole.intersect(window) if self.sequence_hole else None
        if part is not None:
            values[(..., *part.relative_to(window).slices)] = np.nan
        return values

    def coarse(self, source, variable, cells, day):
        assert source == "smap"
        if variable == "error":
            return np.full(cells.shape, 0.4, dtype=np.float32)
        values = 0.1 + 0.3 * noise(cells, 7 if variable == "surface" else 8)
        if self.coarse_value is not None:
            values[:] = self.coarse_value
        if str(day)[:10] in self.missing_days:
            values[:] = np.nan
        for row, col in self.missing_coarse:
            if cells.contains(Window(row, row + 1, col, col + 1)):
                values[row - cells.y0, col - cells.x0] = np.nan
        return values.astype(np.float32)


@dataclass
class FakePrediction:
    mean: np.ndarray
    variance: np.ndarray


@dataclass
class FakeEnsemble:
    """Two members: a box mean of radius `reach` over all drivers, and a sum of the pixel and its sequence."""

    radius: int = 3
    reach: int = 3  # what it really looks at; more than `radius` is a mistake that tests must notice
    layers: int = 2
    members: tuple[str, ...] = ("cnn", "lstm")
    poison: bool = False

    def predict(self, fine, sequence, core, ratio, origin):
        assert fine.shape[1:] == core.expand(self.radius).shape
        x = np.nan_to_num(fine, nan=0.5).sum(axis=0).astype(np.float64) / len(fine)
        cnn = _box(np.pad(x, max(0, self.reach - self.radius)), self.reach)
        r = self.radius
        pixel = x[r : x.shape[0] - r, r : x.shape[1] - r]
        lstm = 0.7 * pixel + 0.3 * _at_pixels(sequence, core, ratio, origin)
        layer = np.linspace(0.3, 0.5, self.layers)[:, None, None]
        mean = np.stack([layer * cnn, layer * lstm]).astype(np.float32)
        if self.poison:
            mean[:, :, 0, 0] = np.nan
        return FakePrediction(mean, np.full_like(mean, 0.01**2))

    def alone(self, prediction):
        return prediction.mean, np.sqrt(prediction.variance)

    def combine(self, prediction):
        return prediction.mean.mean(axis=0), np.sqrt(prediction.variance.mean(axis=0) + prediction.mean.var(axis=0))


def _box(x, r):
    size = 2 * r + 1
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size))
    return view.mean(axis=(2, 3))


def _at_pixels(sequence, core, ratio, origin):
    rows = (2 * np.arange(core.y0, core.y1) + 1) * SEQUENCE_RATIO // (2 * ratio) - origin[0]
    cols = (2 * np.arange(core.x0, core.x1) + 1) * SEQUENCE_RATIO // (2 * ratio) - origin[1]
    return np.nan_to_num(sequence, nan=0.5).mean(axis=(0, 1)).astype(np.float64)[np.ix_(rows, cols)]


def engine(drivers=None, ensemble=None, required=(True, False, True)) -> Engine:
    return Engine(
        drivers or FakeDrivers(), ensemble or FakeEnsemble(), NAMES, STATIC, DYNAMIC, required, SEQUENCE_RATIO, (4, 1)
    )


LAYERS = (
    LayerJob("sm_surface", "smap", "surface", long_name="Surface soil moisture", valid_range=(0.02, 0.6)),
    LayerJob("sm_rootzone", "smap", "rootzone", long_name="Root-zone soil moisture", uncertainty_variable="error"),
)


def job(tmp_path, cells=CELLS, ratio=12, cells_per_tile=2, days=DAYS, **more) -> PredictJob:
    return PredictJob(
        "spec", "bundle", str(tmp_path / "mosaic.zarr"), NestedGrid(EASE2_M09, cells, ratio), cells_per_tile,
        LAYERS, days, **more,
    )  # fmt: skip
