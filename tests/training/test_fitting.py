"""What fitting does beside lowering a loss: precision, members, logs, mixtures of labels."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from smdown.errors import ConfigError, InputError
from smdown.networks import DNNConfig, Placement, build_network
from smdown.training.data import Group
from smdown.training.fit import network_configs, seed_of
from smdown.training.module import Fitting
from tests.training.runs import CELLS, STATIONS, histories, quick, run

DNN = {"networks": {"dnn": {"hidden": [8]}}}


def group(label, target, weight=1.0):
    """Return four samples of one pixel, whose target is the same everywhere."""
    first, weight_of = torch.zeros(1, dtype=torch.long), torch.zeros(4, 1)
    place = Placement(first, weight_of, first, weight_of)
    shape = (4, 2) if label == "cell_mean" else (4, 2, 1, 1)
    return Group(
        label, 1000, torch.zeros(4, 3, 1, 1), torch.zeros(4, 0, 0, 2, 2), place, 0,
        torch.full(shape, target), torch.ones(4, 1, 1, dtype=torch.bool), weight,
    )  # fmt: skip


def fitting(**changes):
    config = quick(input_noise=0, **changes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Fitting(build_network(DNNConfig(hidden=(4,), dropout=0), 3, 0, 2), config, 2)


def test_labels_have_a_say_by_their_weights():
    labels = [CELLS | {"weight": 3.0}, STATIONS | {"weight": 1.0}]
    module = fitting(labels=labels, loss="nll", warm_up=1)
    both = [group("cell_mean", 1.0, 3.0), group("stations", 2.0, 1.0)]
    # a fresh network predicts 0: half the squared errors are 0.5 and 2
    assert module.training_step(both, 0).item() == pytest.approx((3 * 0.5 + 1 * 2.0) / 4)
    none = [group("cell_mean", float("nan"), 3.0), both[1]]
    assert module.training_step(none, 0).item() == pytest.approx(2.0 / 4)


def test_warm_up_leaves_the_variance_alone_then_it_is_fitted():
    module = fitting(labels=[STATIONS], loss="nll", warm_up=1)
    module.training_step([group("stations", 2.0)], 0).backward()
    gradient = module.network.head.hidden.bias.grad
    assert (gradient[:2] != 0).all()
    assert (gradient[2:] == 0).all()
    after = fitting(labels=[STATIONS], loss="nll", warm_up=0)
    after.training_step([group("stations", 2.0)], 0).backward()
    assert (after.network.head.hidden.bias.grad[2:] != 0).all()


def test_the_plain_likelihood_trains_too(region, tmp_path):
    run(region, tmp_path, loss="nll", warm_up=2, **DNN)
    loss = histories(tmp_path)["dnn"]["train"]
    assert loss[1] < loss[0], "squared errors"
    assert loss[4] < loss[3] < loss[2], "likelihoods"


def test_bfloat16_is_finite_learns_and_keeps_weights_in_32_bits(region, tmp_path):
    bundle = run(region, tmp_path / "a", precision="bf16-mixed")
    run(region, tmp_path / "b")
    for name, network in bundle.networks.items():
        series, full = histories(tmp_path / "a")[name], histories(tmp_path / "b")[name]
        assert np.isfinite(series["train"]).all()
        assert series["train"] != full["train"]
        assert min(series["validation"]) == pytest.approx(min(full["validation"]), rel=0.2)
        assert all(t.dtype == torch.float32 and torch.isfinite(t).all() for t in network.state_dict().values())


def test_a_member_is_the_same_whoever_else_is_trained(region, tmp_path):
    alone = run(region, tmp_path / "a", epochs=1, networks={"lstm": {"hidden": 3, "width": 8}})
    among = run(region, tmp_path / "b", epochs=1, members=2)
    assert list(among.networks) == ["dnn", "dnn_2", "lstm", "lstm_2"]
    for key, value in alone.networks["lstm"].state_dict().items():
        assert torch.equal(among.networks["lstm"].state_dict()[key], value)
    seeds = {seed_of(seed, name) for seed in range(20) for name in network_configs(quick(members=5))}
    assert len(seeds) == 20 * 10


def test_every_epoch_stands_in_the_table_and_the_history(region, tmp_path):
    run(region, tmp_path, **DNN)
    series = histories(tmp_path)["dnn"]
    with (tmp_path / "logs" / "dnn" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    for key in ("train", "validation", "learning_rate", "seconds", "samples_per_second", "waiting"):
        assert [float(row[key]) for row in rows] == series[key]
    assert all(0 <= share < 1 for share in series["waiting"])
    assert min(series["samples_per_second"]) > 0
    rates = series["learning_rate"]
    assert max(rates) <= quick().learning_rate
    assert rates[-1] < 0.01 * max(rates)


def test_tensorboard_shows_the_same(region, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(region, tmp_path, tensorboard=True, **DNN)
    found = accumulator.EventAccumulator(str(tmp_path / "logs" / "dnn"))
    found.Reload()
    events = found.Scalars("validation")
    assert [event.step for event in events] == [1, 2, 3, 4, 5]
    assert [event.value for event in events] == pytest.approx(histories(tmp_path)["dnn"]["validation"])


def test_tensorboard_that_is_not_there_is_one_clear_line(region, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"not installed; install smdown\[logs\]"):
        run(region, tmp_path, tensorboard=True, **DNN)


def test_a_training_that_never_was_finite_is_one_clear_line(region, tmp_path):
    with pytest.raises(InputError, match="no finite validation score for dnn; lower"):
        run(region, tmp_path, learning_rate=1e30, gradient_clip=1e30, **DNN)


def test_logs_and_checkpoints_do_not_make_another_result():
    assert quick(tensorboard=True, keep_checkpoints=True).identity() == quick().identity()
    assert quick(precision="bf16-mixed").identity() != quick().identity()
    assert json.dumps(quick().identity())
