"""95 % intervals hold the true figure of 93 to 97 % of simulated stations whose days resemble each other."""

import numpy as np
import pytest
from scipy.signal import lfilter

from smdown.evaluation.metrics import analytic_intervals, block_intervals, effective_sizes, intervals, pair_metrics

SLOPE, OFFSET, R = 0.8, 0.5, 0.8
SPREAD = SLOPE * np.sqrt(1 / R**2 - 1)
UBRMSE = np.hypot(SLOPE - 1, SPREAD)
TRUTH = {
    "r": R, "rho": 6 / np.pi * np.arcsin(R / 2), "bias": OFFSET, "rmse": np.hypot(OFFSET, UBRMSE),
    "ubrmse": UBRMSE, "slope": SLOPE,
}  # fmt: skip
MANY = 2500
NOISE = 0.9
"""Two standard errors of a coverage of 95 % among so many, percent."""


def autoregressive(rng, phi, shape):
    noise = rng.standard_normal(shape)
    noise[:, 1:] *= np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=1)


def simulated(phi, days, many=MANY, other=None, seed=1):
    """Return estimates and stations whose true figures are `TRUTH`."""
    rng = np.random.default_rng(seed)
    y = autoregressive(rng, phi, (many, days))
    return OFFSET + SLOPE * y + SPREAD * autoregressive(rng, phi if other is None else other, y.shape), y


def coverage(ends, name):
    low, high = ends[name]
    assert np.isfinite(low).all()
    return 100 * ((low <= TRUTH[name]) & (TRUTH[name] <= high)).mean()


@pytest.mark.parametrize(("phi", "days"), [(0.0, 100), (0.5, 100), (0.8, 365), (0.9, 200), (0.9, 730), (0.95, 365)])
def test_reported_intervals_cover_what_they_say(phi, days):
    found = intervals(*simulated(phi, days))
    for name in TRUTH:
        assert 93 - NOISE / 2 <= coverage(found, name) <= 97 + NOISE / 2, name


@pytest.mark.parametrize("gaps", ["at random", "every third day"])
def test_they_cover_it_with_days_missing_too(gaps):
    x, y = simulated(0.9, 1000)
    rng = np.random.default_rng(2)
    gone = rng.random(x.shape) < 0.4 if gaps == "at random" else np.broadcast_to(np.arange(1000) % 3 != 0, x.shape)
    x[gone] = np.nan
    found = intervals(x, y)
    for name in TRUTH:
        assert 93 - NOISE <= coverage(found, name) <= 97 + NOISE, name


def test_short_series_of_long_memory_are_not_far_off():
    found = intervals(*simulated(0.95, 120, many=6000))
    assert coverage(found, "ubrmse") >= 92
    assert coverage(found, "slope") >= 95


def test_ranks_of_close_series_have_their_own_width():
    rng = np.random.default_rng(3)
    y = rng.standard_normal((6000, 150))
    low, high = intervals(0.95 * y + np.sqrt(1 - 0.95**2) * rng.standard_normal(y.shape), y)["rho"]
    truth = 6 / np.pi * np.arcsin(0.95 / 2)
    assert 93.5 <= 100 * ((low <= truth) & (truth <= high)).mean() <= 97.5


def test_memories_of_different_length_cost_little():
    found = intervals(*simulated(0.95, 730, other=0.5))
    for name in TRUTH:
        assert 92.5 - NOISE / 2 <= coverage(found, name) <= 97 + NOISE / 2, name


def test_usual_intervals_do_not():
    x, y = simulated(0.9, 365, many=500)
    independent, corrected = analytic_intervals(x, y), analytic_intervals(x, y, effective_sizes(x, y))
    blocks = block_intervals(x[:200], y[:200], 20, draws=300)
    for name in ("r", "bias", "ubrmse"):
        assert coverage(independent, name) < 65
        assert coverage(independent, name) < coverage(corrected, name)
        low, high = blocks[name]
        assert 70 < 100 * ((low <= TRUTH[name]) & (TRUTH[name] <= high)).mean() < 95


def test_intervals_hold_the_figure_and_narrow_with_days():
    short, long = ([p[:, :days] for p in simulated(0.8, 2000, many=50)] for days in (200, 2000))
    found, narrow, wide = pair_metrics(*long), intervals(*long), intervals(*short)
    for name, (low, high) in narrow.items():
        assert ((low <= found[name]) & (found[name] <= high)).all(), name
        ratio = np.median((wide[name][1] - wide[name][0]) / (high - low))
        assert 3 < ratio < 5, name  # the root of 10, and a little more for what few days tell of their memory
    at_other_level = intervals(*long, level=0.8)["r"]
    assert (at_other_level[0] > narrow["r"][0]).all()


def test_signs_and_scales_do_not_matter():
    x, y = simulated(0.8, 300, many=20)
    plain, turned, scaled = intervals(x, y), intervals(-x, y), intervals(5 * x + 1, 5 * y)
    np.testing.assert_allclose(turned["r"][0], -plain["r"][1], atol=1e-9)
    np.testing.assert_allclose(turned["slope"][1], -plain["slope"][0], atol=1e-9)
    np.testing.assert_allclose(scaled["ubrmse"][0], 5 * plain["ubrmse"][0], rtol=1e-6)
    np.testing.assert_allclose(scaled["r"][0], plain["r"][0], rtol=1e-6)


def test_few_pairs_have_no_interval():
    x, y = simulated(0.0, 25, many=2)
    x[0, 11:] = np.nan
    for low, high in intervals(x, y).values():
        assert np.isnan([low[0], high[0]]).all()
        assert low[1] < high[1]
