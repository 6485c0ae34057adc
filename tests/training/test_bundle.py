"""Bundles: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from smdown.errors import BundleError
from smdown.networks import CNNConfig, DNNConfig, LSTMConfig, build_network
from smdown.training import Bundle, BundleCard
from smdown.training.card import FeatureCard, LayerCard, SequenceCard

NETWORKS = {"dnn": DNNConfig(hidden=(5,)), "cnn": CNNConfig(channels=3, depth=2), "lstm": LSTMConfig(hidden=2, width=4)}


def make_bundle() -> Bundle:
    drivers = tuple(FeatureCard(name=n, units=u, mean=1.0, std=2.0) for n, u in (("slope", "1"), ("rain", "mm")))
    layers = tuple(
        LayerCard(name=n, units="m3 m-3", valid_range=(0.0, 0.6), mean=0.25, std=0.1) for n in ("top", "root")
    )
    card = BundleCard(
        lattice="ease2_m09",
        resolutions=(1000, 100),
        layers=layers,
        drivers=drivers,
        sequence=SequenceCard(drivers=drivers[1:], days=5, resolution=1000, ratio=9),
        networks=NETWORKS,
        weights={layer.name: {"dnn": 0.5, "cnn": 0.25, "lstm": 0.25} for layer in layers},
        variance_scale={"top": 1.5, "root": 0.7},
        provenance={"created": "today", "seed": 3},
    )
    torch.manual_seed(1)
    networks = {name: build_network(config, 2, 1, 2).eval() for name, config in NETWORKS.items()}
    for network in networks.values():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return Bundle(card, networks)


@pytest.mark.parametrize("where", ["{tmp}/models/a", "memory://models/b"])
def test_a_bundle_comes_back_as_it_was_saved(where, tmp_path):
    url = where.format(tmp=tmp_path)
    bundle = make_bundle()
    bundle.save(url)
    again = Bundle.load(url)
    assert again.card == bundle.card
    assert list(again.networks) == list(NETWORKS)
    for name, network in bundle.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, again.networks[name].state_dict()[key])
    assert again.digest == bundle.digest
    assert again.radius == 2


def test_the_digest_changes_with_weights_and_card_but_not_with_the_time():
    bundle = make_bundle()
    later = bundle.card.model_copy(update={"provenance": {"created": "tomorrow", "seed": 3}})
    assert Bundle(later, bundle.networks).digest == bundle.digest
    other = bundle.card.model_copy(update={"resolutions": (1000,)})
    assert Bundle(other, bundle.networks).digest != bundle.digest
    before = bundle.digest
    with torch.no_grad():
        next(bundle.networks["dnn"].parameters())[0, 0] += 1e-3
    assert bundle.digest != before


@pytest.mark.parametrize(
    ("names", "units", "sequence", "says"),
    [
        (["slope"], {}, None, "driver rain is missing"),
        (["slope", "rain", "sand"], {}, None, "driver sand is not of the bundle"),
        (["rain", "slope"], {}, None, "come as rain, slope but were trained as slope, rain"),
        (["slope", "rain"], {"rain": "m"}, None, "rain is in 'm' but was trained in 'mm'"),
        (["slope", "rain"], {}, ["snow"], "sequence driver rain is missing"),
    ],
)
def test_other_drivers_are_refused_by_name_and_unit(names, units, sequence, says):
    bundle = make_bundle()
    bundle.check(["slope", "rain"], {"slope": "1", "rain": "mm"}, ["rain"])
    with pytest.raises(BundleError, match=says):
        bundle.check(names, {"slope": "1", "rain": "mm"} | units, sequence)


@pytest.fixture
def saved(tmp_path):
    make_bundle().save(str(tmp_path))
    return tmp_path


def test_a_pickled_file_is_refused_and_never_run(saved):
    sentinel = saved / "ran"

    class Trap:
        def __reduce__(self):
            return (open, (str(sentinel), "w"))

    (saved / "dnn.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BundleError, match="no safetensors file"):
        Bundle.load(str(saved))
    torch.save({"weight": torch.zeros(2)}, saved / "dnn.safetensors")
    with pytest.raises(BundleError, match="no safetensors file"):
        Bundle.load(str(saved))
    assert not sentinel.exists()


def spoil(folder, change):
    file = folder / "dnn.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.update({"body.0.weight": torch.zeros(5, 7)}), r"\(5, 7\), the card says .*\(5, 2\)"),
        (lambda t: t.update({"body.0.weight": torch.zeros(5, 2, dtype=torch.float64)}), "float64"),
        (lambda t: t["body.0.weight"].fill_(float("nan")), "not finite"),
        (lambda t: t.pop("body.0.bias"), "body.0.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra"),
    ],
)
def test_weights_that_do_not_fit_the_card_are_refused(saved, change, says):
    spoil(saved, change)
    with pytest.raises(BundleError, match=says):
        Bundle.load(str(saved))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 9}, "schema_version"),
        ({"layers": []}, "layers"),
        ({"networks": {"../dnn": {"kind": "dnn"}}}, "plain word"),
        ({"networks": {"dnn": {"kind": "transformer"}}}, "dnn"),
        ({"drivers": [{"name": "a", "mean": 0.0, "std": 0.0}]}, "std"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(saved, change, says):
    card = json.loads((saved / "bundle.json").read_text()) | change
    (saved / "bundle.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match=says):
        Bundle.load(str(saved))


def test_a_missing_file_says_what_to_do(tmp_path, saved):
    with pytest.raises(BundleError, match="run the stage train first"):
        Bundle.load(str(tmp_path / "nowhere"))
    (saved / "cnn.safetensors").unlink()
    with pytest.raises(BundleError, match=r"cnn\.safetensors is missing"):
        Bundle.load(str(saved))


def test_saving_twice_gives_the_same_bytes(tmp_path):
    make_bundle().save(str(tmp_path / "a"))
    make_bundle().save(str(tmp_path / "b"))
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert np.all([file.suffix in {".json", ".safetensors"} for file in (tmp_path / "a").iterdir()])
