"""Derivatives of the constraint: those that Newton's steps are made from, and that of the shift itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.inference import solve

KINDS = {"logit": solve.LOGIT, "additive": solve.ADDITIVE, "multiplicative": solve.MULTIPLICATIVE}


def pixels(seed, n=64):
    """Return starts as shares of the range, lower bounds and widths; every pixel has its own."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.05, 0.95, n), rng.uniform(0.0, 0.1, n), rng.uniform(0.3, 0.5, n)


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 2**32 - 1), st.floats(-0.3, 0.3))
def test_slopes_are_those_of_the_sums(kind, seed, theta):
    share, low, span = pixels(seed)
    start = share if kind == "logit" else low + span * share
    step = 1e-5
    below, here, above = (solve._sums(KINDS[kind], start, low, span, theta + d) for d in (-step, 0.0, step))
    at = start + theta if kind == "additive" else start * np.exp(theta)
    kinks = 0 if kind == "logit" else (np.abs(np.stack([at - low, at - low - span])) < 4 * step).sum()
    assert abs((above[0] - below[0]) / (2 * step) - here[1]) <= 1e-5 * max(1.0, here[1]) + kinks


def shift(z, low, span, wanted):
    """Return the logit shift at which the pixels of logits `z` have the wanted sum above their bounds."""
    return solve.solve(solve.LOGIT, 1 / (1 + np.exp(-z)), low, span, wanted, 60.0)


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8), st.integers(0, 63))
def test_the_shift_follows_a_pixel_as_the_implicit_function_theorem_says(seed, goal, i):
    share, low, span = pixels(seed)
    z, wanted = np.log(share / (1 - share)), goal * span.sum()
    b = shift(z, low, span, wanted)
    s = 1 / (1 + np.exp(-(z + b)))
    slope = span * s * (1 - s)
    step = 1e-3 * (np.arange(64) == i)
    found = (shift(z + step, low, span, wanted) - shift(z - step, low, span, wanted)) / 2e-3
    assert found == pytest.approx(-slope[i] / slope.sum(), abs=5e-5)  # what the solver leaves, over the step


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
def test_the_map_follows_the_coarse_value(seed, goal):
    share, low, span = pixels(seed)
    z, step = np.log(share / (1 - share)), 1e-4 * span.sum()
    s = 1 / (1 + np.exp(-(z + shift(z, low, span, goal * span.sum()))))
    found = (shift(z, low, span, goal * span.sum() + step) - shift(z, low, span, goal * span.sum() - step)) / (2 * step)
    assert found == pytest.approx(1 / (span * s * (1 - s)).sum(), rel=1e-4)
