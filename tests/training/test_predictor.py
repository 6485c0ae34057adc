"""Prediction over windows, and the join of the networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smdown.errors import BundleError
from smdown.grid import Window
from smdown.networks import CNNConfig, DNNConfig, LSTMConfig, build_network
from smdown.networks.base import crop
from smdown.networks.placement import placement
from smdown.training import Bundle, BundleCard, Prediction, Predictor, combine, forward
from smdown.training.card import FeatureCard, LayerCard, SequenceCard

NETWORKS = {"dnn": DNNConfig(), "cnn": CNNConfig(), "lstm": LSTMConfig()}
CORE = Window(300 * 342 + 17, 300 * 342 + 157, 300 * 874 + 40, 300 * 874 + 271)
ORIGIN = (342 * 9 - 1, 874 * 9 - 1)
RNG = np.random.default_rng(0)
FINE = RNG.normal(5, 3, (4, CORE.height + 8, CORE.width + 8)).astype(np.float32)
SEQUENCE = RNG.gamma(0.5, 8, (6, 1, 11, 11)).astype(np.float32)


def make(networks=NETWORKS) -> Bundle:
    card = BundleCard(
        lattice="ease2_m09",
        resolutions=(1000,),
        layers=tuple(
            LayerCard(name=n, units="", valid_range=(0, 1), mean=m, std=0.1) for n, m in (("a", 0.2), ("b", 0.4))
        ),
        drivers=tuple(FeatureCard(name=f"d{n}", mean=5.0, std=3.0) for n in range(4)),
        sequence=SequenceCard(drivers=(FeatureCard(name="p", mean=4.0, std=5.0),), days=6, resolution=1000, ratio=9),
        networks=networks,
        weights={n: dict.fromkeys(networks, 1 / len(networks)) for n in "ab"},
        variance_scale={"a": 1.0, "b": 4.0},
    )
    torch.manual_seed(0)
    built = {name: build_network(config, 4, 1, 2).eval() for name, config in networks.items()}
    for network in built.values():
        torch.nn.init.normal_(network.head.hidden.weight, std=0.2)
        torch.nn.init.normal_(network.head.linear.weight, std=0.2)
    return Bundle(card, built)


@pytest.fixture(scope="module")
def whole() -> Prediction:
    return Predictor(make(), device="cpu").predict(FINE, SEQUENCE, CORE, 300, ORIGIN)


def test_members_layers_and_units(whole):
    assert whole.mean.shape == whole.variance.shape == (3, 2, *CORE.shape)
    assert whole.mean.dtype == whole.variance.dtype == np.float32
    assert whole.members == ("dnn", "cnn", "lstm")
    assert whole.layers == ("a", "b")
    assert (whole.variance > 0).all()
    assert abs(whole.mean[:, 0].mean() - 0.2) < 0.1
    assert abs(whole.mean[:, 1].mean() - 0.4) < 0.1


@pytest.mark.parametrize("tile", [16, 37, 300])
def test_a_pixel_does_not_depend_on_the_parts_that_the_work_is_cut_into(whole, tile, monkeypatch):
    monkeypatch.setattr(forward, "TILE", tile)
    monkeypatch.setattr(forward, "BAND_PX", 7 * tile)
    again = Predictor(make(), device="cpu").predict(FINE, SEQUENCE, CORE, 300, ORIGIN)
    np.testing.assert_allclose(again.mean, whole.mean, atol=1e-6, rtol=0)
    np.testing.assert_allclose(again.variance, whole.variance, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "networks",
    [
        NETWORKS,
        {"dnn": DNNConfig(hidden=(7, 5, 3)), "near": CNNConfig(channels=3, depth=1), "cnn": CNNConfig(depth=4)},
        {"lstm": LSTMConfig(hidden=5, width=9)},
        {"dnn": DNNConfig(hidden=(1,))},
    ],
)
def test_the_lean_way_says_what_the_networks_say(networks):
    bundle = make(networks)
    lean, plain = (Predictor(bundle, device="cpu") for _ in range(2))
    plain.__dict__["_forward"] = forward.DeviceForward(
        plain.networks, plain.fine, plain.centre, plain.spread, torch.device("cpu")
    )
    fine = FINE if lean.radius else FINE[:, 4:-4, 4:-4]
    one, two = (p.predict(fine, SEQUENCE, CORE, 300, ORIGIN) for p in (lean, plain))
    np.testing.assert_allclose(one.mean, two.mean, atol=1e-6, rtol=0)
    np.testing.assert_allclose(one.variance, two.variance, rtol=1e-5)
    for n, network in enumerate(bundle.networks.values()):  # and what they say is what they were trained to say
        block = crop(plain.fine.forward(torch.from_numpy(fine)[None], 1), lean.radius - network.radius)
        with torch.inference_mode():
            state = network.encode(plain.sequence.forward(torch.from_numpy(SEQUENCE)[None], 2))
            mean, _ = network.decode(block, state, placement(CORE, 300, ORIGIN, 9))
        found = mean[0].numpy() * lean.spread[:, None, None] + lean.centre[:, None, None]
        np.testing.assert_allclose(one.mean[n], found, atol=1e-6, rtol=0)


def test_a_pixel_does_not_depend_on_the_window_that_asked(whole):
    part = Window(CORE.y0 + 31, CORE.y0 + 60, CORE.x0 + 100, CORE.x0 + 142)
    inner = part.relative_to(CORE)
    fine = FINE[:, inner.y0 : inner.y1 + 8, inner.x0 : inner.x1 + 8]
    origin = ORIGIN[0], ORIGIN[1] + 1
    again = Predictor(make(), device="cpu").predict(fine, SEQUENCE[..., 0:7, 1:9], part, 300, origin)
    np.testing.assert_allclose(again.mean, whole.mean[(..., *inner.slices)], atol=1e-6, rtol=0)


def test_missing_drivers_are_taken_as_their_mean(whole):
    fine = FINE.copy()
    fine[1, 40:50] = np.nan
    filled = fine.copy()
    filled[1, 40:50] = 5.0
    one, two = (Predictor(make(), device="cpu").predict(f, SEQUENCE, CORE, 300, ORIGIN) for f in (fine, filled))
    assert np.isfinite(one.mean).all()
    np.testing.assert_array_equal(one.mean, two.mean)
    assert not np.array_equal(one.mean, whole.mean)
    assert np.isnan(fine[1, 40]).all()


def test_drivers_far_beyond_training_are_taken_at_the_clip():
    far, clipped = FINE.copy(), FINE.copy()
    far[2], clipped[2] = 1e6, 5.0 + 3.0 * 4
    one, two = (Predictor(make(), device="cpu").predict(f, SEQUENCE, CORE, 300, ORIGIN) for f in (far, clipped))
    np.testing.assert_allclose(one.mean, two.mean, atol=1e-6)


def test_wrong_shapes_are_refused():
    at_work = Predictor(make(), device="cpu")
    with pytest.raises(BundleError, match="read 4 pixels around"):
        at_work.predict(FINE[:, 1:], SEQUENCE, CORE, 300, ORIGIN)
    with pytest.raises(BundleError, match="got a sequence of shape None"):
        at_work.predict(FINE, None, CORE, 300, ORIGIN)
    with pytest.raises(BundleError, match="got a sequence"):
        at_work.predict(FINE, SEQUENCE[1:], CORE, 300, ORIGIN)


def test_without_a_recurrence_no_sequence_is_needed():
    at_work = Predictor(make({"dnn": DNNConfig()}), device="cpu")
    assert at_work.radius == 0
    found = at_work.predict(FINE[:, 4:-4, 4:-4], None, CORE, 300)
    assert found.mean.shape == (1, 2, *CORE.shape)


def test_joined_mean_and_deviation_are_those_of_the_mixture(whole):
    weights = {"a": {"dnn": 0.5, "cnn": 0.3, "lstm": 0.2}, "b": {"dnn": 1.0, "cnn": 0.0, "lstm": 0.0}}
    mean, std = combine(whole, weights, {"a": 2.0, "b": 4.0})
    w = np.array([0.5, 0.3, 0.2])[:, None, None]
    mu = (w * whole.mean[:, 0]).sum(0)
    variance = (w * (whole.variance[:, 0].astype(float) + whole.mean[:, 0].astype(float) ** 2)).sum(0) - mu**2
    np.testing.assert_allclose(mean[0], mu, atol=1e-6)
    np.testing.assert_allclose(std[0], np.sqrt(2 * variance), rtol=1e-3)
    np.testing.assert_array_equal(mean[1], whole.mean[0, 1])
    np.testing.assert_allclose(std[1], 2 * np.sqrt(whole.variance[0, 1]), rtol=1e-6)
