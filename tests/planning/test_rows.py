"""Closed forms: tiles, pixels, bytes and seconds of a plan, from the configuration alone."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown import open_project
from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.features import FeaturesConfig, build_spec
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window
from smdown.networks import CNNConfig, DNNConfig, LSTMConfig
from smdown.networks.build import build_network
from smdown.planning import make_plan
from smdown.planning.counts import Found, failed_tasks, find_cube, find_map, tile_count
from smdown.planning.rates import Rate, measured, multiplications
from smdown.planning.sample import best_places
from smdown.planning.volumes import STORED, driver_bytes, halo_overhead, raw_bytes, stored_bytes
from smdown.runtime import load_profile

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"


def demo(workdir, *overrides):
    """Return the demonstration's project, without its inputs."""
    return open_project(DEMO, workdir=str(workdir), overrides=("inputs=/nowhere", *overrides))


def rows(project, profile="serial"):
    return {stage.stage: stage for stage in make_plan(project, load_profile(profile), calibrate=False).stages}


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_tiles_are_counted_as_they_are_cut(height, width, side):
    grid = NestedGrid(EASE2_M09, Window(400, 400 + height, 800, 800 + width), 3)
    assert tile_count(grid.cells, side) == len(list(grid.tiles(side)))


def test_pixels_and_bytes_follow_from_the_grid(tmp_path):
    found = rows(demo(tmp_path, "extent={cells: [400, 410, 800, 806]}", "prediction.days=[2020-05-01, 2020-05-09]"))
    cells = 10 * 6
    assert {name: found[name].new for name in found if name != "train"} == {
        "ingest": 6, "features": 4 * 6, "predict": 6, "baselines": 6, "evaluate": 6,
    }  # fmt: skip
    assert found["features"].pixels == cells * (9**2 + 90**2 + 180**2 + 300**2)
    values = 11 * found["features"].pixels
    assert found["features"].write_bytes == pytest.approx(STORED["float32"] * 4 * values, rel=1e-6)
    assert found["predict"].pixels == found["baselines"].pixels == cells * 300**2 * 2
    packed, flags = 2 * 2 + 1 + 2 * 2 * 3, 1  # layers and their errors, dissimilarity, members and theirs
    wanted = cells * 300**2 * 2 * (STORED["int16"] * 2 * packed + STORED["uint8"] * flags)
    assert found["predict"].write_bytes == pytest.approx(wanted, rel=1e-9)
    assert found["evaluate"].pixels == 2 * found["predict"].pixels


def test_a_cube_is_counted_as_zarr_counts_it(tmp_path):
    spec = CubeSpec(
        RasterGrid("EPSG:6933", 0.0, 0.0, 10.0, -10.0, 40, 50),
        (Variable("a", ("time", "y", "x"), "int16", 1e-4), Variable("b")),
        ("2020-01-01", "2020-01-02", "2020-01-05"), 32, 16,
    )  # fmt: skip
    cube = create_cube(str(tmp_path / "cube.zarr"), spec)
    assert raw_bytes(spec) == sum(cube.array(name).nbytes for name in ("a", "b")) == 40 * 50 * (3 * 2 + 4)
    assert raw_bytes(spec, ["b"]) == 40 * 50 * 4
    assert stored_bytes(spec, 0.5) == raw_bytes(spec) / 2


def test_finished_tiles_are_those_with_all_receipts(tmp_path):
    spec = CubeSpec(RasterGrid("EPSG:6933", 0.0, 0.0, 10.0, -10.0, 64, 96), (Variable("b"),), (), 32, 16, "mine")
    url = str(tmp_path / "cube.zarr")
    assert find_cube(url).done == 0
    assert find_cube(url).spec is None
    cube = create_cube(url, spec)
    for tile in ((0, 0), (1, 2)):
        cube.commit(*tile)
    assert find_cube(url).done == len(cube.done()) == 2
    assert find_cube(url, "mine").done == 2
    assert find_cube(url, "another").done == 0


def test_of_a_map_that_lacks_days_only_these_are_planned(tmp_path):
    url, days = str(tmp_path / "map.zarr"), ("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-05")
    raster, timed = RasterGrid("EPSG:6933", 0.0, 0.0, 10.0, -10.0, 64, 32), (Variable("b", ("time", "y", "x")),)

    def make(count):
        identity = f"of {count} days"
        return create_cube(url, CubeSpec(raster, timed, days[:count], 32, 16, identity, day_identity="d"), resume=True)

    make(1).finish()
    cube = make(3)
    cube.commit(0, 0, 1)
    assert find_map(url, "of 3 days", "d", days[:3]) == find_cube(url) == Found(1, cube.spec, 4 / 6)
    assert find_map(url, "of 4 days", "d", days) == Found(0, cube.spec, 4 / 6 * 3 / 4)
    assert find_map(url, "of 4 days", "d", days[1:]) == find_map(url, "of 4 days", "", days) == Found()
    assert find_map(url, "of 4 days", "another", days) == Found()


