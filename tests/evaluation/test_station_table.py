"""Tables of stations: every figure is pytesmo's at that station, and summaries are medians of them."""

import json

import numpy as np
import pandas as pd
import pytest
from pytesmo.metrics import pairwise
from pytesmo.time_series.anomaly import calc_anomaly

from smdown.evaluation import metrics
from smdown.evaluation.metrics.groups import shares
from smdown.evaluation.partials import plain
from smdown.evaluation.station_pool import pooled_metrics, within_cells
from smdown.evaluation.station_summary import station_summary
from smdown.evaluation.station_table import FIGURES, station_table

DAYS = pd.date_range("2019-01-01", periods=120).strftime("%Y-%m-%d")
MEMBERS = ("ensemble", "coarse_nearest", "coarse_cubic")


def matchups(count=12, seed=0, layers=("sm_surface", "sm_rootzone")):
    """Return matchups of stations, two to a cell, in three networks; the ensemble is nearer to them than the cell."""
    rng = np.random.default_rng(seed)
    rows = []
    for layer in layers:
        wet = 0.05 * np.sin(np.arange(len(DAYS)) / 9) + 0.25
        for k in range(count):
            local = 0.04 * rng.standard_normal()
            for day, base in zip(DAYS, wet, strict=True):
                if rng.random() < 0.15:
                    continue
                seen = base + local + 0.01 * rng.standard_normal()
                rows.append(
                    {
                        "station": f"N{k % 3}/s{k:02d}", "network": f"N{k % 3}", "climate": ("BSk", "Cfa")[k % 2],
                        "layer": layer, "day": day, "held_out": k % 4 != 3, "cell": f"7,{k // 2}", "observed": seen,
                        "std": 0.02, "ensemble": base + 0.8 * local + 0.008 * rng.standard_normal(),
                        "coarse_nearest": base + 0.004 * rng.standard_normal(),
                        "coarse_cubic": base + 0.1 * local + 0.004 * rng.standard_normal(),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table():
    return matchups()


@pytest.fixture(scope="module")
def figures(table):
    return station_table(table, {"N0/s00": (146.0, -35.0)})


def test_every_figure_is_that_of_pytesmo(table, figures):
    assert len(figures) == 24
    oracles = {
        "r": pairwise.pearson_r, "rho": pairwise.spearman_r, "bias": pairwise.bias, "rmse": pairwise.rmsd,
        "ubrmse": pairwise.ubrmsd,
    }  # fmt: skip
    for row in figures.itertuples():
        own = table[(table.station == row.station) & (table.layer == row.layer)]
        assert (row.n, row.network, row.climate, row.cell) == (len(own), *own.iloc[0][["network", "climate", "cell"]])
        at = pd.to_datetime(own.day)
        assert row.days == (at.max() - at.min()).days + 1
        y = pd.Series(own.observed.to_numpy(), at)
        for member in MEMBERS:
            x = pd.Series(own[member].to_numpy(), at)
            for name, oracle in oracles.items():
                assert getattr(row, f"{member}_{name}") == pytest.approx(oracle(x.to_numpy(), y.to_numpy()), abs=1e-6)
            anomaly = pairwise.pearson_r(calc_anomaly(x).to_numpy(), calc_anomaly(y).to_numpy())
            assert getattr(row, f"{member}_anomaly_r") == pytest.approx(anomaly, abs=1e-6)
            for name in FIGURES:
                low, value, high = (getattr(row, f"{member}_{name}{end}") for end in ("_low", "", "_high"))
                assert low < value < high
    first = figures.iloc[0]
    assert (first.longitude, first.latitude) == (146, -35)
    assert figures.coarse_nearest_gdown.isna().all()
    one = {k: np.array([first[f"ensemble_{k}"]]) for k in ("r", "slope", "bias")}
    base = {k: np.array([first[f"coarse_nearest_{k}"]]) for k in ("r", "slope", "bias")}
    assert first.ensemble_gdown == pytest.approx(metrics.gdown(one, base)[0])


def test_many_stations_are_taken_in_parts(table, figures, monkeypatch):
    monkeypatch.setattr("smdown.evaluation.station_table._CHUNK", 5)
    pd.testing.assert_frame_equal(station_table(table, {"N0/s00": (146.0, -35.0)}), figures)


def test_an_estimate_that_a_layer_lacks_costs_it_nothing(table):
    holes = table.assign(lstm=np.where(table.layer == "sm_surface", table.ensemble, np.nan))
    found = station_table(holes, {})
    assert found.ensemble_rmse.notna().all()
    assert (found.lstm_rmse.isna() == (found.layer == "sm_rootzone")).all()
    summary = station_summary(found)["layers"]
    assert "lstm" in summary["sm_surface"]["stations"]["all"][""]["members"]
    assert "lstm" not in summary["sm_rootzone"]["stations"]["all"][""]["members"]


def test_summaries_are_medians_of_the_stations(figures):
    summary = station_summary(figures)
    assert summary["metrics"] == [*FIGURES, "gdown"]
    views = summary["layers"]["sm_surface"]["stations"]
    own = figures[(figures.layer == "sm_surface") & figures.held_out]
    assert views["all"][""]["stations"] == len(own) == 9
    assert views["all"][""]["pairs"] == own.n.sum()
    for member in MEMBERS:
        for name in (*FIGURES, "gdown"):
            found = views["all"][""]["members"][member][name]
            values = own[f"{member}_{name}"]
            expected = values.quantile([0.25, 0.5, 0.75]).tolist()
            assert [found["q25"], found["median"], found["q75"]] == pytest.approx(expected, nan_ok=True)
            assert found["stations"] == values.notna().sum()
    low, high = views["all"][""]["members"]["ensemble"]["rmse"]["ci"]
    assert low <= own.ensemble_rmse.median() <= high
    gain = views["all"][""]["members"]["ensemble"]["gain"]
    paired = own.coarse_nearest_rmse - own.ensemble_rmse
    assert gain["rmse"]["median"] == pytest.approx(paired.median())
    assert gain["rmse"]["share"] == pytest.approx((paired > 0).mean())
    assert gain["r"]["median"] == pytest.approx((own.ensemble_r - own.coarse_nearest_r).median())
    assert "gain" not in views["all"][""]["members"]["coarse_nearest"]
    assert set(views["network"]) == {"N0", "N1", "N2"}
    assert set(views["climate"]) == {"BSk", "Cfa"}
    by_network = own.groupby("network").ensemble_rmse.median()
    assert views["network_mean"]["members"]["ensemble"]["rmse"] == pytest.approx(by_network.mean())
    assert views["network"]["N1"]["members"]["ensemble"]["rmse"]["median"] == pytest.approx(by_network["N1"])
    json.dumps(plain(summary), allow_nan=False)


def test_pooled_figures_have_intervals_from_drawn_cells(table, figures):
    rows = table[(table.layer == "sm_surface") & table.held_out]
    own = figures[(figures.layer == "sm_surface") & figures.held_out]
    found = pooled_metrics(rows, own)["ensemble"]
    x, y = rows.ensemble.to_numpy(), rows.observed.to_numpy()
    assert found["rho"] == pytest.approx(pairwise.spearman_r(x, y), abs=1e-9)
    assert found["slope"] == pytest.approx(np.polyfit(y, x, 1)[0], abs=1e-9)
    rng = np.random.default_rng(5)
    cells = [c.reset_index(drop=True) for _, c in rows.groupby("cell")]
    drawn = [pd.concat([cells[k] for k in rng.integers(0, len(cells), len(cells))]) for _ in range(400)]
    for name, oracle in (("rmse", pairwise.rmsd), ("r", pairwise.pearson_r), ("bias", pairwise.bias)):
        values = [oracle(d.ensemble.to_numpy(), d.observed.to_numpy()) for d in drawn]
        ends = np.quantile(values, shares(len(cells), 0.95))
        np.testing.assert_allclose(found[f"{name}_ci"], ends, atol=0.15 * np.ptp(ends), err_msg=name)
    assert found["median_rmse"] == pytest.approx(own.ensemble_rmse.median())
    assert found["iqr_rmse"] == pytest.approx(own.ensemble_rmse.quantile([0.25, 0.75]).tolist())
    assert found["gain_rmse"] > 0
    assert found["gain_rmse_ci"][0] > 0
    assert found["networks"] == 3
    assert "gain_rmse" not in pooled_metrics(rows, own)["coarse_nearest"]


def test_too_few_cells_give_no_interval(table, figures):
    few = table[(table.layer == "sm_surface") & table.cell.isin(["7,0", "7,1"])].assign(held_out=True)
    own = figures[(figures.layer == "sm_surface") & figures.cell.isin(["7,0", "7,1"])]
    found = pooled_metrics(few, own)["ensemble"]
    assert np.isnan(found["rmse_ci"])
    assert np.isnan(found["median_rmse_ci"])
    assert np.isnan(found["gain_rmse_ci"])


def test_stations_are_drawn_where_cells_are_few(figures):
    one_cell = figures.assign(cell="7,0")
    view = station_summary(one_cell)["layers"]["sm_surface"]["stations"]["all"][""]
    assert view["drawn"] == "stations"
    assert station_summary(figures)["layers"]["sm_surface"]["stations"]["all"][""]["drawn"] == "cells"
    low, high = view["members"]["ensemble"]["gain"]["rmse"]["ci"]
    assert low < view["members"]["ensemble"]["gain"]["rmse"]["median"] < high


def test_skill_inside_cells_is_that_of_anomalies():
    rng = np.random.default_rng(3)
    truth = rng.standard_normal((4, 30))
    rows = pd.DataFrame(
        {
            "cell": np.repeat(["1,1", "1,2"], 60), "day": np.tile(np.repeat(DAYS[:15], 4), 2),
            "observed": truth.T.ravel(), "half": 0.5 * truth.T.ravel() + 3 * np.repeat(rng.standard_normal(30), 4),
            "flat": np.repeat(rng.standard_normal(30), 4),
        }
    )  # fmt: skip
    half, flat = within_cells(rows, "half"), within_cells(rows, "flat")
    assert half["r_within_cell"] == pytest.approx(1)
    assert half["var_ratio_within"] == pytest.approx(0.25)
    assert half["ubrmse_within_cell"] == pytest.approx(0.5 * (truth - truth.mean(0)).std())
    assert (half["pairs_within_cell"], half["cell_days"]) == (120, 30)
    assert np.isnan(flat["r_within_cell"])
    assert flat["var_ratio_within"] == pytest.approx(0, abs=1e-12)
