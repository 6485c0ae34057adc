from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.cubes import Variable
from smdown.errors import ConfigError, GridError
from smdown.inference import constrain
from smdown.inference.job import LayerJob

KINDS = ("logit", "additive", "multiplicative")
SM = Variable("sm", dtype="int16", scale=1e-4)


def means(field, ratio):
    cells = field.astype(np.float64).reshape(field.shape[0] // ratio, ratio, -1, ratio)
    valid = np.isfinite(cells)
    with np.errstate(invalid="ignore"):
        return np.where(valid, cells, 0).sum(axis=(1, 3)) / valid.sum(axis=(1, 3))


@st.composite
def cases(draw):
    """Fields of every kind, among them constant ones, ones beyond their bounds, and ones with holes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ratio, cells = draw(st.integers(1, 24)), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    shape = (cells[0] * ratio, cells[1] * ratio)
    centre, spread = draw(st.floats(-0.2, 1.0)), draw(st.sampled_from([0.0, 1e-4, 0.05, 0.5]))
    field = (centre + spread * rng.standard_normal(shape)).astype(np.float32)
    field[rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.9]))] = np.nan
    low, high = np.sort(rng.uniform(0, 0.9, 2))
    if draw(st.booleans()):
        lo, hi = low, high
    else:
        lo, hi = np.sort(np.stack([low + 0.02 * rng.random(shape), high + 0.02 * rng.random(shape)]), axis=0)
    coarse = rng.uniform(-0.05, 1.0, cells).astype(np.float32)
    coarse[rng.random(cells) < 0.2] = np.nan
    return field, coarse, ratio, lo, hi


@given(cases(), st.sampled_from(KINDS))
def test_mean_and_bounds_hold_together(case, kind):
    field, coarse, ratio, lo, hi = case
    out, unmet = constrain(field, coarse, ratio, lo, hi, kind, least_valid=0)
    valid = np.isfinite(field) & np.isfinite(coarse).repeat(ratio, 0).repeat(ratio, 1)
    assert (np.isfinite(out) == valid).all()
    lows, highs = np.broadcast_to(lo, out.shape).astype(np.float32), np.broadcast_to(hi, out.shape).astype(np.float32)
    assert (out[valid] >= lows[valid]).all()
    assert (out[valid] <= highs[valid]).all()
    found = means(out, ratio)
    met = np.isfinite(found) & ~unmet
    assert np.abs(found - coarse)[met].max(initial=0) <= 4e-5
    least = means(np.where(valid, lows, np.nan), ratio)
    most = means(np.where(valid, highs, np.nan), ratio)
    reachable = (coarse > least + 1e-4) & (coarse < most - 1e-4)
    if kind == "logit":
        assert not unmet[reachable].any()
        assert np.abs(found - coarse)[reachable].max(initial=0) < 1e-6
    beyond = (coarse < least - 1e-4) | (coarse > most + 1e-4)
    assert unmet[beyond].all()


@given(cases(), st.sampled_from(KINDS))
def test_the_mean_holds_after_packing(case, kind):
    field, coarse, ratio, _, _ = case
    lo, hi = LayerJob("sm", "smap", "sm", valid_range=(0.02003, 0.5996)).bounds
    out, unmet = constrain(field, coarse, ratio, lo, hi, kind, least_valid=0)
    stored = SM.pack(out)
    values = np.where(stored == SM.fill, np.nan, stored.astype(np.float64) * 1e-4)
    found = means(values, ratio)
    met = np.isfinite(found) & ~unmet
    assert np.abs(found - coarse)[met].max(initial=0) < 1e-4
    known = values[np.isfinite(values)]
    assert ((known >= 0.02003 - 1e-12) & (known <= 0.5996 + 1e-12)).all()


@given(cases(), st.sampled_from(KINDS))
def test_a_field_that_agrees_already_stays(case, kind):
    field, _, ratio, _, _ = case
    inside = np.clip(np.abs(field), 0.05, 0.8)
    coarse = means(inside, ratio).astype(np.float32)
    out, unmet = constrain(inside, coarse, ratio, 0.0, 0.9, kind, least_valid=0)
    assert not unmet.any()
    assert np.nanmax(np.abs(out - inside), initial=0) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_order_inside_a_cell_is_kept(kind):
    field = np.linspace(0.05, 0.5, 400, dtype=np.float32).reshape(20, 20)
    out, _ = constrain(field, np.array([[0.4]], dtype=np.float32), 20, 0.0, 0.6, kind)
    assert (np.diff(out.ravel()) >= 0).all()
    assert out.std() > 0.05


def test_logit_agrees_with_the_formula():
    rng = np.random.default_rng(0)
    field = rng.uniform(0.1, 0.4, (30, 30)).astype(np.float32)
    out, _ = constrain(field, np.array([[0.33]], dtype=np.float32), 30, 0.02, 0.5)
    logits = [np.log((v - 0.02) / (0.5 - v)) for v in (field.astype(np.float64), out.astype(np.float64))]
    shift = logits[1] - logits[0]
    assert shift.std() < 1e-5  # one shift for the whole cell
    assert shift.mean() > 0.1


def test_additive_and_multiplicative_are_plain_inside_their_bounds():
    rng = np.random.default_rng(1)
    field = rng.uniform(0.2, 0.4, (30, 30)).astype(np.float32)
    goal = np.array([[0.35]], dtype=np.float32)
    added, _ = constrain(field, goal, 30, 0.0, 0.9, "additive")
    scaled, _ = constrain(field, goal, 30, 0.0, 0.9, "multiplicative")
    mean = field.mean(dtype=np.float64)
    assert np.allclose(added, field + (goal[0, 0] - mean), atol=1e-7)
    assert np.allclose(scaled, field * (goal[0, 0] / mean), atol=1e-7)


def test_a_coarse_value_on_a_bound_is_met():
    field = np.full((8, 8), 0.3, dtype=np.float32)
    for value in (0.0, 0.6):
        out, unmet = constrain(field, np.array([[value]], dtype=np.float32), 8, 0.0, 0.6)
        assert not unmet.any()
        assert np.abs(out - value).max() < 1e-5


def test_a_cell_with_too_few_pixels_is_flagged_and_left():
    field = np.full((20, 20), np.nan, dtype=np.float32)
    field[0, :3] = 0.3
    out, unmet = constrain(field, np.array([[0.1]], dtype=np.float32), 20, 0.0, 0.6)
    assert unmet.all()
    assert np.allclose(out[0, :3], 0.3)


def test_none_only_clips():
    field = np.array([[-0.1, 0.3], [0.7, np.nan]], dtype=np.float32)
    out, unmet = constrain(field, np.array([[0.5]], dtype=np.float32), 2, 0.0, 0.6, "none")
    assert np.array_equal(out, np.array([[0.0, 0.3], [0.6, np.nan]], dtype=np.float32), equal_nan=True)
    assert not unmet.any()


def test_a_cell_is_solved_alone():
    rng = np.random.default_rng(2)
    field, coarse = rng.random((40, 60), dtype=np.float32), rng.uniform(0.2, 0.6, (2, 3)).astype(np.float32)
    whole, _ = constrain(field, coarse, 20, 0.0, 0.9)
    for row in range(2):
        for col in range(3):
            ys, xs = slice(20 * row, 20 * row + 20), slice(20 * col, 20 * col + 20)
            part, _ = constrain(field[ys, xs], coarse[row : row + 1, col : col + 1], 20, 0.0, 0.9)
            assert part.tobytes() == whole[ys, xs].tobytes()


def test_wrong_use_is_refused_in_one_line():
    field, coarse = np.zeros((4, 4), dtype=np.float32), np.zeros((2, 2), dtype=np.float32)
    with pytest.raises(GridError, match="whole cells"):
        constrain(field, coarse, 3, 0, 1)
    with pytest.raises(GridError, match="bounds of shape"):
        constrain(field, coarse, 2, np.zeros((2, 2)), 1)
    with pytest.raises(ConfigError, match="lower bound above"):
        constrain(field, coarse, 2, 1, 0)
    with pytest.raises(ConfigError, match="use one of"):
        constrain(field, coarse, 2, 0, 1, "hard")


@pytest.mark.parametrize(
    ("limits", "scale"),
    [
        ((0.0, 0.9), 1e-4),
        ((0.0, 100.0), 5e-3),
        ((-40.0, 3.0), 2e-3),
        ((280.0, 325.0), 2e-2),
        ((0.0, 1e-3), 5e-8),
        ((0.0, 1e-5), 5e-10),
    ],
)
def test_the_scale_holds_the_valid_range(limits, scale):
    layer = LayerJob("x", "s", "v", valid_range=limits)
    assert layer.scale == pytest.approx(scale)
    assert max(abs(v) for v in layer.bounds) / layer.scale <= 32000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1e-9), (0.0, 1e-3), (250.0, 330.0), (9e4, 1.1e5)])
def test_layers_of_any_magnitude_are_met_or_flagged(low, high, kind):
    width = high - low
    field = (low + width * np.random.default_rng(0).uniform(0.2, 0.6, (30, 60))).astype(np.float32)
    out, unmet = constrain(field, np.array([[low + 0.7 * width, high + 0.02 * width]]), 30, low, high, kind)
    assert unmet.tolist() == [[False, True]]
    assert abs(means(out, 30)[0, 0] - (low + 0.7 * width)) < max(1e-4 * width, 2e-7 * high)
