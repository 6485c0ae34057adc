"""The real loader and real networks (untrained) through the plan: tiles, whole, and what does not fit."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from smdown.cubes import CubeSpec, Variable, create_cube, open_cube
from smdown.errors import BundleError
from smdown.features import FeaturesConfig, build_spec
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Tile, Window
from smdown.inference import LayerJob, PredictJob, predict_plan
from smdown.inference.opening import open_engine
from smdown.inference.outline import Outline, read_outline
from smdown.inference.tile import TilePredictor
from smdown.networks import CNNConfig, DNNConfig, LSTMConfig
from tests.inference.bundles import untrained

GRID = NestedGrid(EASE2_M09, Window(400, 403, 800, 802), 60)  # 30.2-30.5 N, 105.1-105.3 W
DAYS = tuple(str(np.datetime64("2020-05-01") + n) for n in range(6))
FEATURES = {
    "resolutions": [1000, 150],
    "drivers": [
        {"name": "elevation", "kind": "source", "source": "dem", "variable": "elevation", "units": "m"},
        {"name": "rain_3d", "kind": "antecedent", "source": "rain", "variable": "rain", "days": 3, "units": "mm"},
        {"name": "slope", "kind": "terrain", "measure": "slope", "source": "dem"},
    ],
    "sequence": {"days": 4, "resolution": 1000, "drivers": [{"name": "rain", "source": "rain", "variable": "rain"}]},
}
NETWORKS = {"dnn": DNNConfig(hidden=(16,)), "cnn": CNNConfig(channels=8, depth=3), "lstm": LSTMConfig(hidden=8)}


def _source(folder, name, raster, values, *, times=(), nested=None):
    dims = ("time", "y", "x") if times else ("y", "x")
    side = 8 * -(-max(raster.shape) // 8)
    spec = CubeSpec(raster, (Variable(name[1], dims),), times, side, side, nested=nested)
    cube = create_cube(f"{folder}/{name[0]}.zarr", spec)
    for n, field in enumerate(values):
        cube.write(name[1], field, raster.window, n if times else None)
    cube.finish()


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A job over three sources and a bundle of three small networks."""
    folder = tmp_path_factory.mktemp("chain")
    rng = np.random.default_rng(0)
    dem = RasterGrid("EPSG:4326", -105.5, 30.65, 1 / 300, -1 / 300, 200, 200)
    yx = np.add.outer(np.sin(np.arange(200) / 7), np.cos(np.arange(200) / 5))
    _source(folder, ("dem", "elevation"), dem, [(500 + 80 * yx + rng.random((200, 200))).astype(np.float32)])
    rain = RasterGrid("EPSG:4326", -105.6, 30.8, 0.1, -0.1, 10, 10)
    storms = rng.gamma(0.5, 8, (6, 10, 10)).astype(np.float32)
    _source(folder, ("rain", "rain"), rain, storms, times=DAYS)
    cells = GRID.at(1)
    coarse = rng.uniform(0.1, 0.4, (6, *cells.shape)).astype(np.float32)
    _source(folder, ("smap", "sm"), cells.raster, coarse, times=DAYS, nested=cells)
    spec = build_spec(
        FeaturesConfig.model_validate(FEATURES), GRID, sources_url=str(folder), features_url=str(folder / "features")
    )
    drivers = {"elevation": ("m", 500, 80), "rain_3d": ("mm", 12, 8), "slope": ("m m-1", 0.05, 0.05)}
    bundle = untrained(NETWORKS, drivers, ("sm_rootzone", "sm_surface"), {"rain": ("", 4, 5)}, days=4)
    bundle.save(str(folder / "bundle"))
    layers = tuple(LayerJob(name, "smap", "sm") for name in ("sm_surface", "sm_rootzone"))
    job = PredictJob(spec, str(folder / "bundle"), str(folder / "mosaic.zarr"), GRID, 1, layers, DAYS[3:5])
    return job, coarse


def _mean(job, cells, engine):
    tile = Tile(0, 0, cells, job.grid.ratio)
    return TilePredictor(job, tile, engine).day(np.datetime64(DAYS[4], "ns")).mean


def test_tiles_equal_the_whole(chain):
    job = dataclasses.replace(chain[0], constraint="none")
    engine = open_engine(job)
    whole = _mean(job, GRID.cells, engine)
    assert whole.std() > 1e-3
    for tile in GRID.tiles(1):
        place = tile.core.relative_to(GRID.window).slices
        assert np.abs(_mean(job, tile.cells, engine) - whole[(slice(None), *place)]).max() < 1e-6


