"""Permutation ranks the driver that matters first and a driver that nothing uses last, at every resolution."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.evaluation import sensitivity
from smdown.evaluation.drivers.channels import Channels, default_groups, driver_channels, group_channels
from smdown.evaluation.importance import exchanged
from smdown.evaluation.samples import Sample
from smdown.features import FeaturesConfig, build_spec
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.training import Layer, Prediction

CONFIG = {
    "resolutions": [1000, 100],
    "drivers": [
        {"name": "elevation", "kind": "source", "source": "dem", "variable": "elevation"},
        {"name": "slope", "kind": "terrain", "measure": "slope", "source": "dem"},
        {"name": "sand", "kind": "source", "source": "soil", "variable": "sand"},
        {"name": "ndvi", "kind": "normalized_difference", "source": "optical", "a": "nir", "b": "red"},
        {"name": "rain_7d", "kind": "antecedent", "source": "rain", "variable": "rain", "days": 7},
    ],
    "sequence": {"days": 3, "resolution": 1000, "drivers": [{"name": "rain", "source": "rain", "variable": "rain"}]},
}
CELLS = Window(300, 304, 900, 904)
WEIGHTS = np.array([0.0, 3.0, 1.0, 0.0, 0.5])  # elevation and ndvi are never used


def spec():
    base = NestedGrid(EASE2_M09, CELLS, 90)
    return build_spec(FeaturesConfig.model_validate(CONFIG), base, sources_url="s", features_url="f")


class FakeLoader:
    """Drivers that differ between pixels, cells and days; the coarse value is the mean of what they make."""

    def load(self, grid, window, day):
        number = int(day.astype("datetime64[D]").astype(int)) * 31 + window.y0 * 7 + window.x0 * 13
        rng = np.random.default_rng(number)
        return rng.normal(rng.normal(0, 1, (5, 1, 1)), 1.0, (5, *window.shape)).astype(np.float32)

    def sequence(self, cells, day):
        return np.full((3, 1, 11, 11), float(cells.y0 % 7), np.float32)

    def coarse(self, source, variable, cells, day):
        return np.full(cells.shape, 0.0 if int(day.astype("datetime64[D]").astype(int)) % 2 else np.nan, np.float32)


class FakePredictor:
    radius, members = 1, ("one", "two")

    def __init__(self, bundle):
        self.card = bundle.card

    def predict(self, fine, sequence, core, ratio, origin):
        inner = fine[:, 1:-1, 1:-1]
        assert inner.shape[1:] == core.shape
        assert origin == (core.y0 // ratio * 9 - 1, core.x0 // ratio * 9 - 1)
        field = np.tensordot(WEIGHTS, inner, 1) + 0.01 * sequence.mean()
        mean = np.stack([np.stack([field, 2 * field])] * 2).astype(np.float32)
        return Prediction(mean, np.ones_like(mean), self.members, ("a", "b"))


ALL = ((300, 900), (301, 903), (303, 902), (302, 901))


def judged(patch, folder, loader, unseen=ALL, cells=CELLS, resolutions=(1000, 100)):
    layers = [Layer("a", "smap", "a"), Layer("b", "smap", "b")]
    weights = {name: {"one": 0.5, "two": 0.5} for name in "ab"}
    card = SimpleNamespace(
        sequence=SimpleNamespace(ratio=9), layers=layers, weights=weights, variance_scale={"a": 1.0, "b": 1.0},
        splits=SimpleNamespace(validation_cells=unseen),
    )  # fmt: skip
    bundle = SimpleNamespace(card=card)
    patch.setattr("smdown.training.Bundle", SimpleNamespace(load=lambda url: bundle))
    patch.setattr("smdown.training.Predictor", FakePredictor)
    patch.setattr("smdown.features.get_loader", lambda _spec: loader)
    days = tuple(str(d) for d in np.arange("2020-04-01", "2020-05-01", dtype="datetime64[D]"))
    context = SimpleNamespace(spec=spec(), lattice=EASE2_M09, cells=cells, layers=layers, days=days)
    job = SimpleNamespace(out_url=str(folder), stations_url=None, held_out=None)
    return sensitivity(job, context, "bundle", resolutions=resolutions, methods=(), samples=12, pixels=100_000)


@pytest.fixture
def result(monkeypatch, tmp_path):
    found = judged(monkeypatch, tmp_path, FakeLoader())
    return found, json.loads((tmp_path / "sensitivity.json").read_text())


def test_drivers_are_ranked_by_what_they_do(result):
    found, written = result
    for layer, scale in (("a", 1), ("b", 2)):
        for resolution in ("1000", "100"):
            ensemble = found["layers"][layer][resolution]["ensemble"]
            pattern = {name: entry["pattern"] for name, entry in ensemble["drivers"].items()}
            assert pattern["slope"] == pytest.approx(scale * 3 * math.sqrt(2), rel=0.1)
            assert pattern["sand"] == pytest.approx(scale * math.sqrt(2), rel=0.1)
            assert pattern["elevation"] == pattern["ndvi"] == 0
            assert pattern["rain_sequence"] == pytest.approx(0, abs=1e-6)
            assert ensemble["drivers"]["ndvi"]["cells"] == 0
            assert ensemble["ranking"][0] == "terrain"
            assert ensemble["ranking"][-1] == "vegetation"
    assert found["agreement"]["a"]["1000-100"] > 0.9
    assert found["samples"] == {"1000": 12, "100": 12}
    assert written["layers"]["a"]["100"]["one"]["rmse"]["stations"] is None


def test_groups_follow_from_kinds_and_sources():
    groups = default_groups(spec())
    assert groups == {
        "elevation": "terrain", "slope": "terrain", "sand": "soil", "ndvi": "vegetation", "rain_7d": "rain",
        "rain_sequence": "rain",
    }  # fmt: skip
    channels = group_channels(driver_channels(spec()), groups)
    assert channels["terrain"] == Channels((0, 1), ())
    assert channels["rain"] == Channels((4,), (0,))


def test_exchange_takes_another_samples_channels_and_leaves_the_rest():
    window = Window(0, 1, 0, 1)
    samples = [
        Sample(
            window,
            window,
            str(i),
            np.full((3, 1, 1), i, np.float32),
            np.full((2, 2, 3, 3), i, np.float32),
            np.zeros(1),
            [],
        )
        for i in range(4)
    ]
    out = exchanged(samples, Channels((1,), (0,)))
    for i, sample in enumerate(out):
        donor = (i + 2) % 4
        assert sample.fine[:, 0, 0].tolist() == [i, donor, i]
        assert sample.sequence[:, :, 0, 0].tolist() == [[donor, i]] * 2
    assert samples[0].fine[1, 0, 0] == 0


class Lasting(FakeLoader):
    """Drivers that never change, as soil and terrain."""

    def load(self, grid, window, day):
        return super().load(grid, window, np.datetime64("2020-04-01"))


@pytest.mark.parametrize("cells", [CELLS, Window(300, 301, 900, 901)], ids=["16 cells", "one cell"])
def test_what_never_changes_counts_though_a_single_cell_was_kept_from_training(monkeypatch, tmp_path, cells):
    found = judged(monkeypatch, tmp_path, Lasting(), unseen=((300, 900),), cells=cells, resolutions=(1000,))
    drivers = found["layers"]["a"]["1000"]["ensemble"]["drivers"]
    assert drivers["slope"]["pattern"] == pytest.approx(3 * math.sqrt(2), rel=0.2)
    assert drivers["slope"]["pattern"] > drivers["sand"]["pattern"] > drivers["elevation"]["pattern"] == 0
    assert found["samples"] == {"1000": 12}


@given(st.lists(st.integers(1, 8), min_size=2, max_size=6))
def test_donors_are_of_other_cells_wherever_no_cell_has_more_than_half(counts):
    cells = [n for n, count in enumerate(counts) for _ in range(count)]
    samples = [
        Sample(Window(n, n + 1, 0, 1), Window(n, n + 1, 0, 1), str(i), np.full((1, 1, 1), n), None, np.zeros(1), [])
        for i, n in enumerate(cells)
    ]
    same = sum(int(s.fine[0, 0, 0]) == n for s, n in zip(exchanged(samples, Channels((0,), ())), cells, strict=True))
    assert same <= max(0, 2 * max(counts) - len(cells))
