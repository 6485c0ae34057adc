"""Indices, attributions and effects of models whose own are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smdown.evaluation.drivers.agreement import agreement_by_method, compare_curves, rankings, spearman
from smdown.evaluation.drivers.ale import common_edges, effect
from smdown.evaluation.drivers.channels import Channels
from smdown.evaluation.drivers.gradients import integrated_gradients
from smdown.evaluation.drivers.pixels import Pixels, within
from smdown.evaluation.drivers.sobol import donated, ranked, sobol_indices

FACTORS = {name: Channels(fine=(n,)) for n, name in enumerate("abcd")}


def pixels(columns, series=None, cells=8):
    fine = np.stack(columns, axis=1).astype(np.float32)
    none = np.empty((len(fine), 0, 0), np.float32)
    return Pixels(fine, none if series is None else series, np.arange(len(fine)) % cells)


def normal(count=4096, drivers=4, seed=0):
    return pixels(np.random.default_rng(seed).normal(size=(drivers, count)))


def linear(weights):
    return lambda fine, _series: (fine.astype(float) @ np.asarray(weights, dtype=float))[None, None]


def test_of_a_linear_model_indices_are_the_shares_of_its_variance():
    found = sobol_indices(linear([3, 2, 1, 0]), normal(), FACTORS, base=1024)
    for name, share in zip("abcd", (9 / 14, 4 / 14, 1 / 14, 0), strict=True):
        assert float(found[name]["first"][0, 0]) == pytest.approx(share, abs=0.03)
        assert float(found[name]["total"][0, 0]) == pytest.approx(share, abs=0.03)
    assert float(found["d"]["total"][0, 0]) == 0


def test_of_ishigamis_function_indices_are_the_known_ones():
    a, b = 7.0, 0.1
    donors = pixels(np.random.default_rng(1).uniform(-np.pi, np.pi, (3, 8192)))

    def ishigami(fine, _series):
        x, y, z = fine.astype(float).T
        return (np.sin(x) + a * np.sin(y) ** 2 + b * z**4 * np.sin(x))[None, None]

    found = sobol_indices(ishigami, donors, {n: FACTORS[n] for n in "abc"}, base=2048)
    variance = a**2 / 8 + b * np.pi**4 / 5 + b**2 * np.pi**8 / 18 + 0.5
    first = 0.5 * (1 + b * np.pi**4 / 5) ** 2 / variance, a**2 / 8 / variance, 0.0
    mixed = 8 * b**2 * np.pi**8 / 225 / variance
    for name, alone, total in zip("abc", first, (first[0] + mixed, first[1], mixed), strict=True):
        assert float(found[name]["first"][0, 0]) == pytest.approx(alone, abs=0.04)
        assert float(found[name]["total"][0, 0]) == pytest.approx(total, abs=0.04)


def test_a_group_comes_from_one_donor_as_a_whole():
    x = np.linspace(-1, 1, 500)
    donors = pixels([x, 2 * x, np.zeros(500)], series=np.repeat(x[:, None, None], 3, axis=1).astype(np.float32))
    unit = np.random.default_rng(2).random((64, 2))
    fine, series = donated(donors, [Channels(fine=(0, 1)), Channels(sequence=(0,))], unit)
    np.testing.assert_allclose(fine[:, 1], 2 * fine[:, 0], atol=1e-6)
    assert (np.ptp(series, axis=1) == 0).all()
    assert np.abs(np.corrcoef(fine[:, 0], series[:, 0, 0])[0, 1]) < 0.4
    order = ranked(donors, Channels(fine=(0, 1)))
    assert (np.diff(order) == 1).all() or (np.diff(order) == -1).all()


@pytest.fixture
def model():
    """Two linear networks with a little of a square, and their weights."""
    weights = torch.tensor([[2.0, -1.0, 0.0], [1.0, 1.0, 0.0]])

    class Network(torch.nn.Module):
        def __init__(self, square):
            super().__init__()
            self.square = square

    networks = {"one": Network(0.0), "two": Network(0.5)}

    def means(network, fine, _series):
        return fine @ weights.T + network.square * fine[:, :1] ** 2

    return SimpleNamespace(
        predictor=SimpleNamespace(networks=networks),
        means=means,
        spread=np.array([0.1, 0.2]),
        weights=np.array([[0.25, 0.75], [0.5, 0.5]]),
    )


def test_attributions_of_a_linear_model_are_its_weights_times_the_drivers(model):
    some = normal(64, 3)
    found = integrated_gradients(model, some, steps=50)
    for layer, (row, unit) in enumerate(zip(([2, -1, 0], [1, 1, 0]), (0.1, 0.2), strict=True)):
        wanted = some.fine * np.array(row) * unit
        np.testing.assert_allclose(found.fine[0, layer], wanted, atol=1e-5)
        square = 0.5 * some.fine[:, 0] ** 2 * unit
        np.testing.assert_allclose(found.fine[1, layer, :, 0], wanted[:, 0] + square, atol=1e-4)
        share = model.weights[layer]
        joined = share[0] * found.fine[0, layer] + share[1] * found.fine[1, layer]
        np.testing.assert_allclose(found.fine[2, layer], joined)
    assert found.left_over.max() < 1e-3


def test_effects_of_a_linear_model_are_straight_lines():
    some = normal(2000, 3)
    edges = common_edges([some], 0)
    found = effect(linear([1.5, 4, 0]), some, 0, edges)
    np.testing.assert_allclose(np.diff(found.values[0, 0]) / np.diff(edges), 1.5, rtol=1e-5)
    assert float(found.importance[0, 0]) == pytest.approx(1.5 * some.fine[:, 0].std(), rel=0.02)
    assert float(effect(linear([1.5, 4, 0]), some, 2, common_edges([some], 2)).importance[0, 0]) == 0


def test_an_interval_without_a_pixel_takes_the_slope_of_its_neighbours():
    some = pixels([np.r_[np.linspace(-2, -1, 50), np.linspace(1, 2, 50)]])
    edges = np.linspace(-2, 2, 9)
    found = effect(linear([3.0]), some, 0, edges)
    np.testing.assert_allclose(np.diff(found.values[0, 0]) / np.diff(edges), 3.0, rtol=1e-5)


def test_an_effect_is_that_of_its_own_driver_where_two_go_together():
    x = np.random.default_rng(3).normal(size=3000)
    some = pixels([x, x + 0.1 * np.random.default_rng(4).normal(size=3000)])
    model = lambda fine, _series: (fine[:, 0].astype(float) ** 2)[None, None]  # noqa: E731
    other = effect(model, some, 1, common_edges([some], 1))
    own = effect(model, some, 0, common_edges([some], 0))
    assert float(other.importance[0, 0]) == 0
    assert float(own.importance[0, 0]) > 0.5


def test_a_driver_that_never_varies_has_no_effect():
    some = pixels([np.zeros(100), np.arange(100.0)])
    found = effect(linear([1, 1]), some, 0, common_edges([some], 0))
    assert float(found.importance[0, 0]) == 0


def test_anomalies_are_from_the_mean_of_the_cell():
    cell = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(within(np.array([[1.0, 3.0, 10.0, 20.0]]), cell), [[-1, 1, -5, 5]])


def entry(values):
    curve = {"edges": [0, 1, 2], "importance": 1.0}
    return {
        "drivers": {n: {"pattern": v} for n, v in values.items()},
        "gradients": {"drivers": values},
        "sobol": {"drivers": {n: {"total": v} for n, v in values.items()}},
        "ale": {"drivers": {n: curve | {"importance": v, "values": [0, v, 2 * v]} for n, v in values.items()}},
    }


def test_rankings_and_their_agreement():
    layers = {"y": {"100": {"ensemble": entry({"a": 3.0, "b": 2.0, "c": 1.0})},
                    "30": {"ensemble": entry({"a": 3.0, "b": 1.0, "c": 2.0})}}}  # fmt: skip
    methods = ["permutation", "sobol", "gradients", "ale"]
    for order in rankings(layers, methods)["y"].values():
        assert order == {"100": ["a", "b", "c"], "30": ["a", "c", "b"]}
    agreed = agreement_by_method(layers, methods)["y"]
    assert all(agreed[m]["100-30"]["rank"] == pytest.approx(0.5) for m in methods)
    assert agreed["ale"]["100-30"]["curves"] == pytest.approx(1.0)
    own = layers["y"]["100"]["ensemble"]["ale"]["drivers"]
    assert compare_curves(own, own)["difference"] == pytest.approx(0)
    assert np.isnan(spearman({"a": 1.0}, {"a": 1.0}))
