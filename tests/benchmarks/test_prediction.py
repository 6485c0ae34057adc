"""The benchmark of the map: what it claims, and how it finds borders."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import prediction
from benchmarks.mapping import ours
from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.inference import LayerJob, PredictJob


def rows(**changes):
    """Return what a run finds, with every promise kept but those that are changed."""
    found = {
        "of_bare": 0.9, "of_peer": 12.0, "rms_difference": 0.001, "of_one": 1.9, "client_cpu": 0.01, "idle": 0.01,
        "peak_gib": 1.0, "tile_seam": 1.0,
    } | changes  # fmt: skip
    answer = {"job": "answers", "rms_difference": found["rms_difference"], "std_of_map": 0.05}
    return [
        *({"job": "throughput", "method": m, "of_bare": found["of_bare"]} for m in (prediction.OURS, prediction.FRESH)),
        {"job": "beside a peer", "method": prediction.FRESH, "of_peer": found["of_peer"]},
        *(answer | {"method": layer} for layer in ("sm_surface", "sm_rootzone")),
        {"job": "constraint", "method": "logit", "tile_seam": found["tile_seam"]},
        {"job": "workers", "method": "1 worker", "idle": found["idle"]},
        {"job": "workers", "method": "2 workers", "of_one": found["of_one"], "client_cpu": found["client_cpu"]},
        {"job": "memory", "method": "1 x", "peak_gib": 1.0},
        {"job": "memory", "method": "4 x", "peak_gib": found["peak_gib"]},
    ]


def test_all_promises_hold_where_the_figures_are_good():
    assert all(claim["holds"] for claim in prediction.claims(rows()))


@pytest.mark.parametrize(
    "change",
    [
        {"of_bare": 0.79}, {"of_peer": 9.9}, {"rms_difference": 0.02}, {"of_one": 1.7}, {"client_cpu": 0.03},
        {"idle": 0.05}, {"peak_gib": 1.2}, {"tile_seam": 1.02},
    ],
    ids=str,
)  # fmt: skip
def test_every_figure_can_break_its_promise(change):
    assert any(not claim["holds"] for claim in prediction.claims(rows(**change)))


@pytest.fixture
def job(tmp_path):
    grid = NestedGrid(EASE2_M09, Window(344, 348, 876, 880), 10)
    layer = LayerJob("sm", "smap", "sm")
    return PredictJob(None, "", str(tmp_path / "map.zarr"), grid, 2, (layer,), ("2020-01-01",))


def write(job, field):
    spec = CubeSpec(job.grid.raster, (Variable("sm", ("time", "y", "x")),), job.days, 20, 10, nested=job.grid)
    cube = create_cube(job.mosaic_url, spec)
    cube.write("sm", field.astype(np.float32), cube.raster.window, 0)
    cube.finish()


def test_borders_are_told_apart(job, tmp_path):
    smooth = np.add.outer(np.arange(40.0), np.arange(40.0))
    whole = replace(job, mosaic_url=str(tmp_path / "whole.zarr"), cells_per_tile=4)
    write(whole, smooth)
    cells = smooth + 2 * (np.arange(40) // 10)
    tiles = smooth + 2 * (np.arange(40) // 20)
    for field, cell_seam, tile_seam in ((smooth, 1, 1), (cells, 2, 2), (tiles, 1, 2)):
        own = replace(job, mosaic_url=str(tmp_path / f"{cell_seam}{tile_seam}.zarr"))
        write(own, field)
        found = ours.borders(own, whole)
        assert found == {"cell_seam": pytest.approx(cell_seam), "tile_seam": pytest.approx(tile_seam)}
