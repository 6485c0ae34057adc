"""Feature cubes: written tile by tile, resumed, and the same numbers as computed on the spot."""

import dataclasses
import pickle

import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import CubeError
from smdown.features import features_plan, get_loader, run_features, task_bytes
from smdown.features.loader import Loader
from smdown.grid import Window
from tests.features.world import BASE

DAY = np.datetime64("2020-04-18", "ns")


@pytest.fixture
def spec(make_spec):
    return make_spec("soil", "slope", "tpi", "elevation", "rain_today")


def url(spec, metres):
    return f"{spec.features_url}/{metres}m.zarr"


def test_cubes_hold_what_is_computed(spec):
    plan = features_plan(spec, (1000, 100), 1, "f")
    assert (plan.stage, len(plan.tasks), plan.total) == ("features", 8, 8)
    assert len({task.key for task in plan.tasks}) == 8
    receipts = [plan.run(task) for task in pickle.loads(pickle.dumps(plan.tasks))]
    assert sum(r.pixels for r in receipts) == 4 * (9**2 + 90**2)
    for metres, ratio in ((1001, 9), (100, 90)):
        cube, grid = open_cube(url(spec, metres), complete=True), BASE.at(ratio)
        want = get_loader(spec).compute_static(grid, grid.window)
        assert tuple(cube.variables) == spec.static_names
        for name, field in zip(spec.static_names, want, strict=True):
            np.testing.assert_array_equal(cube.read(name, cube.raster.window), field)
        assert cube.variables["slope"].units == "m m-1"


def test_stored_values_are_used_where_they_are(spec, monkeypatch):
    """The same values bit for bit, without computing; beyond the cube they are computed as ever."""
    grid = BASE.at(90)
    inside, beyond = grid.window.expand(-7), grid.window.expand(3)
    want = [Loader(spec).load(grid, w, DAY) for w in (inside, beyond)]
    for task in features_plan(spec, (100,), 1, "f").tasks:
        run_features(task)
    loader = Loader(spec)
    np.testing.assert_array_equal(loader.load(grid, beyond, DAY), want[1])
    monkeypatch.setattr(loader, "compute_static", None)
    np.testing.assert_array_equal(loader.load(grid, inside, DAY), want[0])
    tpi, soil = loader.static(grid, inside, ["tpi", "soil"])
    np.testing.assert_array_equal(tpi, want[0][spec.names.index("tpi")])
    np.testing.assert_array_equal(soil, want[0][spec.names.index("soil")])


def test_only_missing_tiles_are_left_to_do(spec):
    plan = features_plan(spec, (1000,), 1, "f")
    for task in plan.tasks[1:3]:
        run_features(task)
    again = features_plan(spec, (1000,), 1, "f")
    assert again.tasks == (plan.tasks[0], plan.tasks[3])
    assert (again.done, again.total) == (2, 4)
    for task in again.tasks:
        run_features(task)
    assert features_plan(spec, (1000,), 1, "f").tasks == ()


def test_a_tile_without_receipt_is_computed_not_read(spec):
    """A loader that has seen a cube half written takes each tile up as it is finished."""
    plan = features_plan(spec, (100,), 1, "f")
    grid, loader = BASE.at(90), Loader(spec)
    want = loader.compute_static(grid, grid.window)
    run_features(plan.tasks[0])
    calls = []
    compute = loader.compute_static
    loader.compute_static = lambda *args: calls.append(args) or compute(*args)
    first = plan.tasks[0].tile.core
    np.testing.assert_array_equal(loader.static(grid, first), want[:, :90, :90])
    assert not calls
    np.testing.assert_array_equal(loader.static(grid, grid.window), want)
    assert len(calls) == 1
    for task in plan.tasks[1:]:
        run_features(task)
    np.testing.assert_array_equal(loader.static(grid, grid.window), want)
    assert len(calls) == 1


def test_receipts_are_not_read_again_once_seen(spec, monkeypatch):
    for task in features_plan(spec, (1000,), 1, "f").tasks:
        run_features(task)
    loader, grid = Loader(spec), BASE.at(9)
    loader.static(grid, grid.window)
    monkeypatch.setattr(loader._cube_of(9), "done", None)
    loader.static(grid, Window(grid.window.y0, grid.window.y0 + 3, grid.window.x0, grid.window.x0 + 12))


def test_cubes_of_other_drivers_are_refused(spec):
    features_plan(spec, (1000,), 1, "f")
    with pytest.raises(CubeError, match="another configuration"):
        features_plan(spec, (1000,), 1, "g")
    fewer = dataclasses.replace(spec, drivers=spec.drivers[:2])
    with pytest.raises(CubeError, match="other variables"):
        features_plan(fewer, (1000,), 1, "f")


def test_uneven_tiles_reach_the_edge(make_spec):
    spec = make_spec("elevation", base=dataclasses.replace(BASE, cells=Window(345, 347, 878, 881), ratio=90))
    for task in features_plan(spec, (1000,), 2, "f").tasks:
        run_features(task)
    cube = open_cube(url(spec, 1001), complete=True)
    assert cube.raster.shape == (18, 27)
    assert np.isfinite(cube.read("elevation", Window(1, 17, 1, 17))).all()


def test_a_tile_beyond_the_sources_is_written_too(make_spec):
    spec = make_spec("elevation", base=dataclasses.replace(BASE, cells=Window(345, 346, 890, 891)))
    (task,) = features_plan(spec, (1000,), 1, "f").tasks
    run_features(task)
    cube = open_cube(url(spec, 1001), complete=True)
    assert np.isnan(cube.read("elevation", cube.raster.window)).all()


def test_memory_grows_with_the_tile(spec):
    assert task_bytes(spec, 2) - task_bytes(spec, 1) >= 4 * len(spec.static) * (600**2 - 300**2)
    assert task_bytes(spec, 4) == task_bytes(spec, 2)  # the region has no more
