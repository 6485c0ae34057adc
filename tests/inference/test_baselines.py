"""Maps of baselines: any tiling gives the same, and they agree with the coarse product as the networks' map does."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import BundleError
from smdown.inference import baselines as room
from smdown.inference.baselines import TabularEnsemble, baselines_plan
from smdown.inference.constraint import constrain
from smdown.inference.tile import TilePredictor
from smdown.training import Baselines
from smdown.training.tabular import Boosted, Linear
from tests.inference.fakes import CELLS, DAYS, NAMES, FakeDrivers, engine, job

LAYERS = ("sm_surface", "sm_rootzone")
DAY = np.datetime64(DAYS[0], "ns")


def made() -> Baselines:
    line = Linear(np.array([0.5, -0.3, 0.8], np.float32), 0.1)
    stump = Boosted(np.array([[2]], np.int32), np.zeros((1, 1), np.float32), np.array([[-1, 1]], np.float32), 0.2)
    return Baselines(
        {"linear": dict.fromkeys(LAYERS, line), "gradient_boosting": dict.fromkeys(LAYERS, stump)}, NAMES,
        np.full(3, 0.5, np.float32), np.full(3, 0.3, np.float32), dict.fromkeys(LAYERS, 0.25),
        dict.fromkeys(LAYERS, 0.04), {k: dict.fromkeys(LAYERS, 0.02) for k in ("linear", "gradient_boosting")},
    )  # fmt: skip


@pytest.fixture
def spec_job(tmp_path, monkeypatch):
    """Return a job whose loader is made up, with baselines in its bundle."""
    made().save(str(tmp_path / "bundle"))
    fake = engine()
    spec = type("Spec", (), {"names": NAMES, "static_names": fake.static_names, "dynamic_names": fake.dynamic_names})
    spec.drivers = [type("Driver", (), {"required": r}) for r in fake.required]
    monkeypatch.setattr(room, "get_loader", lambda _: FakeDrivers(holes={"ndvi": CELLS.refine(12).expand(-12)}))
    return dataclasses.replace(job(tmp_path), spec=spec, bundle_url=str(tmp_path / "bundle"))


def mapped(the_job, url, fingerprint="f"):
    plan = baselines_plan(the_job, url, fingerprint)
    for task in plan.tasks:
        plan.run(task)
    cube = open_cube(url)
    return {name: cube.read(name, cube.raster.window) for name in cube.variables}


def test_maps_are_the_models_made_to_agree_with_the_coarse_product(spec_job, tmp_path):
    found = mapped(spec_job, str(tmp_path / "baselines.zarr"))
    drivers, grid, baselines = FakeDrivers(holes={"ndvi": CELLS.refine(12).expand(-12)}), spec_job.grid, made()
    static, dynamic = drivers.static(grid, grid.window), drivers.dynamic(grid, grid.window, DAY)
    rows = baselines.standardised(np.stack([static[0], dynamic[0], static[1]]))
    for layer in spec_job.layers:
        coarse = drivers.coarse("smap", layer.variable, CELLS, DAY)
        for kind in baselines.kinds:
            mean = baselines.predict(kind, layer.name, rows).reshape(grid.shape)
            expected, _ = constrain(mean, coarse, grid.ratio, *layer.bounds)
            values = found[f"{layer.name}_{kind}"]
            np.testing.assert_allclose(values[0], expected, atol=6e-5)
    np.testing.assert_allclose(found["sm_surface_linear_std"], np.hypot(0.02, 0.03), atol=6e-5)


def test_any_tiling_gives_the_same_and_what_is_done_is_not_done_again(spec_job, tmp_path):
    first = mapped(spec_job, str(tmp_path / "a.zarr"), "a")
    other = dataclasses.replace(spec_job, cells_per_tile=5)
    second = mapped(other, str(tmp_path / "b.zarr"), "b")
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    again = baselines_plan(spec_job, str(tmp_path / "a.zarr"), "a")
    assert not again.tasks
    assert again.done == 6


def test_a_pixel_is_predicted_by_itself():
    at_work = dataclasses.replace(
        engine(ensemble=TabularEnsemble(made(), LAYERS)), sequence_ratio=0, sequence_shape=(0, 0)
    )
    the_job = dataclasses.replace(job(Path("unused")), members_url="kept")
    whole = next(iter(the_job.grid.tiles(5)))
    maps = TilePredictor(the_job, whole, at_work).day(DAY)
    assert maps.members.shape[:2] == (2, 2)
    assert np.isfinite(maps.members).all()
    assert at_work.ensemble.radius == 0


def test_baselines_of_other_drivers_are_refused(spec_job, tmp_path):
    spec_job.spec.names = ("elevation", "sand", "ndvi")
    with pytest.raises(BundleError, match="train again"):
        baselines_plan(spec_job, str(tmp_path / "c.zarr"), "c")