def test_each_step_is_read_once_however_many_days_share_it():
    config = {
        "resolutions": [1000],
        "drivers": [
            {"name": "dem", "kind": "source", "source": "dem", "variable": "z"},
            {"name": "rain", "kind": "antecedent", "source": "rain", "variable": "r", "days": 30},
            {"name": "ndvi", "kind": "normalized_difference", "source": "optical", "a": "nir", "b": "red"},
        ],
        "sequence": {"days": 10, "resolution": 1000, "drivers": [{"name": "r", "source": "rain", "variable": "r"}]},
    }
    base = NestedGrid(EASE2_M09, Window(400, 402, 800, 803), 9)
    spec = build_spec(FeaturesConfig.model_validate(config), base, sources_url="s", features_url="f")
    days = tuple(str(np.datetime64("2020-01-01") + n) for n in range(90))
    raster, timed = RasterGrid("EPSG:4326", 0.0, 0.0, 0.1, -0.1, 20, 30), ("time", "y", "x")
    cubes = {
        "dem": CubeSpec(raster, (Variable("z"), Variable("unused"))),
        "rain": CubeSpec(raster, (Variable("r", timed),), days),
        "optical": CubeSpec(
            raster, tuple(Variable(n, timed, "int16", 1e-4) for n in ("red", "nir", "green")), days[:2]
        ),
    }
    plane, packed = 600 * 4 * STORED["float32"], 600 * 2 * STORED["int16"]
    found = driver_bytes(spec, cubes, ("2020-03-01", "2020-03-02"), stored_static=None)
    assert found == pytest.approx(31 * plane + 2 * 2 * packed + plane, rel=1e-3)
    kept = CubeSpec(base.raster, (Variable("dem"),))
    assert driver_bytes(spec, cubes, ("2020-03-01",), stored_static=kept) == pytest.approx(
        30 * plane + 2 * packed + 18 * 27 * 4 * STORED["float32"], rel=1e-3
    )


def test_a_halo_reads_the_cells_around():
    assert halo_overhead(4, 0, 300) == 1
    assert halo_overhead(4, 4, 300) == (6 / 4) ** 2
    assert halo_overhead(2, 10, 9) == (6 / 2) ** 2


@pytest.mark.parametrize(("tasks", "slots", "wanted"), [(8, 2, 4 * 5), (9, 2, 5 * 40 / 9), (4, 8, 10), (0, 2, 0)])
def test_time_goes_by_rounds_of_equal_tasks(tasks, slots, wanted):
    assert Rate("measured", {"read": 1.0, "compute": 3.0}).seconds(10e6, tasks, slots) == pytest.approx(wanted)
    warm = Rate("measured", {"all": 4.0}, warm_up=3.0).seconds(10e6, tasks, slots)
    assert warm == pytest.approx(wanted + 3.0 if tasks else 0.0)


def test_a_run_that_was_measured_gives_its_rate():
    assert measured({"pixels": 2_000_000, "task_seconds": 5.0, "bytes_peak": 7}) == Rate("measured", {"all": 2.5}, 0, 7)
    for entry in ({}, {"pixels": 0, "task_seconds": 5.0}, {"pixels": 5, "seconds": 1.0}):
        assert measured(entry) is None


@pytest.mark.parametrize("config", [DNNConfig(hidden=(5, 7)), CNNConfig(channels=6, depth=3), LSTMConfig(width=9)])
def test_multiplications_are_the_weights_that_a_pixel_meets(config):
    network = build_network(config, 4, 1, 3)
    once_a_sequence = ("recurrence", "projection")
    met = sum(
        weight.numel()
        for name, weight in network.named_parameters()
        if weight.dim() > 1 and not name.startswith((*once_a_sequence, "head.linear"))
    )
    assert multiplications(config, 4, 6) == met


def test_tiles_with_most_to_predict_are_measured_first():
    valid = np.zeros((2, 5, 7), bool)
    valid[0, 2:4, 4:6] = valid[:, 0, 0] = True
    assert best_places(valid, Window(10, 15, 20, 27), 2, 2) == [Window(12, 14, 24, 26), Window(10, 12, 20, 22)]
    assert best_places(valid, Window(10, 15, 20, 27), 9, 3) == [Window(10, 15, 20, 27)]


def test_tasks_that_failed_are_counted_where_they_are_recorded(tmp_path):
    assert failed_tasks(str(tmp_path), "predict") == 0
    (tmp_path / "failed.json").write_text(json.dumps({"predict": {"predict-r0000-c0001": "poisoned"}}))
    assert failed_tasks(str(tmp_path), "predict") == 1
    assert failed_tasks(str(tmp_path), "features") == 0
    assert rows(demo(tmp_path))["predict"].failed == 1


def test_a_continent_costs_a_plan_no_more_than_a_county(tmp_path):
    peaks = {}
    rows(demo(tmp_path))  # what is imported on the way counts for neither
    for name, cells in {"county": "[400, 404, 800, 804]", "continent": "[200, 484, 600, 1227]"}.items():
        tracemalloc.start()
        start = time.process_time()
        found = rows(demo(tmp_path, f"extent={{cells: {cells}}}", "prediction.every=7"))
        spent = time.process_time() - start
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert spent < 5
    assert found["predict"].new == -(-284 // 4) * -(-627 // 4)
    assert peaks["continent"] < peaks["county"] + 2_000_000
