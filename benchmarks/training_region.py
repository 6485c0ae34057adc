"""A made-up region as cubes, and the same behind a continent's indices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import zoom

from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.cubes.layout import TIME_Y_X
from smdown.features import FeaturesConfig, Loader, build_spec
from smdown.features.materialise import cube_url
from smdown.features.spec import FeatureSpec
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window
from smdown.training import Layer, TrainContext

CONTINENT = Window(300, 300 + 284, 600, 600 + 627)
"""Cells of a continent."""
CORNER = 344, 876
"""First cell of the region."""
SHARD_CELLS = 4
LAYERS = Layer("sm_surface", "smap", "sm_surface"), Layer("sm_rootzone", "smap", "sm_rootzone")
STATIC = tuple(f"static_{n}" for n in range(11))
DRIVERS = [
    *({"name": name, "kind": "source", "source": "static", "variable": name} for name in STATIC),
    {"name": "ndvi", "kind": "normalized_difference", "source": "optical", "a": "nir", "b": "red"},
    {"name": "ndwi", "kind": "normalized_difference", "source": "optical", "a": "nir", "b": "swir1"},
    *(
        {"name": f"rain_{n}d", "kind": "antecedent", "source": "rain", "variable": "rain", "days": n}
        for n in (1, 3, 7, 30)
    ),
    {"name": "api", "kind": "antecedent", "source": "rain", "variable": "rain", "days": 30, "decay": 0.9},
]
SEQUENCE = {"days": 30, "drivers": [{"name": "rain", "source": "rain", "variable": "rain"}]}


def days_of(count: int) -> tuple[str, ...]:
    return tuple(str(day) for day in np.datetime64("2020-01-01") + np.arange(count))


def texture(height: int, width: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return a field that is smooth over tens of pixels, with a little noise, as drivers are."""
    coarse = rng.normal(0, 1, (height // 24 + 2, width // 24 + 2)).astype(np.float32)
    return zoom(coarse, 24, order=1)[:height, :width] + 0.05 * rng.standard_normal((height, width), dtype=np.float32)


def write_whole(url: str, spec: CubeSpec, fields: Any) -> None:
    """Fill a cube: `fields(name, time)` returns the whole raster."""
    cube = create_cube(url, spec)
    for variable in spec.variables:
        for t in range(len(spec.times)) if variable.timed else (None,):
            cube.write(variable.name, fields(variable.name, t), spec.raster.window, t)
    cube.finish()


def make_region(folder: Path, n_cells: int, n_days: int, ratios: tuple[int, ...], composites: int) -> FeatureSpec:
    """Write static drivers at some ratios, 30 m optical composites, rain of 0.1 degrees, and the coarse product."""
    rng = np.random.default_rng(0)
    (y, x), days = CORNER, days_of(n_days)
    base = NestedGrid(EASE2_M09, Window(y, y + n_cells, x, x + n_cells), 300)
    config = FeaturesConfig(drivers=DRIVERS, sequence=SEQUENCE, resolutions=(1000,))
    spec = build_spec(config, base, sources_url=str(folder / "sources"), features_url=str(folder / "features"))
    for ratio in ratios:
        write_static(spec, ratio, rng)
    bands = tuple(Variable(name, TIME_Y_X, "int16", 1e-4) for name in ("nir", "red", "swir1"))
    times = days[:: -(-n_days // composites)]
    optical = CubeSpec(base.raster, bands, times, 1200, 300)
    one = texture(*base.shape, rng)
    write_whole(f"{spec.sources_url}/optical.zarr", optical, lambda *_: 0.3 + 0.03 * np.roll(one, rng.integers(99)))
    rain = RasterGrid("EPSG:4326", -101.0, 37.0, 0.1, -0.1, 60, 80)
    made = CubeSpec(rain, (Variable("rain", TIME_Y_X, "int16", 0.01),), days, 80, 80)
    write_whole(f"{spec.sources_url}/rain.zarr", made, lambda *_: rng.gamma(0.3, 8, rain.shape))
    cells = NestedGrid(EASE2_M09, base.cells, 1)
    layers = tuple(Variable(layer.variable, TIME_Y_X, "int16", 1e-4) for layer in LAYERS)
    coarse = CubeSpec(cells.raster, layers, days, n_cells, n_cells, nested=cells)
    write_whole(f"{spec.sources_url}/smap.zarr", coarse, lambda *_: rng.uniform(0.05, 0.4, cells.shape))
    return spec


def write_static(spec: FeatureSpec, ratio: int, rng: np.random.Generator) -> None:
    """Write the cube of the static drivers at one ratio."""
    grid = spec.base.at(ratio)
    variables = tuple(Variable(name) for name in spec.static_names)
    cube = CubeSpec(grid.raster, variables, (), SHARD_CELLS * ratio, ratio, nested=grid)
    write_whole(cube_url(spec, ratio), cube, lambda *_: texture(*grid.shape, rng))


def context_of(spec: FeatureSpec, cells: Window, days: tuple[str, ...], out: str = "") -> TrainContext:
    """Return what training is told; its map is of the finest drivers that there are."""
    return TrainContext(spec, cells, LAYERS, days, spec.sources_url, None, out, map_ratio=180)


@dataclass(frozen=True)
class Continent:
    """A loader of a continent: every window is read from the region's cubes, moved there by whole cells.

    Only the coarse product, which is looked at as a whole, is in memory.
    """

    spec: FeatureSpec
    loader: Loader
    coarse_field: np.ndarray[Any, Any]

    @classmethod
    def of(cls, spec: FeatureSpec) -> Continent:
        field = np.random.default_rng(1).uniform(0.05, 0.4, (8, 2, *CONTINENT.shape)).astype(np.float32)
        return cls(spec, Loader(spec), field)

    def moved(self, window: Window, ratio: int) -> Window:
        """Return the window of the region that stands for one of the continent."""
        out = []
        for first, last, start in (
            (window.y0, window.y1, self.spec.base.cells.y0),
            (window.x0, window.x1, self.spec.base.cells.x0),
        ):
            cell = first // ratio
            free = self.spec.base.cells.height - (-(-last // ratio) - cell)
            assert free >= 0, "the window is larger than the region"
            out.append((start + cell % (free + 1) - cell) * ratio)
        return window.shift(*out)

    def static(self, grid: NestedGrid, window: Window, names: Any = None) -> Any:
        return self.loader.static(self.spec.base.at(grid.ratio), self.moved(window, grid.ratio), names)

    def dynamic(self, grid: NestedGrid, window: Window, day: np.datetime64) -> Any:
        return self.loader.dynamic(self.spec.base.at(grid.ratio), self.moved(window, grid.ratio), day)

    def sequence(self, cells: Window, day: np.datetime64) -> Any:
        return self.loader.sequence(self.moved(cells, 1), day)

    def coarse(self, source: str, variable: str, cells: Window, day: np.datetime64) -> Any:
        assert source == "smap"
        field = self.coarse_field[int(day.astype("datetime64[D]").astype(int)) % 8, int(variable == "sm_rootzone")]
        out = np.full(cells.shape, np.nan, np.float32)
        inside = cells.intersect(CONTINENT)
        if inside is not None:
            out[inside.relative_to(cells).slices] = field[inside.relative_to(CONTINENT).slices]
        return out
