"""The leave-station-out harness: what the table of stations adds up to."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import stations
from smdown import open_project


def table():
    rows = {"layer": "sm_surface", "constraint": ["as configured"] * 3 + ["none"] * 3, "n": [10, 30, 20] * 2}
    rows |= {"network": "N", "cell": ["1,1", "1,2", "1,3"] * 2, "station": list("abc") * 2}
    for member, errors in {"ensemble": [0.03, 0.05, 0.04], "coarse_nearest": [0.04, 0.05, 0.09]}.items():
        for figure in stations.FIGURES:
            rows[f"{member}_{figure}"] = [*errors, *(2 * e for e in errors)]
    return pd.DataFrame(rows)


def test_errors_are_pooled_over_matchups_and_medians_over_stations():
    first, coarse, free, _ = stations.summary(table())
    assert (first["method"], coarse["method"]) == ("ensemble", "coarse_nearest")
    assert first["rmse"] == pytest.approx(np.sqrt((10 * 0.03**2 + 30 * 0.05**2 + 20 * 0.04**2) / 60))
    assert (first["median_r"], first["stations"], first["matchups"]) == (0.04, 3, 60)
    assert first["better_than_coarse"] == pytest.approx(2 / 3)
    assert free["constraint"] == "none"
    assert free["rmse"] == pytest.approx(2 * first["rmse"])
    assert first["gain_rmse"] == pytest.approx(0.01)
    assert np.isnan(first["rmse_low"])  # three stations are too few
    assert stations.with_interval(first | {"rmse_low": 0.02, "rmse_high": 0.06}, "rmse") == "0.0440 [0.0200, 0.0600]"


def test_with_enough_cells_figures_have_intervals(capsys):
    many = pd.concat(
        [
            table().assign(cell=lambda t, k=k: t.cell + f"/{k}", station=lambda t, k=k: t.station + str(k))
            for k in range(4)
        ]
    )
    rows = stations.summary(many)
    assert rows[0]["rmse_low"] < rows[0]["rmse"] < rows[0]["rmse_high"]
    assert rows[0]["gain_rmse_low"] <= rows[0]["gain_rmse"] <= rows[0]["gain_rmse_high"]
    stations.print_table(rows)
    assert f"[{rows[0]['rmse_low']:.4f}, {rows[0]['rmse_high']:.4f}]" in capsys.readouterr().out


def test_the_ensemble_is_set_beside_the_coarse_product():
    found = stations.claims(stations.summary(table()))
    coarse = np.sqrt((10 * 0.04**2 + 30 * 0.05**2 + 20 * 0.09**2) / 60)
    own = np.sqrt((10 * 0.03**2 + 30 * 0.05**2 + 20 * 0.04**2) / 60)
    errors, gains = found[::2], found[1::2]
    assert [claim["value"] for claim in errors] == [pytest.approx(100 * (1 - own / coarse), abs=0.05)] * 2
    assert all(claim["holds"] for claim in errors)
    assert not any(claim["holds"] for claim in gains)  # what has no interval does not hold


def test_folds_share_what_does_not_depend_on_them(tmp_path):
    stations.link(tmp_path / "base", tmp_path / "fold0", stations.SHARED)
    stations.link(tmp_path / "base", tmp_path / "fold0", stations.SHARED)
    (tmp_path / "fold0" / "sources" / "a").mkdir()
    assert (tmp_path / "base" / "sources" / "a").is_dir()


def test_the_project_of_yanco_is_sound(monkeypatch, tmp_path):
    monkeypatch.setenv("SMDOWN_REAL_DATA", str(tmp_path))
    project = open_project("configs/yanco.yaml", workdir=str(tmp_path))
    assert project.config.training.folds == 4
    assert project.config.grid.ratio == 1200
