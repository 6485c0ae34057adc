"""The dissimilarity index: distances to the training data, and when a pixel lies beyond them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.spatial.distance import cdist

from smdown.networks import DNNConfig, build_network
from smdown.training import BundleCard
from smdown.training.applicability import Applicability, fit_applicability, importance, pixel_rows
from smdown.training.card import ApplicabilityCard
from tests.training.runs import run

MEAN, STD = torch.tensor([10.0, 0.0, -5.0]), torch.tensor([2.0, 1.0, 3.0])
CARD = ApplicabilityCard(weights=(2.0, 1.0, 0.0), centres=((0.0, 0.0, 0.0), (3.0, -1.0, 0.0)), scale=2.5, threshold=0.8)


@given(arrays(np.float32, (3, 5, 7), elements=st.floats(-30, 30, width=32)))
def test_it_is_the_weighted_distance_to_the_nearest_centre(fine):
    found = Applicability(CARD, MEAN, STD).index(fine)
    rows = (fine.reshape(3, -1).T.astype(float) - MEAN.numpy()) / STD.numpy() * np.array(CARD.weights)
    wanted = cdist(rows, np.array(CARD.centres)).min(axis=1).reshape(5, 7) / 2.5
    np.testing.assert_allclose(found, wanted, atol=2e-3)  # near a centre the root of a rounding error
    far = wanted > 0.05
    np.testing.assert_allclose(found[far], wanted[far], atol=2e-5, rtol=1e-5)


def test_a_missing_driver_is_its_mean_and_an_unheeded_one_does_not_count():
    fine = np.array([[[10.0, np.nan]], [[1.0, 1.0]], [[-5.0, 1e6]]], np.float32)
    found = Applicability(CARD, MEAN, STD).index(fine)
    assert found[0, 0] == pytest.approx(found[0, 1]) == pytest.approx(1 / 2.5)
    assert np.isfinite(Applicability(CARD, MEAN, STD).index(np.full((3, 2, 2), 3e38, np.float32))).all()


@settings(max_examples=20)
@given(st.integers(0, 30), st.integers(1, 40), st.integers(0, 9), st.integers(1, 9))
def test_a_window_is_that_of_the_whole(y, height, x, width):
    fine = np.random.default_rng(1).normal(size=(3, 60, 20)).astype(np.float32) * 4
    at_work = Applicability(CARD, MEAN, STD)
    part = (slice(y, y + height), slice(x, x + width))
    whole = at_work.index(fine)[part]
    np.testing.assert_allclose(at_work.index(fine[(slice(None), *part)]), whole, atol=1e-6)


@pytest.fixture(scope="module")
def trained(region, tmp_path_factory):
    return run(region, tmp_path_factory.mktemp("models") / "a").card


def test_importance_of_a_linear_network_is_the_size_of_its_coefficients(region):
    from smdown.training.collect import collect
    from tests.training.runs import quick

    data = collect(quick(), region.context("unused"), region, region.station_data(), 0, lambda *_: None)
    network = build_network(DNNConfig(hidden=(4,)), len(region.spec.names), 1, 2)
    coefficient = torch.linspace(-1, 2, 2 * len(region.spec.names)).view(2, -1)
    network.start_from(coefficient, torch.zeros(2))
    share = (coefficient.abs() / coefficient.abs().sum(dim=1, keepdim=True)).sum(dim=0).numpy()
    np.testing.assert_allclose(importance({"a": network}, data.validation), share / share.mean(), rtol=1e-5)
    one = torch.zeros_like(coefficient)
    one[:, 3] = 1.0
    network.start_from(one, torch.zeros(2))
    card = fit_applicability({"a": network}, data.training, data.validation, 0)
    assert np.flatnonzero(card.weights).tolist() == [3]
    rows = pixel_rows(data.training, np.random.default_rng(0))[:, 3]
    mean_gap = np.abs(rows[:1000, None] - rows[None, 1000:2000]).mean() * card.weights[3]
    assert card.scale == pytest.approx(mean_gap, rel=0.1)


def test_the_card_of_a_training_holds_it(region, trained):
    near = trained.applicability
    assert len(near.weights) == len(trained.drivers) == len(near.centres[0])
    assert np.mean(near.weights) == pytest.approx(1)
    assert 0 < near.threshold < 3
    again = BundleCard.model_validate_json(trained.model_dump_json())
    assert again.applicability == near
    mean, std = (torch.tensor([getattr(d, key) for d in trained.drivers]) for key in ("mean", "std"))
    at_work = Applicability(near, mean, std)
    grid = region.context("unused").grid(region.base)
    seen = at_work.index(region.load(grid, grid.window, region.times[20]))
    assert (seen <= near.threshold).mean() > 0.5
    strange = region.load(grid, grid.window, region.times[20])
    heeded = int(np.argmax(near.weights))
    strange[heeded] += 30 * float(std[heeded])
    assert (at_work.index(strange) > near.threshold).all()


def test_it_must_be_of_the_drivers(trained):
    short = trained.applicability.model_dump() | {"weights": (1.0,)}
    with pytest.raises(ValidationError, match="applicability is not of"):
        BundleCard.model_validate(trained.model_dump() | {"applicability": short})
