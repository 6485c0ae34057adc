"""Ridge regression, and networks that start from it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from smdown.networks import CNNConfig, DNNConfig, LSTMConfig, Placement, build_network
from smdown.networks.base import crop
from smdown.training.linear import PENALTIES, START_PENALTY, fit_ridge, fit_start
from smdown.training.rows import Rows
from smdown.training.spread import map_spread


def rows(seed, n=60, drivers=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.5, 1, (n, drivers)).astype(np.float32)
    y = (x @ np.arange(1, drivers + 1) + 2 + rng.normal(0, 0.5, n)).astype(np.float32)
    return Rows(x, y[:, None], rng.uniform(0.1, 2, n).astype(np.float32), np.zeros(n, dtype=bool))


@given(st.integers(0, 1000))
def test_it_minimises_what_it_says(seed):
    train, held = rows(seed), rows(seed + 1)
    found = fit_ridge(train, held, 0)
    assert found.penalty in PENALTIES
    x, y, weight = (v.astype(np.float64) for v in train.of_layer(0))
    share = np.sqrt(weight / weight.sum())
    wide = np.column_stack([x, np.ones(len(x))]) * share[:, None]
    wide = np.vstack([wide, np.sqrt(found.penalty) * np.eye(4, 5)])
    expected = lsq_linear(wide, np.concatenate([y * share, np.zeros(4)])).x
    np.testing.assert_allclose([*found.coefficient, found.intercept], expected, atol=2e-5)
    assert found.error == pytest.approx(
        np.average((held.x @ found.coefficient + found.intercept - held.y[:, 0]) ** 2, weights=held.weight), rel=1e-4
    )


def test_without_rows_it_says_the_mean():
    empty = Rows(np.zeros((3, 4), "f4"), np.full((3, 1), np.nan, "f4"), np.ones(3, "f4"), np.zeros(3, bool))
    assert not fit_ridge(empty, empty, 0).coefficient.any()
    assert not fit_start(empty, 0, np.ones(4)).coefficient.any()


@given(st.integers(0, 1000))
def test_the_start_minimises_what_it_says(seed):
    train, spread = rows(seed), np.random.default_rng(seed).uniform(1, 8, 4)
    found = fit_start(train, 0, spread)
    x, y, weight = (v.astype(np.float64) for v in train.of_layer(0))
    share = np.sqrt(weight / weight.sum())
    wide = np.column_stack([x, np.ones(len(x))]) * share[:, None]
    wide = np.vstack([wide, np.sqrt(START_PENALTY) * np.eye(4, 5) * np.array([*spread, 0.0])])
    expected = lsq_linear(wide, np.concatenate([y * share, np.zeros(4)])).x
    np.testing.assert_allclose([*found.coefficient, found.intercept], expected, atol=2e-5)


def test_a_driver_that_hardly_varies_in_training_makes_no_pattern_on_the_map():
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (400, 2)).astype(np.float32)
    x[:, 1] *= 0.05  # on the map it varies as much as the first one
    y = (x[:, :1] + rng.normal(0, 0.5, (400, 1))).astype(np.float32)
    train = Rows(x, y, np.ones(400, np.float32), np.zeros(400, bool))
    plain, found = fit_ridge(train, train, 0), fit_start(train, 0, np.array([1.0, 1.0]))
    assert found.coefficient[0] == pytest.approx(1 / 1.1, rel=0.1)
    assert abs(found.coefficient[1]) < 0.05 < abs(plain.coefficient[1])


def test_the_spread_is_that_of_the_map(region):
    from smdown.training.collect import collect
    from tests.training.runs import quick

    context = region.context("unused")
    data = collect(quick(), context, region, region.station_data(), 0, lambda *_: None)
    found = map_spread(region, context, data.labels.cells, data.labels.days, data.fine, 0)
    grid = context.grid(region.base)
    whole = region.load(grid, grid.window, region.times[3]).reshape(len(found), -1).std(axis=1)
    static = [region.spec.names.index(name) for name in region.spec.static_names]
    wanted = np.maximum(whole / data.fine.std.numpy(), 1)[static]
    np.testing.assert_allclose(found[static], wanted, rtol=0.25)


@pytest.mark.parametrize("config", [DNNConfig(), CNNConfig(), LSTMConfig()], ids=lambda c: c.kind)
def test_a_network_starts_as_the_line(config):
    torch.manual_seed(0)
    network = build_network(config, 5, 2, 2).eval()
    coefficient, intercept = torch.randn(2, 5), torch.randn(2)
    network.start_from(coefficient, intercept)
    fine = torch.randn(3, 5, 7 + 2 * network.radius, 6 + 2 * network.radius)
    place = Placement(
        torch.zeros(7, dtype=torch.int64), torch.rand(7), torch.zeros(6, dtype=torch.int64), torch.rand(6)
    )
    mean, _ = network(fine, torch.randn(3, 30, 2, 2, 2), place)
    expected = torch.einsum("bfyx,lf->blyx", crop(fine, network.radius), coefficient) + intercept.view(1, -1, 1, 1)
    torch.testing.assert_close(mean, expected)
