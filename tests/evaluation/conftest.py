"""A small project directory as a run leaves it, made up from a known truth."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pyproj import Transformer
from scipy.ndimage import gaussian_filter

from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.evaluation import EvaluateJob, LayerInput
from smdown.evaluation.job import job_from_json
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.sources.table import write_table

LAYERS = ("sm_surface", "sm_rootzone")
UNITS = "m3 m-3"
TITLES = {"sm_surface": "Surface soil moisture (0-5 cm)", "sm_rootzone": "Root-zone soil moisture (0-100 cm)"}


@dataclass(frozen=True)
class Project:
    """Where it is, the job that evaluates it, and the arrays that were written."""

    path: Path
    job: EvaluateJob
    fields: dict[str, np.ndarray]  # "<kind>/<layer>" -> (day, y, x)


def block_means(field: np.ndarray, ratio: int) -> np.ndarray:
    *lead, height, width = field.shape
    return field.reshape(*lead, height // ratio, ratio, width // ratio, ratio).mean(axis=(-3, -1))


def refine(coarse: np.ndarray, ratio: int) -> np.ndarray:
    return coarse.repeat(ratio, axis=-2).repeat(ratio, axis=-1)


def _noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    field = gaussian_filter(rng.standard_normal(shape), sigma)
    return field / field.std()


def _packed(name: str) -> Variable:
    return Variable(name, ("time", "y", "x"), "int16", 1e-4, UNITS, valid_range=(0.0, 0.9))


def _write(
    url: Path, grid: NestedGrid, days: list[str], fields: dict[str, np.ndarray], flags: np.ndarray | None
) -> None:
    variables = [_packed(name) for name in fields]
    if flags is not None:
        variables.append(Variable("flags", ("time", "y", "x"), "uint8"))
    shard = 2 * grid.ratio
    create_cube(str(url), CubeSpec(grid.raster, tuple(variables), tuple(days), shard, grid.ratio, "f", nested=grid))
    from smdown.cubes import open_cube

    cube = open_cube(str(url))
    whole = cube.raster.window
    for i in range(len(days)):
        for name, field in fields.items():
            cube.write(name, field[i], whole, i)
        if flags is not None:
            cube.write("flags", flags[i], whole, i)
    cube.finish()


def make_project(
    path: Path, *, cells: tuple[int, int] = (3, 4), ratio: int = 30, days: int = 4, layers: tuple[str, ...] = LAYERS,
    stations: int = 20, truth: bool = True, members: bool = True, seed: int = 0,
) -> Project:  # fmt: skip
    """Write a project whose ensemble knows part of the truth inside the cells."""
    rng = np.random.default_rng(seed)
    grid = NestedGrid(EASE2_M09, Window(300, 300 + cells[0], 900, 900 + cells[1]), ratio)
    shape = grid.shape
    series = [str(d) for d in np.arange("2020-04-01", "2020-06-01", dtype="datetime64[D]")]
    every = len(series) // days
    mapped = series[every // 2 :: every][:days]
    margin = 3
    wide = (shape[0] + 2 * margin * ratio, shape[1] + 2 * margin * ratio)
    fields: dict[str, np.ndarray] = {}
    daily: dict[str, np.ndarray] = {}
    for k, layer in enumerate(layers):
        terrain = _noise(rng, wide, ratio / 8)
        regional = _noise(rng, wide, ratio * 1.2)
        wetness = 0.02 * gaussian_filter(rng.standard_normal(len(series)), 2) * 4
        known = rng.standard_normal(wide)
        static = 0.25 + 0.04 * regional + (0.035 - 0.01 * k) * terrain + 0.012 * gaussian_filter(known, 1.0)
        truths = np.clip(np.stack([static + wetness[series.index(d)] for d in mapped]), 0.02, 0.6)
        inner = (..., slice(margin * ratio, -margin * ratio), slice(margin * ratio, -margin * ratio))
        coarse = block_means(truths, ratio)
        daily[layer] = np.clip(block_means(static, ratio)[None] + wetness[:, None, None], 0.02, 0.6)
        for i, d in enumerate(mapped):
            daily[layer][series.index(d)] = coarse[i]
        fields[f"coarse/{layer}"] = coarse[inner[0], margin:-margin, margin:-margin]
        fields[f"truth/{layer}"] = truths[inner]
        for member, skill, noise in (
            ("ensemble", 0.8, 0.004),
            ("dnn", 0.7, 0.01),
            ("cnn", 0.75, 0.008),
            ("lstm", 0.6, 0.012),
        ):
            anomaly = skill * 0.035 * terrain[inner[1], inner[2]] + noise * rng.standard_normal(shape)
            anomaly = anomaly - refine(block_means(anomaly, ratio), ratio)
            fields[f"{member}/{layer}"] = (refine(fields[f"coarse/{layer}"], ratio) + anomaly).astype(np.float32)
        fields[f"std/{layer}"] = np.broadcast_to(
            0.018 + 0.006 * np.abs(terrain[inner[1], inner[2]]), (days, *shape)
        ).copy()
    path.mkdir(parents=True, exist_ok=True)
    flags = np.zeros((days, *shape), dtype=np.uint8)
    mosaic = {n: fields[f"ensemble/{n}"] for n in layers} | {f"{n}_std": fields[f"std/{n}"] for n in layers}
    _write(path / "mosaic.zarr", grid, mapped, mosaic, flags)
    if members:
        _write(
            path / "members.zarr",
            grid,
            mapped,
            {f"{n}_{m}": fields[f"{m}/{n}"] for m in ("dnn", "cnn", "lstm") for n in layers},
            None,
        )
    if truth:
        _write(path / "truth.zarr", grid, mapped[::2], {n: fields[f"truth/{n}"][::2] for n in layers}, None)
    _write_coarse(path, grid, series, daily, margin)
    names = _write_stations(path, grid, series, mapped, fields, daily, stations, rng, margin) if stations else []
    job = EvaluateJob(
        str(path / "mosaic.zarr"), grid,
        tuple(LayerInput(n, str(path / "sources" / "smap.zarr"), n, TITLES.get(n, n), UNITS) for n in layers),
        tuple(mapped), 2, str(path / "evaluation"),
        str(path / "members.zarr") if members else None,
        str(path / "truth.zarr") if truth else None,
        str(path / "sources" / "stations.zarr") if stations else None,
        tuple(names[::2]) if stations else None,
    )  # fmt: skip
    return Project(path, job, fields)


def _write_coarse(path: Path, grid: NestedGrid, series: list[str], daily: dict[str, np.ndarray], margin: int) -> None:
    coarse = NestedGrid(grid.lattice, grid.cells.expand(margin), 1)
    variables = tuple(Variable(name, ("time", "y", "x"), "float32", units=UNITS) for name in daily)
    cube = create_cube(
        str(path / "sources" / "smap.zarr"),
        CubeSpec(coarse.raster, variables, tuple(series), 64, 64, nested=coarse),
    )
    for name, values in daily.items():
        for i in range(len(series)):
            cube.write(name, values[i].astype(np.float32), cube.raster.window, i)
    cube.finish()


def _write_stations(
    path: Path, grid: NestedGrid, series: list[str], mapped: list[str], fields: dict[str, np.ndarray],
    daily: dict[str, np.ndarray], count: int, rng: np.random.Generator, margin: int,
) -> list[str]:  # fmt: skip
    window = grid.window
    ys, xs = (rng.integers(low, high, count) for low, high in ((window.y0, window.y1), (window.x0, window.x1)))
    x = grid.lattice.x0 + (xs + rng.uniform(0.2, 0.8, count)) * grid.pixel
    y = grid.lattice.y0 - (ys + rng.uniform(0.2, 0.8, count)) * grid.pixel
    longitude, latitude = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
    names = [f"TEST/s{i:02d}" for i in range(count)]
    data = xr.Dataset(
        coords={
            "station": np.array(names, dtype=np.dtypes.StringDType()),
            "time": np.array(series, dtype="datetime64[ns]"),
            "network": ("station", np.array(["TEST"] * count, dtype=np.dtypes.StringDType())),
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
        }
    )
    for layer, coarse in daily.items():
        rows, cols = ys // grid.ratio - grid.cells.y0 + margin, xs // grid.ratio - grid.cells.x0 + margin
        py, px = ys - window.y0, xs - window.x0
        local = fields[f"truth/{layer}"][0][py, px] - fields[f"coarse/{layer}"][0][rows - margin, cols - margin]
        values = coarse[:, rows, cols].T + local[:, None] + 0.01 * rng.standard_normal((count, len(series)))
        values[:, 5::17] = np.nan
        data[layer] = (("station", "time"), values)
    write_table(str(path / "sources" / "stations.zarr"), data, "f", {})
    return names


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    """Return a copy that a test may change."""
    path = tmp_path / "project"
    shutil.copytree(template.path, path)
    moved = json.loads(json.dumps(template.job.as_json()).replace(str(template.path), str(path)))
    return Project(path, job_from_json(moved), template.fields)
