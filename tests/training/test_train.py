"""Training from labels to bundle on a small made-up region."""

from __future__ import annotations

import json
import logging
import re
import warnings

import numpy as np
import pytest
import torch

from smdown.errors import ConfigError, InputError
from smdown.grid import EASE2_M09, NestedGrid
from smdown.training import Bundle, Predictor, TrainingConfig, combine, train

CELLS = {"kind": "cell_mean", "source": "smap"}
STATIONS = {"kind": "stations", "source": "stations"}
SMALL = {
    "labels": [CELLS, STATIONS],
    "resolutions": [1000, 500],
    "networks": {
        "dnn": {"hidden": [24]},
        "cnn": {"channels": 8, "depth": 2},
        "lstm": {"hidden": 6, "width": 16},
    },
    "epochs": 9,
    "max_days": 12,
    "learning_rate": 4e-3,
    "batch_pixels": 600,
    "pixels_per_epoch": 9000,
}


def within_cell(region, bundle, day):
    """Return the correlation of anomalies from the cell mean with the truth, per member and layer."""
    grid = NestedGrid(EASE2_M09, region.cells, region.base)
    at_work = Predictor(bundle, device="cpu")
    first = region.cells.refine(9).expand(1)
    time = region.times[day]
    found = at_work.predict(
        region.load(grid, grid.window.expand(at_work.radius), time),
        region.sequence(region.cells, time),
        grid.window,
        region.base,
        (first.y0, first.x0),
    )
    mean, _ = combine(found, bundle.card.weights, bundle.card.variance_scale)
    n, r = region.n, region.base
    truth = region.truth[:, day, r:-r, r:-r]

    def anomaly(field):
        blocks = field.reshape(n, r, n, r)
        return (blocks - blocks.mean(axis=(1, 3), keepdims=True)).ravel()

    fields = dict(zip(found.members, found.mean, strict=True)) | {"ensemble": mean}
    return {
        name: [np.corrcoef(anomaly(f), anomaly(t))[0, 1] for f, t in zip(field, truth, strict=True)]
        for name, field in fields.items()
    }


