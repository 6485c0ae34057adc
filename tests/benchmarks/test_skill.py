"""The skill harness: which runs there are, what is claimed of them, and the finer product that it makes."""

import numpy as np
import pytest
import xarray as xr

from benchmarks import skill
from benchmarks.skill_table import claims, over_seeds, print_table, rows_of

LAYERS = ("sm_surface", "sm_rootzone")


def finished(errors, coverage=0.9):
    """Return what a run leaves, with these errors."""
    members = {m: {"rmse": e, "r_within_cell": 0.5, "crps": e / 2} for m, e in errors.items()}
    members["ensemble"]["coverage_90"] = coverage
    return {"seconds": 1.0, "metrics": {layer: {"truth": members} for layer in LAYERS}}


ERRORS = {
    "ensemble": 0.03, "dnn": 0.031, "cnn": 0.04, "mean": 0.03, "linear": 0.029, "gradient_boosting": 0.035,
    "coarse_nearest": 0.05, "coarse_cubic": 0.045,
}  # fmt: skip


def rows(*runs):
    return [row for labels, seed, found in runs for row in rows_of(labels, "all", seed, found)]


def verdicts(found):
    return {c["claim"].partition(" (")[0]: c["holds"] for c in found if "intervals cover" not in c["claim"]}


def test_claims_follow_from_the_figures():
    found = claims(rows(("cell_mean+stations", 0, finished(ERRORS)), ("cell_mean", 0, finished(ERRORS))), "cell_mean")
    held = verdicts(found)
    assert held["cell_mean: the ensemble beats every single network in both layers"]
    assert not held["cell_mean: the ensemble beats linear regression in both layers"]
    last = found[-2:]
    assert [c["value"] for c in last] == [2, 1.0]  # a line that does better is said, but was not promised
    assert all(c["holds"] for c in last)


@pytest.mark.parametrize(
    ("change", "coverage"),
    [({"dnn": 0.0299}, 0.9), ({"gradient_boosting": 0.02}, 0.9), ({"coarse_cubic": 0.02}, 0.9), ({}, 0.8), ({}, 0.97)],
)
def test_one_failure_is_enough(change, coverage):
    found = claims(rows(("cell_mean", 0, finished(ERRORS | change, coverage))), "cell_mean")
    assert found[-1]["value"] == 0
    assert sum(not c["holds"] for c in found) >= 2


def test_seeds_are_averaged_before_they_are_compared():
    lucky, unlucky = ERRORS | {"dnn": 0.029}, ERRORS | {"dnn": 0.04}
    held = verdicts(claims(rows(("cell_mean", 0, finished(lucky)), ("cell_mean", 1, finished(unlucky))), "cell_mean"))
    assert held["cell_mean: the ensemble beats every single network in both layers"]


def test_the_table_shows_mean_and_spread(capsys):
    some = rows(("cell_mean", 0, finished(ERRORS)), ("cell_mean", 1, finished(ERRORS | {"dnn": 0.033})))
    print_table(some)
    shown = capsys.readouterr().out
    assert "cell_mean at all, sm_surface (2 seeds)" in shown
    assert "0.0320 +- 0.0014" in shown
    assert over_seeds([], "rmse")[2] == 0


def test_runs_are_picked_by_name():
    every = skill.matrix([0, 1], [], every=True, quick=False)
    assert len(every) == len(set(every)) == 2 * len(skill.LABELS) * len(skill.RESOLUTIONS)
    usual = skill.matrix([0, 1], [], every=False, quick=False)
    assert {r.resolutions for r in usual if r.labels == "cell_mean"} == {"all"}
    assert {r.resolutions for r in usual if r.labels == "cell_mean+stations"} == set(skill.RESOLUTIONS)
    assert len(skill.matrix([0], [], every=False, quick=True)) == 1
    assert {r.seed for r in skill.matrix([0, 1], ["seed 1"], every=True, quick=False)} == {1}


def test_the_finer_product_is_the_mean_of_truths_that_are_not_judged(tmp_path):
    rng = np.random.default_rng(0)
    times = np.datetime64("2020-04-01", "ns") + 5 * np.arange(6) * np.timedelta64(1, "D")
    axes = {"time": times, "y": -np.arange(600.0), "x": np.arange(300.0)}
    values = rng.random((6, 600, 300)).astype(np.float32)
    truth = xr.Dataset({"sm_surface": (("time", "y", "x"), values)}, axes, {"smdown": {"schema": 2}})
    truth.to_zarr(tmp_path / "truth.zarr", consolidated=False)
    skill.write_finer(tmp_path / "truth.zarr", tmp_path / "finer.nc", 0)
    found = xr.open_dataset(tmp_path / "finer.nc", engine="h5netcdf")
    assert found.time.values.tolist() == times[1::2].tolist()
    means = values[1::2].reshape(3, 20, 30, 10, 30).mean(axis=(2, 4))
    assert np.abs(found.sm_surface.values - means).std() < 2 * skill.FINER_NOISE
    assert found.y.values[0] == pytest.approx(-14.5)
