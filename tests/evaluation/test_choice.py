"""Which estimate is better, and whether chance could have done it; scores of stated uncertainty."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from smdown.cubes import CubeSpec, Variable, create_cube, open_cube
from smdown.evaluation import evaluate_plan, summarise, write_report
from smdown.evaluation.choice import signed, verdict
from smdown.evaluation.record import load_record
from smdown.evaluation.resampled import BLOCKS, Blocks, add_intervals, block_of, errors_at_stations
from smdown.evaluation.stats import compare, gaussian_crps
from smdown.evaluation.words import findings
from smdown.grid import Window


def add_baselines(project):
    """Write maps of a baseline that knows the truth with a little noise, and one that errs; return the job."""
    spec = open_cube(project.job.members_url).spec
    rng = np.random.default_rng(5)
    names = [f"{y.name}_{kind}" for y in project.job.layers for kind in ("linear", "gradient_boosting")]
    variables = tuple(
        Variable(name + end, ("time", "y", "x"), "int16", 1e-4, valid_range=(0.0, 0.9)) for name in names
        for end in ("", "_std")
    )  # fmt: skip
    url = str(project.path / "baselines.zarr")
    grid = project.job.grid
    create_cube(url, CubeSpec(grid.raster, variables, tuple(spec.times), spec.shard, grid.ratio, "b", nested=grid))
    cube = open_cube(url)
    for name in names:
        layer, noise = name.rsplit("_", 1)[0].removesuffix("_gradient"), 0.005 if "linear" in name else 0.1
        for i in range(len(spec.times)):
            truth = project.fields[f"truth/{layer}"][i]
            cube.write(name, np.clip(truth + noise * rng.standard_normal(truth.shape), 0, 0.9), cube.raster.window, i)
            cube.write(f"{name}_std", np.full(truth.shape, noise), cube.raster.window, i)
    cube.finish()
    return dataclasses.replace(project.job, baselines_url=url)


def evaluate(job):
    plan = evaluate_plan(job)
    for task in plan.tasks:
        plan.run(task)
    return summarise(job)


def test_baselines_stand_in_the_same_table_with_their_own_uncertainty(project):
    members = evaluate(add_baselines(project))["layers"]["sm_surface"]["truth"]
    assert {m["n"] for m in members.values()} == {members["ensemble"]["n"]}
    assert members["linear"]["rmse"] == pytest.approx(0.005, rel=0.02)
    assert members["linear"]["coverage_90"] == pytest.approx(0.9, abs=0.01)
    assert members["linear"]["crps"] == pytest.approx(0.005 / np.sqrt(np.pi), rel=0.03)  # of a calibrated normal
    assert members["linear"]["rmse_ratio_high"] < 1 < members["gradient_boosting"]["rmse_ratio_low"]
    assert members["ensemble"]["rmse_ratio_low"] == members["ensemble"]["rmse_ratio_high"] == 1
    nearest = members["coarse_nearest"]
    assert "coverage_90" not in nearest
    assert nearest["rmse_low"] < nearest["rmse"] < nearest["rmse_high"]


def test_the_mean_of_the_networks_is_their_mean(project):
    members = evaluate(project.job)["layers"]["sm_surface"]["truth"]
    packed = [np.round(project.fields[f"{m}/sm_surface"][::2] * 1e4) / 1e4 for m in ("dnn", "cnn", "lstm")]
    error = np.mean(packed, axis=0) - np.round(project.fields["truth/sm_surface"][::2] * 1e4) / 1e4
    assert members["mean"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)


def test_the_report_says_which_and_how_sure(project):
    job = add_baselines(project)
    evaluate(job)
    text = " ".join(Path(write_report(str(project.path))).read_text().split())
    assert "Which network, or all of them?" in text
    assert "Linear regression" in text
    assert "better than the map" in text
    assert "worse than the map" in text
    record = load_record(str(project.path))
    said = " ".join(findings(record, record.layers[0]))
    assert "The best baseline model (Linear regression) beats the ensemble by" in said


def test_without_members_there_is_no_such_section(project):
    job = dataclasses.replace(project.job, members_url=None, truth_url=None, stations_url=None, held_out=None)
    evaluate(job)
    assert "Which network" not in Path(write_report(str(project.path))).read_text()


@pytest.mark.parametrize(("low", "high", "says"), [(1.01, 1.2, "worse"), (0.8, 0.99, "better"), (0.9, 1.1, "chance")])
def test_verdicts(low, high, says):
    assert says in verdict(low, high)


def test_changes_bear_their_sign():
    said = [signed(ratio).replace("\N{NO-BREAK SPACE}", " ") for ratio in (1.2, 0.95, 1.0001, 0.9999, 1.0)]
    assert said == ["+20 %", "\N{MINUS SIGN}5.0 %", "0 %", "0 %", "0 %"]


def test_intervals_need_some_blocks_and_know_what_is_shared():
    rng = np.random.default_rng(0)
    common = rng.gamma(1, 1, 40)  # places differ a lot, and both estimates err there alike
    errors = {
        name: Blocks({k: (1.0, f * e) for k, e in enumerate(common)}) for name, f in (("ensemble", 1), ("dnn", 1.1))
    }
    members = {name: {"rmse": float(np.sqrt(np.mean([v[1] for v in b.sums.values()])))} for name, b in errors.items()}
    add_intervals(members, errors)
    assert members["dnn"]["rmse_ratio_low"] == pytest.approx(np.sqrt(1.1))
    assert members["ensemble"]["rmse_high"] > members["dnn"]["rmse"]
    few = {name: {"rmse": 1.0} for name in errors}
    add_intervals(few, {name: Blocks(dict.fromkeys(range(4), (1.0, 1.0))) for name in errors})
    assert few == {name: {"rmse": 1.0} for name in errors}


def test_blocks_are_cells_whatever_the_tiling_and_bounded_on_a_continent():
    rng = np.random.default_rng(1)
    squares = rng.random((6, 8))
    whole, parts = Blocks(), Blocks()
    whole.count(Window(10, 16, 20, 28), np.ones((6, 8)), squares)
    for y, x in ((0, 0), (0, 4), (3, 0), (3, 4)):
        part = Blocks()
        part.count(Window(10 + y, 13 + y, 20 + x, 24 + x), np.ones((3, 4)), squares[y : y + 3, x : x + 4])
        parts.add(Blocks.from_json(part.as_json()))
    assert whole.sums.keys() == parts.sums.keys()
    for block, sums in whole.sums.items():
        assert parts.sums[block] == pytest.approx(sums)
    names = [block_of(row, col) for row in range(200) for col in range(200)]
    assert len(set(names)) == BLOCKS
    assert np.bincount(names).max() < 30  # spread alike


def test_stations_of_a_cell_make_one_block():
    table = pd.DataFrame(
        {
            "station": ["a", "b", "c"],
            "cell": ["1,2", "1,2", "3,4"],
            "observed": [0.1, 0.2, 0.3],
            "ensemble": [0.2, 0.2, 0.1],
        }
    )
    found = errors_at_stations(table)["ensemble"].sums
    assert sorted(n for n, _ in found.values()) == [1, 2]
    assert sorted(s for _, s in found.values()) == pytest.approx([0.01, 0.04])


def test_the_score_is_its_integral_and_the_absolute_error_without_a_spread():
    """CRPS is the integral of the squared difference of the two distribution functions."""
    for error, std in ((0.3, 1.0), (-2.0, 0.5), (0.0, 0.2)):
        expected = sum(
            quad(lambda t: (norm.cdf(t, error, std) - (t >= 0)) ** 2, *ends, epsabs=1e-12)[0]  # noqa: B023
            for ends in ((-12, 0), (0, 12))
        )
        assert gaussian_crps(np.array([error]), np.array([std]))[0] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(gaussian_crps(np.array([-0.4, 0.4]), np.array([0.0, np.nan])), [0.4, 0.4])


def test_the_score_of_fields_is_the_mean_over_their_pixels():
    rng = np.random.default_rng(2)
    x, y = (rng.normal(0.3, 0.1, (12, 12)).astype(np.float32) for _ in range(2))
    std = rng.uniform(0.01, 0.2, (12, 12)).astype(np.float32)
    y[:3, :5] = np.nan
    std[6] = np.nan
    known = np.isfinite(y)
    expected = gaussian_crps((x - y)[known], std[known]).mean()
    assert compare(x, y, 6, std).metrics()["crps"] == pytest.approx(expected, rel=1e-6)
    assert compare(x, y, 6).metrics()["crps"] == pytest.approx(np.abs(x - y)[known].mean(), rel=1e-6)
