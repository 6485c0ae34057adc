"""Statistics equal their textbook formulas, and merge over any chunking to those of the whole."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smdown.evaluation.stats import Comparison, Moments, cell_moments, compare

VALUES = st.floats(-1e3, 1e3, width=32) | st.just(math.nan)


def close(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=1e-8, atol=1e-9, err_msg=key)


def test_metrics_equal_their_definitions():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.3, 0.05, 500), rng.normal(0.25, 0.04, 500)
    y[::50] = np.nan
    ok = np.isfinite(y)
    d = (x - y)[ok]
    expected = {
        "n": ok.sum(),
        "r": np.corrcoef(x[ok], y[ok])[0, 1],
        "bias": d.mean(),
        "rmse": np.sqrt((d**2).mean()),
        "ubrmse": d.std(),
    }
    close(Moments.of(x, y).metrics(), expected)


def test_metrics_keep_their_digits_far_from_zero():
    x = 1e6 + np.array([0.1, 0.2, 0.3, 0.4])
    merged = Moments.of(x[:1], x[:1] + 0.5) + Moments.of(x[1:], x[1:] + 0.5)
    metrics = merged.metrics()
    assert metrics["ubrmse"] == pytest.approx(0, abs=1e-9)
    assert metrics["bias"] == pytest.approx(-0.5, abs=1e-9)
    assert metrics["r"] == pytest.approx(1, abs=1e-6)


def test_what_does_not_vary_has_no_correlation():
    assert math.isnan(Moments.of([0.1, 0.1, 0.1], [1.0, 2.0, 3.0]).metrics()["r"])
    assert all(math.isnan(v) for k, v in Moments().metrics().items() if k != "n")


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.just(2)), elements=VALUES), st.data())
def test_moments_merge_over_any_chunking(pairs, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pairs)), max_size=6)))
    parts = np.split(pairs, cuts)
    order = data.draw(st.permutations(range(len(parts))))
    total = Moments()
    for i in order:
        total = total + Moments.of(parts[i][:, 0], parts[i][:, 1])
    whole = Moments.of(pairs[:, 0], pairs[:, 1])
    assert total.n == whole.n
    scale = 1e6 * max(whole.n, 1)
    for name in ("mean_x", "mean_y", "m2_x", "m2_y", "m2_xy", "m2_d"):
        assert getattr(total, name) == pytest.approx(getattr(whole, name), rel=1e-7, abs=1e-12 * scale)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**31))
def test_comparison_by_tiles_equals_that_of_the_whole(rows, cols, ratio, cut, seed):
    rng = np.random.default_rng(seed)
    shape = (rows * ratio, cols * ratio)
    x, y = (rng.normal(0.3, 0.1, shape).astype(np.float32) for _ in range(2))
    std = np.full(shape, 0.1, np.float32)
    y[rng.random(shape) < 0.2] = np.nan
    whole = compare(x, y, ratio, std)
    at = min(cut, rows) * ratio
    parts = [compare(x[s], y[s], ratio, std[s]) for s in (slice(0, at), slice(at, None)) if x[s].size]
    merged = Comparison()
    for part in parts:
        merged = merged + Comparison.from_list(part.as_list())
    close(merged.metrics(), whole.metrics())


def test_within_cell_figures_ignore_the_cells_means():
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 0.05, (60, 90)).astype(np.float32)
    estimate = (0.5 * truth).astype(np.float32)
    offset = np.repeat(np.repeat(rng.normal(0, 1, (2, 3)), 30, axis=0), 30, axis=1).astype(np.float32)
    metrics = compare(estimate + offset, truth, 30).metrics()
    assert metrics["r_within_cell"] == pytest.approx(1, abs=1e-5)
    assert metrics["var_ratio_within"] == pytest.approx(0.25, rel=1e-4)
    assert metrics["r"] < 0.5


def test_coverage_counts_errors_inside_the_interval():
    truth = np.zeros((10, 10), np.float32)
    estimate = np.linspace(-2, 2, 100, dtype=np.float32).reshape(10, 10)
    metrics = compare(estimate, truth, 10, np.ones((10, 10), np.float32)).metrics()
    assert metrics["coverage_90"] == np.mean(np.abs(estimate) <= 1.6448536)


def test_cell_moments_of_an_empty_cell_are_zero():
    field = np.full((4, 4), np.nan, np.float32)
    assert not cell_moments(field, field, 2).any()
