"""Errors that remain once a map agrees with the coarse product, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smdown.training.assess import OWN_SAY, assess, variance_scale
from smdown.training.collect import collect
from smdown.training.heldout import Held, constrained_errors, known_target, predict_held
from smdown.training.stacking import mixture
from smdown.training.stated import TrainingSay
from tests.training.runs import histories, quick, run


def held(mean, target, cell, day, station=None, sample=None, variance=None):
    """Return samples of one layer; `mean` is ``(network, n)``."""
    mean, n = np.asarray(mean, dtype=float), len(target)
    return Held(
        mean[..., None], np.ones_like(mean)[..., None] if variance is None else np.asarray(variance)[..., None],
        np.asarray(target, dtype=float)[:, None], np.asarray(cell).reshape(n, 2), np.asarray(day),
        np.arange(n) if sample is None else np.asarray(sample),
        np.full(n, -1) if station is None else np.asarray(station), np.full(n, 1000),
    )  # fmt: skip


def test_stations_lose_the_error_of_their_cell_on_their_day():
    cells = held([[0.3, 0.5, 0.2]], [0.2, 0.2, 0.2], [(0, 0), (0, 0), (8, 8)], [1, 2, 1])
    stations = held([[0.4, 0.4, 0.4]], [0.3, 0.3, 0.3], [(0, 0), (0, 0), (5, 5)], [1, 2, 1], station=[7, 7, 9])
    part, errors = constrained_errors({"cell_mean": cells, "stations": stations}, 2)["stations"]
    np.testing.assert_allclose(errors, [[0.1 - 0.1, 0.1 - 0.3]], atol=1e-12)
    assert part.station.tolist() == [7, 7]


def test_cells_lose_the_error_of_their_block_on_their_day():
    cells = held([[1.0, 3.0, 7.0, 5.0]], [0.0] * 4, [(0, 0), (1, 1), (0, 0), (2, 2)], [1, 1, 2, 1])
    part, errors = constrained_errors({"cell_mean": cells}, 2)["cell_mean"]
    np.testing.assert_allclose(errors, np.array([[-1.0, 1.0]]) * np.sqrt(2))
    assert part.cell.tolist() == [[0, 0], [1, 1]]


def test_pixels_lose_the_mean_error_of_their_sample():
    pixels = held([[1.0, 2.0, 3.0, 9.0]], [0.0] * 4, [(0, 0)] * 4, [1] * 4, sample=[0, 0, 0, 1])
    _, errors = constrained_errors({"gridded": pixels}, 2)["gridded"]
    np.testing.assert_allclose(errors, np.array([[-1.0, 0.0, 1.0]]) * np.sqrt(3 / 2))


def test_where_nothing_can_be_taken_away_errors_stay_as_they_are():
    alone = held([[1.0, 3.0]], [0.5, 0.5], [(0, 0), (4, 4)], [1, 1])
    stations = held([[0.4]], [0.3], [(0, 0)], [1], station=[7])
    np.testing.assert_allclose(constrained_errors({"cell_mean": alone}, 2)["cell_mean"][1], [[0.5, 2.5]])
    np.testing.assert_allclose(constrained_errors({"stations": stations}, 2)["stations"][1], [[0.1]])


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(2, 5))
def test_an_error_that_all_pixels_of_a_cell_share_does_not_count(seed, networks, block):
    rng = np.random.default_rng(seed)
    cell, day = rng.integers(0, 6, (40, 2)), rng.integers(0, 3, 40)
    target = rng.standard_normal(40)
    mean = target + rng.standard_normal((networks, 40))
    station_cell, station_day = cell[:25], day[:25]
    station = held(rng.standard_normal((networks, 25)), np.zeros(25), station_cell, station_day, station=np.arange(25))
    shared = rng.standard_normal((networks, 3, 6, 6))
    at = shared[:, day, cell[:, 0], cell[:, 1]]
    moved = station.mean + at[:, :25, None]
    before = constrained_errors({"cell_mean": held(mean, target, cell, day), "stations": station}, block)
    other = Held(moved, *(getattr(station, f) for f in list(Held.__dataclass_fields__)[1:]))
    after = constrained_errors({"cell_mean": held(mean + at, target, cell, day), "stations": other}, block)
    np.testing.assert_allclose(before["stations"][1], after["stations"][1], atol=1e-9)


def test_calibration_follows_the_errors_as_far_as_places_bear_it():
    rng = np.random.default_rng(0)
    found = {}
    for places in (2, 2000):
        station = np.repeat(np.arange(places), 5)
        n = len(station)
        part = held(np.zeros((1, n)), np.zeros(n), np.zeros((n, 2), int), np.zeros(n, int), station=station)
        errors = rng.standard_normal(n) * 0.05
        found[places] = variance_scale(errors, np.full(n, 0.01), part, 0.03)
    own = (0.05**2 - 0.03**2) / 0.01
    assert found[2000] == pytest.approx(own, rel=0.1)
    assert found[2] == pytest.approx((2 * own + OWN_SAY) / (2 + OWN_SAY), rel=0.2)
    shifted = variance_scale(errors, np.full(n, 0.01), part, 0.03, before=0.5) - found[2000]
    assert shifted == pytest.approx(-0.5 * OWN_SAY / (2000 + OWN_SAY), rel=1e-6)


class Saying(torch.nn.Module):
    """Says the same variance everywhere, and 0 for every mean."""

    radius = 0

    def __init__(self, variance):
        super().__init__()
        self.log_variance = float(np.log(variance))

    def forward(self, fine, sequence, place):
        mean = torch.zeros(len(fine), 2, *fine.shape[2:])
        return mean, torch.full_like(mean, self.log_variance)


@pytest.mark.parametrize("label", ["cell_mean", "stations"])
def test_networks_that_never_learnt_their_variance_are_found_out_where_they_were_trained(region, label):
    data = collect(quick(), region.context(""), region, region.station_data(), 0, lambda *_: None)
    targets = torch.cat([known_target(s).reshape(len(s), 2) for s in data.training if s.label == label])
    for variance in (1.0, 4.0):
        say = TrainingSay({"a": Saying(variance), "b": Saying(variance)}, data.training, 0)
        for layer in (0, 1):
            known = targets[:, layer][torch.isfinite(targets[:, layer])]
            found = say.scale(layer, label, np.array([0.3, 0.7]))
            assert found == pytest.approx(float((known**2).mean()) / variance, rel=1e-4)
    assert say.scale(0, "gridded", np.array([0.3, 0.7])) == 1.0


def test_a_layer_that_no_sample_has_is_left_at_equal_weights(region, tmp_path):
    bundle = run(region, tmp_path)
    data = collect(quick(), region.context(""), region, region.station_data(), 0, lambda *_: None)
    nothing = [type(s)(**{**vars(s), "target": s.target * np.nan}) for s in data.validation]
    none = type(data)(**{**{k: getattr(data, k) for k in data.__dataclass_fields__}, "held": lambda: nothing})
    found = assess(quick(), bundle.networks, none, region.context("").layers)
    assert found.weights["sm_surface"] == {"dnn": 0.5, "lstm": 0.5}
    assert found.variance_scale["sm_surface"] == 1.0
    assert found.metrics["sm_surface"] == {}


def test_what_the_card_says_of_held_out_blocks_follows_from_its_networks(region, tmp_path):
    bundle = run(region, tmp_path)
    data = collect(quick(), region.context(""), region, region.station_data(), 0, lambda *_: None)
    found = predict_held(bundle.networks, data.validation, data.target, 3000)["stations"].layer(0)
    scores = bundle.card.metrics["sm_surface"]["stations"]
    for k, name in enumerate(bundle.networks):
        error = found.mean[k, :, 0] - found.target[:, 0]
        assert scores[name]["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    weights = np.array(list(bundle.card.weights["sm_surface"].values()))
    mean, _ = mixture(found.mean[..., 0], found.variance[..., 0], weights[:, None])
    assert scores["ensemble"]["rmse"] == pytest.approx(np.sqrt(((mean - found.target[:, 0]) ** 2).mean()), rel=1e-4)
    assert scores["ensemble"].get("ratio", 1.0) == 1.0
    assert set(bundle.card.member_scale["sm_surface"]) == set(bundle.networks)


def test_networks_stop_by_what_remains_in_a_map_that_agrees(region, tmp_path):
    card = run(region, tmp_path, networks={"dnn": {"hidden": [8]}}, epochs=3).card
    series = histories(tmp_path)["dnn"]
    wanted = []
    for layer in card.layers:
        scores = card.metrics[layer.name]
        squares = [(scores[label]["dnn"]["rmse_constrained"] / layer.std) ** 2 for label in ("cell_mean", "stations")]
        wanted.append(np.mean(squares))
    assert series["validation"][series["best_epoch"]] == pytest.approx(np.mean(wanted), rel=1e-4)
