"""Stations meet the pixel that holds them; unseen ones are judged apart from those of training."""

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from smdown.evaluation import evaluate_plan, summarise
from smdown.evaluation.station_pool import pooled_metrics, within_cells
from smdown.evaluation.station_table import station_table
from smdown.evaluation.stations import in_grid_percent, load_stations, pixel_of
from smdown.grid import EASE2_M09, NestedGrid, Window

GRID = NestedGrid(EASE2_M09, Window(300, 303, 900, 904), 30)


def lonlat(y, x):
    """Return the place of a pixel's centre."""
    to = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)
    return to.transform(GRID.x_centres(x, x + 1)[0], GRID.y_centres(y, y + 1)[0])


@pytest.mark.parametrize(("y", "x"), [(9000, 27000), (9000, 27119), (9089, 27000), (9044, 27060)])
def test_a_place_is_in_its_pixel(y, x):
    longitude, latitude = lonlat(y, x)
    rows, cols = pixel_of(GRID, np.array([longitude]), np.array([latitude]))
    assert (rows[0], cols[0]) == (y, x)
    left, top = in_grid_percent(GRID, np.array([longitude]), np.array([latitude]))
    assert left[0] == pytest.approx((x - 27000 + 0.5) / 120 * 100)
    assert top[0] == pytest.approx((y - 9000 + 0.5) / 90 * 100)


def test_matchups_hold_what_station_and_map_say_there(project):
    plan = evaluate_plan(project.job)
    for task in plan.tasks:
        plan.run(task)
    metrics = summarise(project.job)
    table = pd.read_csv(project.path / "evaluation" / "matchups.csv")
    stations = load_stations(project.job.stations_url, ["sm_surface", "sm_rootzone"])
    placed = {s.name: s for s in stations.on(project.job.grid)}
    window = project.job.grid.window
    assert len(table) > 100
    for row in table.itertuples():
        station, day = placed[row.station], project.job.days.index(row.day)
        y, x = station.y - window.y0, station.x - window.x0
        assert row.ensemble == pytest.approx(project.fields[f"ensemble/{row.layer}"][day, y, x], abs=6e-5)
        assert row.coarse_nearest == pytest.approx(
            project.fields[f"coarse/{row.layer}"][day, y // 30, x // 30], abs=1e-6
        )
        assert row.observed == stations.observed(station, row.layer, row.day)
        assert row.held_out == (row.station in project.job.held_out)
    own = table[(table.layer == "sm_surface") & table.held_out]
    found = metrics["layers"]["sm_surface"]["stations"]["ensemble"]
    assert found["n"] == len(own)
    assert found["rmse"] == pytest.approx(np.sqrt(((own.ensemble - own.observed) ** 2).mean()), rel=1e-9)
    assert found["stations"] == own.station.nunique()
    assert "stations_training" in metrics["layers"]["sm_surface"]


def test_stations_csv_has_a_row_per_station_and_layer(project):
    plan = evaluate_plan(project.job)
    for task in plan.tasks:
        plan.run(task)
    summarise(project.job)
    table = pd.read_csv(project.path / "evaluation" / "stations.csv")
    assert not table.duplicated(["station", "layer"]).any()
    assert {"longitude", "latitude", "held_out", "n", "ensemble_rmse", "coarse_nearest_rmse"} <= set(table.columns)
    assert table["ensemble_r"].isna().all()  # four days are too few for a station's own correlation
    assert table["ensemble_rmse"].notna().all()


def matchups(cell, day, observed, ensemble):
    return pd.DataFrame(
        {
            "station": [f"{cell}{i}" for i in range(len(observed))], "network": "", "layer": "a", "day": day,
            "held_out": True, "cell": cell, "observed": observed, "std": 0.1, "ensemble": ensemble,
        }
    )  # fmt: skip


def test_within_cell_correlation_needs_three_stations_and_ignores_means():
    three = matchups("A", "2020-01-01", [0.1, 0.2, 0.3], [0.6, 0.7, 0.8])
    two = matchups("B", "2020-01-01", [0.1, 0.5], [0.5, 0.1])
    both = within_cells(pd.concat([three, two]), "ensemble")
    assert both["r_within_cell"] == pytest.approx(1)
    assert both["ubrmse_within_cell"] == pytest.approx(0, abs=1e-9)
    assert (both["pairs_within_cell"], both["cell_days"]) == (3, 1)
    assert np.isnan(within_cells(two, "ensemble")["r_within_cell"])


def test_pooled_metrics_leave_out_pairs_that_any_estimate_lacks():
    table = matchups("A", "2020-01-01", [0.1, 0.2, 0.3], [0.1, 0.2, np.nan])
    table["coarse_nearest"] = [0.2, 0.2, 0.2]
    found = pooled_metrics(table, station_table(table, {}))
    assert found["ensemble"]["n"] == found["coarse_nearest"]["n"] == 2
    assert found["ensemble"]["coverage_90"] == 1
