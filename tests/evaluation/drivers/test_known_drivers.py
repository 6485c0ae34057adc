"""Networks that learnt from fields whose drivers are known: every method finds the main one, and the irrelevant one."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smdown.evaluation import sensitivity
from smdown.features import FeaturesConfig, build_spec
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.networks.config import CNNConfig, DNNConfig, LSTMConfig
from smdown.networks.placement import Placement
from smdown.training import Layer
from tests.inference.bundles import untrained

CELLS = Window(300, 304, 900, 904)
WEIGHTS = torch.tensor([[0.7, 2.0, 0.0, 0.8], [-1.0, 1.6, 0.0, 0.6]])  # third, main, noise, second; by layer
RAIN = 0.8
CONFIG = {
    "resolutions": [1000, 100],
    "drivers": [
        {"name": name, "kind": "source", "source": name, "variable": name}
        for name in ("third", "main", "noise", "second")
    ],
    "sequence": {"days": 4, "resolution": 1000, "drivers": [{"name": "rain", "source": "rain", "variable": "rain"}]},
}
UNITS = ("1", 0.0, 1.0)


def truth(fine, series):
    """Return the layers, in standard deviations, of drivers ``(n, driver)`` and series ``(n, day, 1)``."""
    return fine @ WEIGHTS.T + 0.3 * torch.tanh(2 * fine[:, [1]]) + RAIN * series.mean(dim=(1, 2))[:, None]


@pytest.fixture(scope="module")
def bundle():
    """A DNN, a CNN and an LSTM, fitted to pixels amid others that tell nothing of them."""
    networks = {"dnn": DNNConfig(hidden=(32,)), "cnn": CNNConfig(channels=16, depth=2), "lstm": LSTMConfig()}
    drivers = {d["name"]: UNITS for d in CONFIG["drivers"]}
    made = untrained(networks, drivers, ("a", "b"), sequence={"rain": UNITS}, days=4)
    torch.manual_seed(1)
    zero, none = torch.zeros(1, dtype=torch.int64), torch.zeros(1)
    for network in made.networks.values():
        network.train().requires_grad_(True)
        side, optimiser = 2 * network.radius + 1, torch.optim.Adam(network.parameters(), 5e-3)
        for _ in range(250):
            fine, series = torch.randn(256, 4, side, side), torch.randn(256, 4, 1)
            own = fine[:, :, network.radius, network.radius]
            state = network.encode(series[..., None, None])
            state = None if state is None else state.expand(-1, -1, 2, 2)
            mean, _ = network.decode(fine, state, Placement(zero, none, zero, none))
            loss = (mean[:, :, 0, 0] - truth(own, series)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        network.eval().requires_grad_(False)
    return made


class Loader:
    """Fields of noise, alike in nothing."""

    def load(self, grid, window, day):
        return self._noise(4, window, day)

    def sequence(self, cells, day):
        window = cells.refine(9).expand(1)
        return np.stack([self._noise(1, window, day + n) for n in range(4)]) * 2

    def coarse(self, source, variable, cells, day):
        return np.full(cells.shape, 0.25, np.float32)

    @staticmethod
    def _noise(count, window, day):
        number = int(day.astype("datetime64[D]").astype(int)) * 31 + window.y0 * 7 + window.x0 * 13
        return np.random.default_rng(number).normal(size=(count, *window.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def found(bundle, tmp_path_factory):
    spec = build_spec(
        FeaturesConfig.model_validate(CONFIG), NestedGrid(EASE2_M09, CELLS, 90), sources_url="s", features_url="f"
    )
    days = tuple(str(d) for d in np.arange("2020-04-01", "2020-05-01", dtype="datetime64[D]"))
    layers = [Layer("a", "smap", "a"), Layer("b", "smap", "b")]
    context = SimpleNamespace(spec=spec, lattice=EASE2_M09, cells=CELLS, layers=layers, days=days)
    out = tmp_path_factory.mktemp("known")
    job = SimpleNamespace(out_url=str(out), stations_url=None, held_out=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("smdown.training.Bundle", SimpleNamespace(load=lambda url: bundle))
        patch.setattr("smdown.features.get_loader", lambda _spec: Loader())
        sensitivity(job, context, "bundle", resolutions=(1000, 100), samples=12, pixels=200_000)
    return json.loads((out / "sensitivity.json").read_text())


def importance(entry, method):
    if method == "permutation":
        return {name: value["pattern"] for name, value in entry["drivers"].items()}
    values = entry[method]["drivers"]
    if method == "sobol":
        return {name: value["total"] for name, value in values.items()}
    return {name: value["importance"] if method == "ale" else value for name, value in values.items()}


@pytest.mark.parametrize("method", ["permutation", "sobol", "gradients", "ale"])
@pytest.mark.parametrize("member", ["dnn", "cnn", "lstm", "ensemble"])
def test_the_main_driver_comes_first_and_the_irrelevant_one_last(found, method, member):
    for resolutions in found["layers"].values():
        assert set(resolutions) == {"1000", "100"}
        for members in resolutions.values():
            values = importance(members[member], method)
            if member in ("dnn", "cnn"):
                values.pop("rain_sequence", None)  # they do not see it
            order = sorted(values, key=lambda name: -values[name])
            assert order[0] == "main"
            assert order[-1] == "noise"
            assert values["noise"] < 0.3 * values["main"]


def test_all_methods_agree_between_resolutions(found):
    assert found["skipped"] == {}
    assert set(found["methods"]) == {"permutation", "sobol", "gradients", "ale"}
    for methods in found["agreement_by_method"].values():
        for pairs in methods.values():
            assert pairs["1000-100"]["rank"] > 0.85
        assert methods["ale"]["1000-100"]["curves"] > 0.98
    for orders in found["rankings"].values():
        for method, by_resolution in orders.items():
            names = {"third", "main", "noise", "second"} | ({"rain_sequence"} if method != "ale" else set())
            assert all(set(order) == names for order in by_resolution.values())


def test_shares_and_attributions_are_those_of_the_fields(found):
    entry = found["layers"]["a"]["100"]["dnn"]
    shares = {name: value["total"] for name, value in entry["sobol"]["drivers"].items()}
    assert shares["main"] == pytest.approx(0.85, abs=0.1)
    assert entry["gradients"]["left_over"] < 0.01
    curve = entry["ale"]["drivers"]["second"]
    slope = (curve["values"][-2] - curve["values"][1]) / (curve["edges"][-2] - curve["edges"][1])
    assert slope == pytest.approx(0.1 * 0.8, rel=0.25)