@pytest.fixture(scope="module")
def trained(region, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "a"
    told = []
    bundle = train(
        TrainingConfig(**SMALL),
        region.context(str(out)),
        lambda *step: told.append(step),
        loader=region,
        stations=region.station_data(),
    )
    return bundle, out, told


def test_the_pattern_inside_the_cells_is_learnt_from_their_means_and_stations(region, trained):
    skill = within_cell(region, trained[0], 20)
    assert min(skill["ensemble"]) > 0.5
    for member in ("dnn", "cnn", "lstm"):
        assert min(skill[member]) > 0.3


def test_what_is_written_is_what_is_returned(trained):
    bundle, out, _ = trained
    assert {f.name for f in out.iterdir()} == {
        "bundle.json", "history.json", "dnn.safetensors", "cnn.safetensors", "lstm.safetensors", "logs",
    }  # fmt: skip
    assert Bundle.load(str(out)).digest == bundle.digest
    history = json.loads((out / "history.json").read_text())["networks"]
    assert set(history) == {"dnn", "cnn", "lstm"}
    for series in history.values():
        assert len(series["train"]) == len(series["validation"]) > 1
        assert min(series["train"]) < series["train"][0]
        assert series["validation"][series["best_epoch"]] == min(series["validation"])


def test_the_card_says_what_was_done(region, trained):
    card = trained[0].card
    assert [d.name for d in card.drivers] == list(region.spec.names)
    assert card.sequence is not None
    assert (card.sequence.days, card.sequence.ratio) == (20, 9)
    for layer in ("sm_surface", "sm_rootzone"):
        assert sum(card.weights[layer].values()) == pytest.approx(1)
        assert card.variance_scale[layer] > 0
        scores = card.metrics[layer]["stations"]
        assert set(scores) == {"dnn", "cnn", "lstm", "ensemble", "mean"}
    splits = card.splits
    assert not set(splits.training_cells) & set(splits.validation_cells)
    assert len(splits.training_cells) + len(splits.validation_cells) == 16
    names = [*splits.training_stations, *splits.validation_stations, *splits.held_out_stations]
    assert sorted(names) == sorted(str(n) for n in region.station_data()["station"].values)


def test_progress_is_told_and_every_bar_ends_full(trained):
    told = trained[2]
    assert list(dict.fromkeys(text.partition(":")[0] for text, _, _ in told)) == ["samples", "dnn", "cnn", "lstm"]
    for stage in ("samples", "dnn", "cnn", "lstm"):
        last = [step for step in told if step[0].partition(":")[0] == stage][-1]
        assert last[1] == last[2]
    assert re.fullmatch(r"lstm: loss -?\d.*, validation 0\.\d+, rate \S+, \S+ s/epoch", told[-2][0])


def quick(**changes):
    return TrainingConfig(
        **(SMALL | {"resolutions": [1000], "networks": {"dnn": {"hidden": [8]}}, "epochs": 2, "max_days": 6} | changes)
    )


def test_same_seed_same_weights_and_the_callers_random_state_is_left_alone(region, tmp_path):
    networks = {"networks": {"dnn": {"hidden": [8]}, "lstm": {"hidden": 3, "width": 8}}}
    runs = []
    for name in "ab":
        torch.manual_seed(ord(name))
        before = torch.get_rng_state()
        context = region.context(str(tmp_path / name))
        runs.append(train(quick(**networks), context, loader=region, stations=region.station_data()))
        assert torch.equal(torch.get_rng_state(), before)
    assert runs[0].digest == runs[1].digest
    context = region.context(str(tmp_path / "c"), seed=1)
    other = train(quick(**networks), context, loader=region, stations=region.station_data())
    assert other.digest != runs[0].digest


def test_shuffled_labels_give_no_skill(region, tmp_path):
    class Shuffled(type(region)):
        def coarse(self, source, variable, cells, day):
            field = super().coarse(source, variable, cells, day)
            return np.random.default_rng(int(day.astype(int) % 2**31)).permutation(field.ravel()).reshape(field.shape)

    shuffled = Shuffled()
    stations = shuffled.station_data()
    order = np.random.default_rng(1).permutation(stations.sizes["station"])
    for name in ("sm_surface", "sm_rootzone"):
        stations[name] = (("time", "station"), stations[name].values[:, order])
    config = quick(epochs=6, resolutions=[1000, 500])
    bundle = train(config, shuffled.context(str(tmp_path)), loader=shuffled, stations=stations)
    honest = train(config, region.context(str(tmp_path / "b")), loader=region, stations=region.station_data())
    lost, kept = (np.mean(within_cell(region, b, 20)["ensemble"]) for b in (bundle, honest))
    assert kept > 0.4
    assert lost < kept - 0.3


def test_nothing_is_printed_warned_or_left_behind(region, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    level = logging.getLogger("pytorch_lightning").level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(quick(), region.context(str(tmp_path / "m")), loader=region, stations=region.station_data())
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert logging.getLogger("pytorch_lightning").level == level


GRIDDED = {"kind": "gridded", "source": "finer", "variables": {"sm_surface": "sm_surface"}}


@pytest.mark.parametrize("labels", [[CELLS], [{"kind": "cubic", "source": "smap"}], [GRIDDED], [STATIONS]])
def test_every_label_trains_alone(region, tmp_path, labels):
    config = quick(labels=labels, epochs=3)
    bundle = train(config, region.context(str(tmp_path)), loader=region, stations=region.station_data())
    scores = bundle.card.metrics["sm_surface"][labels[0]["kind"]]["ensemble"]
    assert np.isfinite(scores["rmse"])
    assert bool(bundle.card.splits.training_stations) == (labels == [STATIONS])


def test_more_members_of_a_kind_differ_and_all_have_a_say(region, tmp_path):
    config = quick(members=2, ensemble="mean")
    bundle = train(config, region.context(str(tmp_path)), loader=region, stations=region.station_data())
    assert list(bundle.networks) == ["dnn", "dnn_2"]
    one, two = (n.state_dict()["body.0.weight"] for n in bundle.networks.values())
    assert not torch.equal(one, two)
    assert bundle.card.weights["sm_surface"] == {"dnn": 0.5, "dnn_2": 0.5}


def test_what_cannot_be_trained_is_one_clear_line(region, tmp_path):
    context = region.context(str(tmp_path))
    bare = region.spec
    bare.sequence = None
    with pytest.raises(ConfigError, match=r"lstm but no features\.sequence"):
        train(TrainingConfig(labels=[CELLS]), region.context(str(tmp_path), spec=bare), loader=region)
    with pytest.raises(ConfigError, match="no station source"):
        train(quick(), region.context(str(tmp_path), stations_url=None), loader=region)
    nowhere = region.station_data().assign_coords(latitude=("station", np.zeros(region.stations)))
    with pytest.raises(InputError, match="no station with data"):
        train(quick(labels=[STATIONS]), context, loader=region, stations=nowhere)
    assert not list(tmp_path.iterdir())