@pytest.mark.parametrize("constraint", ["logit", "smooth"])
def test_what_a_plan_reads_of_a_bundle_is_what_the_open_ensemble_says(chain, constraint):
    job = dataclasses.replace(chain[0], constraint=constraint)
    assert read_outline(job) == Outline.of(job, open_engine(job))


def test_a_plan_needs_no_pytorch(chain, tmp_path):
    """A client that holds it would take half as much memory again."""
    job = dataclasses.replace(chain[0], mosaic_url=str(tmp_path / "mosaic.zarr"))
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    code = (
        "import pickle, sys; from smdown.inference import predict_plan; "
        f"job = pickle.loads(open({str(tmp_path / 'job')!r}, 'rb').read()); predict_plan(job, 'f'); "
        "sys.exit('torch' in sys.modules)"
    )
    path = os.pathsep.join(p or "." for p in sys.path)
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, check=True)


def test_the_plan_writes_a_mosaic_that_agrees_with_the_product(chain):
    job, coarse = chain
    plan = predict_plan(job, "f")
    for task in plan.tasks:
        plan.run(task)
    cube = open_cube(job.mosaic_url)
    assert cube.complete
    for layer in ("sm_surface", "sm_rootzone"):
        values = cube.read(layer, cube.raster.window).astype(np.float64)
        means = values.reshape(2, 3, 60, 2, 60).mean(axis=(2, 4))
        assert np.abs(means - coarse[3:5]).max() < 1e-4
        assert values.std(axis=(1, 2)).min() > 0.01
    assert not np.array_equal(*(cube.read(layer, cube.raster.window) for layer in ("sm_surface", "sm_rootzone")))
    assert cube.attrs["networks"] == "dnn, cnn, lstm"
    assert len(cube.attrs["bundle"]) == 16


def test_layers_are_found_by_name_whatever_their_order(chain):
    job, _ = chain
    turned = dataclasses.replace(job, layers=job.layers[::-1], constraint="none")
    straight = dataclasses.replace(job, constraint="none")
    first, second = (_mean(j, GRID.cells, open_engine(j)) for j in (straight, turned))
    assert np.array_equal(first, second[::-1])
    assert not np.array_equal(first, second)


def test_without_a_recurrent_network_no_sequence_is_read(chain, tmp_path):
    job, _ = chain
    drivers = {"elevation": ("m", 500, 80), "rain_3d": ("mm", 12, 8), "slope": ("m m-1", 0.05, 0.05)}
    untrained({"dnn": DNNConfig()}, drivers, ("sm_surface", "sm_rootzone")).save(str(tmp_path / "bundle"))
    engine = open_engine(dataclasses.replace(job, bundle_url=str(tmp_path / "bundle")))
    assert (engine.sequence_ratio, engine.ensemble.radius) == (0, 0)
    assert np.isfinite(_mean(job, GRID.cells, engine)).all()


def test_a_bundle_that_does_not_fit_is_refused(chain):
    job, _ = chain
    other = LayerJob("snow", "smap", "sm")
    with pytest.raises(BundleError, match=r"snow.*sm_rootzone, sm_surface"):
        open_engine(dataclasses.replace(job, layers=(other,)))
    with pytest.raises(BundleError, match="trained in 'm3 m-3'"):
        open_engine(dataclasses.replace(job, layers=(LayerJob("sm_surface", "smap", "sm", units="%"),)))
    shorter = {**FEATURES, "drivers": FEATURES["drivers"][:2]}
    longer = {**FEATURES, "sequence": {**FEATURES["sequence"], "days": 7}}
    feet, height = (
        {**FEATURES, "drivers": [FEATURES["drivers"][0] | change, *FEATURES["drivers"][1:]]}
        for change in ({"units": "ft"}, {"name": "height"})
    )
    for changed, message in (
        (shorter, "slope is missing"),
        (longer, "7 days"),
        (feet, "driver elevation is in 'ft' but was trained in 'm'"),
        (height, "driver elevation is missing; driver height is not of the bundle"),
    ):
        spec = build_spec(FeaturesConfig.model_validate(changed), GRID, sources_url="", features_url="")
        with pytest.raises(BundleError, match=message):
            open_engine(dataclasses.replace(job, spec=spec))
    with pytest.raises(BundleError, match="missing"):
        open_engine(dataclasses.replace(job, bundle_url="nowhere"))
