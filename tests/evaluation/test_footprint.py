"""A station sees its pixel, or an average around it that does not end at the edge of a tile."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from pyproj import Geod, Transformer

from smdown.evaluation import Footprint, evaluate_plan, summarise
from smdown.evaluation.footprint import weighted
from smdown.evaluation.job import job_from_json
from smdown.evaluation.stations import load_stations
from smdown.grid import EASE2_M09, NestedGrid, Window

GRID = NestedGrid(EASE2_M09, Window(300, 303, 900, 904), 30)  # pixels of 300 m


def test_by_default_a_station_sees_its_pixel():
    window, weights = Footprint().around(GRID, "NET", 9010, 27020)
    assert window == Window(9010, 9011, 27020, 27021)
    assert weights.tolist() == [[1.0]]


@pytest.mark.parametrize("kind", ["gaussian", "uniform"])
def test_a_probe_sees_the_pixels_within_its_radius_on_the_ground(kind):
    footprint = Footprint(0.0, kind, (("COSMOS", 1000.0),))
    assert footprint.around(GRID, "OTHER", 9010, 27020)[1].size == 1
    window, weights = footprint.around(GRID, "COSMOS", 9010, 27020)
    to, geod = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True), Geod(ellps="WGS84")
    rows, cols = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
    lon, lat = to.transform(GRID.lattice.x0 + (cols + 0.5) * GRID.pixel, GRID.lattice.y0 - (rows + 0.5) * GRID.pixel)
    middle = [np.full(lon.shape, v[weights.shape[0] // 2, weights.shape[1] // 2]) for v in (lon, lat)]
    away = geod.inv(*middle, lon, lat)[2]
    expected = (away <= 1000) * (np.exp(-2 * (away / 1000) ** 2) if kind == "gaussian" else 1.0)
    near_edge = np.abs(away - 1000) < 5
    np.testing.assert_allclose(weights[~near_edge], (expected / expected.sum())[~near_edge], atol=2e-3)
    assert weights.sum() == pytest.approx(1)
    assert weights.shape[0] != weights.shape[1]  # pixels are not square on the ground


def test_missing_pixels_are_left_out_until_half_is_gone():
    weights = np.full((2, 2), 0.25)
    assert weighted(np.array([[1.0, np.nan], [3.0, np.nan]]), weights) == pytest.approx(2)
    assert np.isnan(weighted(np.array([[1.0, np.nan], [np.nan, np.nan]]), weights))


@pytest.mark.parametrize("cells_per_tile", [1, 2, 4])
def test_the_average_runs_across_the_edges_of_tiles(project, cells_per_tile):
    footprint = Footprint(2500.0, "uniform")
    job = dataclasses.replace(project.job, footprint=footprint, cells_per_tile=cells_per_tile)
    assert job_from_json(job.as_json()) == job
    plan = evaluate_plan(job)
    for task in plan.tasks:
        plan.run(task)
    summarise(job)
    table = pd.read_csv(project.path / "evaluation" / "matchups.csv")
    placed = {s.name: s for s in load_stations(job.stations_url, ["sm_surface"]).on(job.grid)}
    window, crossing = job.grid.window, 0
    for row in table[table.layer == "sm_surface"].itertuples():
        station = placed[row.station]
        seen, weights = footprint.around(job.grid, row.network, station.y, station.x)
        crossing += (seen.y0 - window.y0) // 30 != (seen.y1 - 1 - window.y0) // 30
        padded = np.pad(project.fields["ensemble/sm_surface"][job.days.index(row.day)], 40, constant_values=np.nan)
        rows = slice(seen.y0 - window.y0 + 40, seen.y1 - window.y0 + 40)
        expected = weighted(padded[rows, seen.x0 - window.x0 + 40 : seen.x1 - window.x0 + 40], weights)
        assert row.ensemble == pytest.approx(expected, abs=6e-5, nan_ok=True)
    assert crossing > 5
