"""Calibration equals closed forms: a right uncertainty is flat and covers what it says, a wrong one does not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats

from smdown.evaluation.calibration import HALF_WIDTHS, NOMINAL, Calibration, calibrate, span_of, spread_edges
from smdown.evaluation.stats import gaussian_crps

RNG = np.random.default_rng(0)
N = 200_000


def drawn(factor=1.0, shift=0.0):
    """Return estimate, reference and stated deviation, whose true one is `factor` times what is stated."""
    std = RNG.uniform(0.01, 0.05, N)
    reference = RNG.uniform(0.1, 0.4, N)
    return reference + shift + factor * std * RNG.standard_normal(N), reference, std


def test_the_half_widths_are_those_of_the_normal_distribution():
    assert pytest.approx([stats.norm.ppf(0.5 + p / 2) for p in NOMINAL], rel=1e-12) == HALF_WIDTHS


def test_a_right_uncertainty_is_flat_and_covers_what_it_says():
    found = calibrate(*drawn(), 0.6).metrics(0.6)
    assert found["n"] == N
    assert found["coverage"] == pytest.approx(NOMINAL, abs=0.005)
    assert found["calibration_error"] < 0.005
    assert sum(found["pit"]) == N
    assert stats.chisquare(found["pit"]).pvalue > 1e-3
    assert found["spread_skill"] == pytest.approx(1, abs=0.01)
    assert (found["z_mean"], found["z_std"]) == pytest.approx((0, 1), abs=0.01)
    assert all(b["rmse"] == pytest.approx(b["spread"], rel=0.05) for b in found["spread"] if b["n"] > 5000)
    assert all(b["low"] <= b["spread"] < b["high"] for b in found["spread"])


def test_too_small_an_uncertainty_covers_too_little_by_the_known_amount():
    found = calibrate(*drawn(2.0), 0.6).metrics(0.6)
    expected = [2 * stats.norm.cdf(w / 2) - 1 for w in HALF_WIDTHS]
    assert found["coverage"] == pytest.approx(expected, abs=0.005)
    assert found["spread_skill"] == pytest.approx(0.5, abs=0.01)
    assert found["z_std"] == pytest.approx(2, abs=0.02)
    assert found["pit"][0] > 2 * found["pit"][10]
    assert found["pit"][-1] > 2 * found["pit"][10]


def test_an_estimate_that_is_too_high_has_its_reference_low_in_the_distribution():
    found = calibrate(*drawn(1.0, 0.03), 0.6).metrics(0.6)
    assert found["pit"][0] > 5 * found["pit"][-1]
    assert found["z_mean"] > 0.5


def test_the_score_is_the_integral_of_the_squared_distance_of_distributions():
    for mean, sigma, observed in ((0.3, 0.05, 0.34), (0.2, 0.01, 0.35), (0.1, 0.2, 0.1)):
        wide = mean - 12 * sigma, mean + 12 * sigma

        def below(x, mean=mean, sigma=sigma):
            return stats.norm.cdf(x, mean, sigma) ** 2

        def above(x, mean=mean, sigma=sigma):
            return stats.norm.sf(x, mean, sigma) ** 2

        expected = integrate.quad(below, min(wide[0], observed), observed, limit=500)[0]
        expected += integrate.quad(above, observed, max(wide[1], observed), limit=500)[0]
        assert calibrate([mean], [observed], [sigma], 1.0).crps == pytest.approx(expected, rel=1e-5)


def test_pit_is_the_stated_probability_of_what_is_below_the_reference():
    estimate, reference, std = (v[:400] for v in drawn())
    expected = np.histogram(stats.norm.cdf(reference, estimate, std), np.linspace(0, 1, 21))[0]
    assert np.abs(np.array(calibrate(estimate, reference, std, 0.6).pit) - expected).max() <= 1


def test_pairs_without_a_value_or_an_uncertainty_do_not_count():
    x = [0.1, np.nan, 0.2, 0.3, 0.4, 0.5]
    y = [0.1, 0.1, np.nan, 0.3, 0.4, 0.5]
    std = [0.1, 0.1, 0.1, 0.0, np.nan, np.inf]
    assert calibrate(x, y, std, 1.0).n == 1
    assert Calibration().metrics(1.0) == {}
    assert calibrate([], [], [], 1.0) == Calibration()


def test_spreads_beyond_the_bins_fall_into_the_outermost():
    found = calibrate([0.1, 0.1], [0.1, 0.2], [1e-9, 50.0], 1.0)
    assert (found.counts[0], found.counts[-1]) == (1, 1)
    assert sum(found.counts) == 2
    edges = spread_edges(0.6)
    assert (len(edges), edges[-1]) == (41, 0.6)
    assert np.diff(np.log2(edges)) == pytest.approx(0.25)
    assert (span_of((0.1, 0.7)), span_of(None)) == (pytest.approx(0.6), 1.0)


def test_the_score_agrees_with_that_of_the_comparison():
    estimate, reference, std = (np.float32(v[:1000]) for v in drawn())
    expected = gaussian_crps(estimate.astype(float) - reference, std).sum()
    assert calibrate(estimate, reference, std, 0.6).crps == pytest.approx(expected, rel=1e-9)


VALUES = st.floats(0.0, 1.0, width=32) | st.just(math.nan)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.just(3)), elements=VALUES), st.data())
def test_calibration_merges_over_any_chunking(rows, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    parts = np.split(rows, cuts)
    total = Calibration()
    for i in data.draw(st.permutations(range(len(parts)))):
        total = total + Calibration.from_list(calibrate(*parts[i].T, 1.0).as_list())
    whole = calibrate(*rows.T, 1.0)
    assert (total.n, total.hits, total.pit, total.counts) == (whole.n, whole.hits, whole.pit, whole.counts)
    for name in ("crps", "z", "zz", "spread", "error"):
        np.testing.assert_allclose(getattr(total, name), getattr(whole, name), rtol=1e-9, atol=1e-12)
