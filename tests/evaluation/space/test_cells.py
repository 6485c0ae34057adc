"""Errors by cell equal their definitions, and merge over areas and days."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smdown.evaluation.space.cells import CellErrors, measures, merged
from smdown.evaluation.space.tile import averages
from smdown.evaluation.stats import cell_moments
from smdown.grid import Window

CELLS, RATIO, DAYS = Window(10, 14, 20, 25), 4, 3


def fields(seed):
    rng = np.random.default_rng(seed)
    shape = (DAYS, CELLS.height * RATIO, CELLS.width * RATIO)
    x, y = (rng.uniform(0.1, 0.5, shape).astype(np.float32) for _ in range(2))
    x[:, :RATIO, :RATIO] = np.nan
    x[0, 5:9, 3:7] = np.nan
    return x, y


def errors(x, y, cells):
    part = cells.relative_to(CELLS).refine(RATIO).slices
    return CellErrors({cells: cell_moments(*(np.ascontiguousarray(v[part]) for v in (x, y)), RATIO)})


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), st.integers(1, 5), st.data())
def test_any_tiles_and_days_in_any_order_give_those_of_the_whole(seed, side, data):
    x, y = fields(seed)
    tiles = [
        Window(y0, min(y0 + side, CELLS.y1), x0, min(x0 + side, CELLS.x1))
        for y0 in range(CELLS.y0, CELLS.y1, side)
        for x0 in range(CELLS.x0, CELLS.x1, side)
    ]
    parts = [errors(x[day], y[day], tile) for day in range(DAYS) for tile in tiles]
    total = CellErrors({})
    for i in data.draw(st.permutations(range(len(parts)))):
        total = total + CellErrors.from_list(parts[i].as_list())
    found = measures(total.dense(CELLS))
    both = np.isfinite(x) & np.isfinite(y)
    for row, col in np.ndindex(CELLS.shape):
        place = (slice(None), slice(row * RATIO, (row + 1) * RATIO), slice(col * RATIO, (col + 1) * RATIO))
        a, b = x[place][both[place]].astype(float), y[place][both[place]].astype(float)
        if a.size == 0:
            assert all(np.isnan(values[row, col]) for values in found.values())
            continue
        expected = {
            "bias": (a - b).mean(),
            "rmse": np.sqrt(((a - b) ** 2).mean()),
            "ubrmse": (a - b).std(),
            "r": np.corrcoef(a, b)[0, 1],
        }
        for name, value in expected.items():
            assert found[name][row, col] == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_overlapping_pieces_of_different_tilings_add_up():
    x, y = fields(1)
    whole = errors(x[0], y[0], CELLS) + errors(x[1], y[1], Window(11, 13, 21, 24))
    twice = measures(whole.dense(CELLS))["rmse"]
    once = measures(errors(x[0], y[0], CELLS).dense(CELLS))["rmse"]
    assert np.array_equal(twice[0], once[0], equal_nan=True)
    assert not np.array_equal(twice[1:3, 1:4], once[1:3, 1:4])
    assert np.array_equal(merged(np.zeros((2, 7)), np.zeros((2, 7))), np.zeros((2, 7)))


def test_a_cell_without_variation_has_no_correlation():
    flat = np.full((RATIO, RATIO), 0.2, np.float32)
    rng = np.random.default_rng(0)
    other = rng.uniform(0, 1, (RATIO, RATIO)).astype(np.float32)
    assert np.isnan(measures(cell_moments(flat, other, RATIO))["r"]).all()


@pytest.mark.parametrize("ratio", [1, 2, 3, 4])
def test_averages_are_area_means(ratio):
    field = np.random.default_rng(0).uniform(0, 1, (8, 12)).astype(np.float32)
    found = averages(field, Window(0, 2, 0, 3), ratio)
    fine = field.repeat(ratio, axis=0).repeat(ratio, axis=1).astype(float)
    expected = fine.reshape(2 * ratio, 4, 3 * ratio, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
