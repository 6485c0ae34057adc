"""Figures of stations agree with pytesmo and with closed formulas; gaps, ties and lone values do no harm."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytesmo.metrics import pairwise
from pytesmo.time_series.filtering import moving_average
from scipy import stats

from smdown.evaluation.metrics import (
    analytic_intervals,
    block_intervals,
    block_length,
    effective_size,
    gdown,
    median_intervals,
    moving_anomalies,
    pair_metrics,
)
from smdown.evaluation.metrics.effective import lag_one, size_of
from smdown.evaluation.metrics.groups import drawn_counts, shares
from smdown.evaluation.metrics.intervals import rank_influence
from smdown.evaluation.metrics.pairs import Pairs
from smdown.evaluation.stats import Moments


def series(rng, count=5, days=400, gaps=0.2):
    """Return estimates and references with gaps, each in its own places."""
    y = 0.25 + 0.05 * rng.standard_normal((count, days))
    x = 0.03 + 0.7 * y + 0.03 * rng.standard_normal((count, days))
    x, y = (np.where(rng.random(v.shape) < gaps, np.nan, v) for v in (x, y))
    return x, np.round(y, 2)  # ties, as of a coarse sensor


def test_every_metric_is_that_of_pytesmo():
    x, y = series(np.random.default_rng(0))
    found = pair_metrics(x, y)
    oracles = {
        "r": pairwise.pearson_r, "rho": pairwise.spearman_r, "bias": pairwise.bias, "rmse": pairwise.rmsd,
        "ubrmse": pairwise.ubrmsd, "slope": lambda a, b: stats.linregress(b, a).slope,
    }  # fmt: skip
    for i in range(len(x)):
        ok = np.isfinite(x[i]) & np.isfinite(y[i])
        assert found["n"][i] == ok.sum()
        for name, oracle in oracles.items():
            assert found[name][i] == pytest.approx(oracle(x[i][ok], y[i][ok]), abs=1e-9), name


def test_analytic_intervals_are_those_of_pytesmo():
    x, y = series(np.random.default_rng(1))
    found, ends = pair_metrics(x, y), analytic_intervals(x, y)
    for i in range(len(x)):
        ok = np.isfinite(x[i]) & np.isfinite(y[i])
        a, b = x[i][ok], y[i][ok]
        for name, oracle in (
            ("r", pairwise.pearson_r_ci), ("rho", pairwise.spearman_r_ci),
            ("bias", pairwise.bias_ci), ("ubrmse", pairwise.ubrmsd_ci),
        ):  # fmt: skip
            expected = oracle(a, b, found[name][i])
            np.testing.assert_allclose([e[i] for e in ends[name]], expected, atol=1e-9, err_msg=name)


def test_analytic_intervals_widen_as_the_effective_size_falls():
    x, y = series(np.random.default_rng(2), count=1)
    n = pair_metrics(x, y)["n"]
    whole, quarter = (
        analytic_intervals(x, y),
        analytic_intervals(x, y, dict.fromkeys(("r", "rho", "bias", "ubrmse"), n / 4)),
    )
    for name in whole:
        ratio = (quarter[name][1] - quarter[name][0]) / (whole[name][1] - whole[name][0])
        assert ratio[0] == pytest.approx(2, rel=0.05), name
    few = {k: np.array([0.9]) for k in whole}
    assert all(np.isnan(low[0]) for low, _ in analytic_intervals(x, y, few).values())


@pytest.mark.parametrize("fewest", [1, 5])
def test_anomalies_are_those_of_pytesmo(fewest):
    rng = np.random.default_rng(3)
    days = pd.date_range("2018-01-01", periods=300)
    values = np.cumsum(rng.standard_normal(300)) + 1000
    values[rng.random(300) < 0.6] = np.nan
    values[100:160] = np.nan
    known = pd.Series(values, days).dropna()
    expected = (known - moving_average(known, window_size=35, min_obs=fewest)).reindex(days)
    np.testing.assert_allclose(moving_anomalies(values, fewest=fewest)[0], expected, atol=1e-8)


def test_nothing_is_made_of_nothing():
    nothing = np.full((3, 30), np.nan)
    nothing[1, :4], nothing[2, :25] = 0.2, 0.2  # few values, and values that do not vary
    found = pair_metrics(nothing, nothing)
    assert found["n"].tolist() == [0, 4, 25]
    assert np.isnan(found["r"]).all()
    assert np.isnan(found["slope"]).all()
    assert found["rmse"][2] == 0


def test_a_single_pair_has_an_error_but_none_without_its_mean():
    alone, one = np.full((1, 30), np.nan), Moments.of([0.3], [0.2]).metrics()
    alone[0, 3] = 0.2
    for found in ({k: v[0] for k, v in pair_metrics(alone + 0.1, alone).items()}, one):
        assert found["rmse"] == pytest.approx(0.1)
        assert found["bias"] == pytest.approx(0.1)
        assert np.isnan(found["ubrmse"])


# -- effective size ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0, 1))
def test_the_effective_size_is_the_double_sum(there, q):
    mask = np.array([there])
    at = np.flatnonzero(mask[0])
    expected = len(at) ** 2 / (q ** np.abs(at[:, None] - at).astype(float)).sum() if len(at) else 0
    assert size_of(mask, np.array([q]))[0] == pytest.approx(expected, rel=1e-6)


def test_the_effective_size_of_long_series_is_the_usual_one():
    q = 0.9 * 0.8
    size = size_of(np.ones((1, 100_000), bool), np.array([q]))[0]
    assert size == pytest.approx(100_000 * (1 - q) / (1 + q), rel=1e-3)


def autoregressive(rng, phi, shape):
    """Return stationary first-order autoregressive series of variance 1."""
    from scipy.signal import lfilter

    noise = rng.standard_normal(shape)
    noise[:, 1:] *= np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=1)


@pytest.mark.parametrize("every", [1, 3])
def test_the_memory_from_day_to_day_is_found_through_gaps(every):
    values = autoregressive(np.random.default_rng(4), 0.9, (20, 3000))
    values[:, np.arange(3000) % every != 0] = np.nan  # days 1, 4, 7 ...: no two of them are neighbours
    assert lag_one(values).mean() == pytest.approx(0.9, abs=0.01)
    size, q = effective_size(values, values)
    assert q.mean() == pytest.approx(0.81, abs=0.02)
    days = 3000 // every
    assert size.mean() == pytest.approx(days * (1 - 0.81**every) / (1 + 0.81**every), rel=0.15)


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_the_block_length_follows_the_memory():
    rng = np.random.default_rng(5)
    for phi, n in ((0.5, 20_000), (0.9, 20_000)):
        lengths = [block_length(row) for row in autoregressive(rng, phi, (100, n))]
        slope, level = 2 * phi / (1 - phi) ** 2, (1 + phi) / (1 - phi)  # sums over all lags, in variances
        best = (2 * slope**2 / (4 / 3 * level**2)) ** (1 / 3) * n ** (1 / 3)
        assert np.mean(lengths) == pytest.approx(best, rel=0.06), phi
    assert np.median([block_length(row) for row in rng.standard_normal((40, 2000))]) < 8


def test_block_intervals_are_those_of_drawing_days_one_by_one():
    x, y = series(np.random.default_rng(6), count=2, days=200, gaps=0)
    found = block_intervals(x, y, 1, draws=4000)
    rng = np.random.default_rng(7)
    for i in range(2):
        at = rng.integers(0, 200, (4000, 200))
        error = (x[i] - y[i])[at]
        for name, values in (("bias", error.mean(1)), ("rmse", np.sqrt((error**2).mean(1))), ("ubrmse", error.std(1))):
            ends = np.quantile(values, [0.025, 0.975])
            np.testing.assert_allclose([e[i] for e in found[name]], ends, atol=0.06 * np.ptp(ends) + 1e-9)


def test_block_intervals_of_whole_series_have_no_width():
    x, y = series(np.random.default_rng(8), count=2, days=100, gaps=0.3)
    found, metrics = block_intervals(x, y, 100, draws=50), pair_metrics(x, y)
    for name, (low, high) in found.items():
        np.testing.assert_allclose(low, metrics[name], atol=1e-9, err_msg=name)
        np.testing.assert_allclose(high, metrics[name], atol=1e-9, err_msg=name)


# -- groups ------------------------------------------------------------------------------------------------------------


def test_medians_of_drawn_groups_are_those_of_the_drawn_list():
    rng = np.random.default_rng(9)
    values, groups = rng.standard_normal((23, 2)), rng.integers(0, 7, 23)
    values[3, 0] = np.nan
    codes, counts = drawn_counts(groups, draws=300, seed=3)
    times = counts[:, codes].astype(int)
    for k in range(2):
        medians = [np.nanmedian(np.repeat(values[:, k], row)) for row in times if row.any()]
        expected = np.nanquantile(medians, shares(7, 0.95))
        np.testing.assert_allclose(median_intervals(values, groups, draws=300, seed=3)[k], expected)


@pytest.mark.parametrize("cells", [6, 12, 40])
def test_intervals_of_medians_cover_what_they_say(cells):
    rng, held = np.random.default_rng(11), []
    for _ in range(300):
        values = rng.standard_normal((cells, 1)) + rng.standard_normal((cells, 4))
        low, high = median_intervals(values.reshape(-1, 1), np.repeat(np.arange(cells), 4), draws=200)[0]
        held.append(low <= 0 <= high)
    assert 90 <= 100 * np.mean(held) <= 99  # plain percentiles: 87 with 6 cells


def test_few_groups_give_no_interval():
    assert np.isnan(median_intervals(np.arange(8.0)[:, None], [0, 0, 1, 1, 2, 2, 3, 3])).all()


# -- gain and ranks ----------------------------------------------------------------------------------------------------


def test_gdown_is_between_full_gain_and_full_loss():
    good = {"slope": np.array([1.0]), "r": np.array([1.0]), "bias": np.array([0.0])}
    poor = {"slope": np.array([0.4]), "r": np.array([0.5]), "bias": np.array([-0.02])}
    half = {"slope": np.array([0.7]), "r": np.array([0.75]), "bias": np.array([0.01])}
    assert gdown(good, poor) == 1
    assert gdown(poor, good) == -1
    assert gdown(poor, poor) == 0
    assert gdown(good, good) == 0
    assert gdown(half, poor) == pytest.approx(1 / 3)
    assert np.isnan(gdown(good | {"r": np.array([np.nan])}, poor))


def test_the_influence_on_the_rank_correlation_is_what_leaving_a_pair_out_does():
    rng = np.random.default_rng(10)
    y = rng.standard_normal((1, 200))
    x = y + rng.standard_normal((1, 200))
    ranks = Pairs.of(x, y).ranks()
    rho = pair_metrics(x, y)["rho"]
    left_out = [pair_metrics(np.delete(x, i, 1), np.delete(y, i, 1))["rho"][0] for i in range(200)]
    jackknife = (np.mean(left_out) - np.array(left_out)) * 199
    assert np.corrcoef(rank_influence(ranks, rho)[0], jackknife)[0, 1] > 0.99
    assert rank_influence(ranks, rho)[0].std() == pytest.approx(jackknife.std(), rel=0.05)
