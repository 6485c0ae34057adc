"""A training that was broken off goes on to the same weights, bit for bit."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from smdown.training import Bundle
from smdown.training.checkpoint import Checkpoints, load, save
from tests.training.runs import QUICK, histories, run

ROOT = Path(__file__).parents[2]
SERIES = ("train", "validation", "learning_rate")


class BrokenOffError(Exception):
    pass


def breaking_at(text):
    """Return a listener that breaks the training off once it is told that."""

    def tell(name, done, total):
        if f"{name.partition(':')[0]} {done}/{total}" == text or name == text:
            raise BrokenOffError

    return tell


@pytest.fixture(scope="module")
def undisturbed(region, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    return run(region, out), histories(out)


def same(found, undisturbed):
    bundle, history = undisturbed
    assert found[0].digest == bundle.digest
    for name, series in history.items():
        for key in (*SERIES, "best_epoch"):
            assert found[1][name][key] == series[key]


def test_killed_for_real_in_an_epoch(region, tmp_path, undisturbed):
    log = tmp_path / "logs" / "lstm" / "metrics.csv"
    child = subprocess.Popen([sys.executable, "-m", "tests.training.runs", str(tmp_path), "{}"], cwd=ROOT)
    end = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") > 2):
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "bundle.json").exists()
    told = []
    again = run(region, tmp_path, lambda *step: told.append(step[0]))
    same((again, histories(tmp_path)), undisturbed)
    assert histories(tmp_path)["lstm"]["resumed_at"] >= 2
    assert not any(text.startswith("dnn") for text in told)
    assert not (tmp_path / "checkpoints").exists()
    assert Bundle.load(str(tmp_path)).digest == undisturbed[0].digest


@pytest.mark.parametrize("moment", ["dnn 1/5", "dnn 5/5", "dnn: done", "lstm 3/5", "lstm: done"])
def test_broken_off_at_any_moment(region, tmp_path, undisturbed, moment):
    with pytest.raises(BrokenOffError):
        run(region, tmp_path, breaking_at(moment))
    same((run(region, tmp_path), histories(tmp_path)), undisturbed)


def test_broken_off_while_samples_are_streamed(region, tmp_path):
    whole = run(region, tmp_path / "a", feeding="stream"), histories(tmp_path / "a")
    with pytest.raises(BrokenOffError):
        run(region, tmp_path / "b", breaking_at("lstm 2/5"), feeding="stream")
    same((run(region, tmp_path / "b", feeding="stream"), histories(tmp_path / "b")), whole)


def test_broken_off_again_and_again(region, tmp_path, undisturbed):
    for epoch in (1, 2, 4):
        with pytest.raises(BrokenOffError):
            run(region, tmp_path, breaking_at(f"lstm {epoch}/5"))
    same((run(region, tmp_path), histories(tmp_path)), undisturbed)


def test_one_that_had_stopped_early_is_not_driven_further(region, tmp_path):
    # a huge rate makes the validation worse from the first epoch on
    changes = {"networks": {"dnn": {"hidden": [8]}}, "patience": 2, "epochs": 30, "learning_rate": 3.0}
    whole = run(region, tmp_path / "a", **changes), histories(tmp_path / "a")
    stopped = len(whole[1]["dnn"]["train"])
    assert stopped < 30
    with pytest.raises(BrokenOffError):
        run(region, tmp_path / "b", breaking_at(f"dnn {stopped}/30"), **changes)
    same((run(region, tmp_path / "b", **changes), histories(tmp_path / "b")), whole)


def test_another_configuration_or_other_samples_start_anew(region, tmp_path, undisturbed):
    with pytest.raises(BrokenOffError):
        run(region, tmp_path, breaking_at("dnn 3/5"), weight_decay=0.5)
    same((run(region, tmp_path), histories(tmp_path)), undisturbed)
    with pytest.raises(BrokenOffError):
        run(type(region)(seed=1), tmp_path, breaking_at("lstm 2/5"))
    same((run(region, tmp_path), histories(tmp_path)), undisturbed)


def test_what_does_not_bear_on_a_network_leaves_it_finished(region, tmp_path, undisturbed):
    with pytest.raises(BrokenOffError):
        run(region, tmp_path, breaking_at("lstm 1/5"))
    told = []
    bundle = run(
        region, tmp_path, lambda *step: told.append(step[0]),
        members=2, ensemble="mean", keep_checkpoints=True, networks={"dnn": QUICK["networks"]["dnn"]},
    )  # fmt: skip
    assert {text.partition(":")[0] for text in told} == {"samples", "dnn_2"}
    first, known = bundle.networks["dnn"].state_dict(), undisturbed[0].networks["dnn"].state_dict()
    assert all(torch.equal(first[key], known[key]) for key in known)
    assert {f.name for f in (tmp_path / "checkpoints").iterdir()} >= {"dnn.done", "dnn.ckpt", "dnn_2.done"}


def test_checkpoints_hold_no_code_and_other_files_are_not_run(region, tmp_path, undisturbed):
    sentinel = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (open, (str(sentinel), "w"))

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "dnn.ckpt").write_bytes(pickle.dumps(Trap()))
    torch.save({"identity": Trap()}, folder / "dnn.done")
    (folder / "lstm.ckpt").write_bytes(b"torn")
    assert load(str(folder / "dnn.done")) is None
    same((run(region, tmp_path), histories(tmp_path)), undisturbed)
    assert not sentinel.exists()


def test_a_flipped_bit_or_a_torn_file_is_no_checkpoint(tmp_path):
    url = str(tmp_path / "a.ckpt")
    save(url, {"identity": "abc", "weight": torch.arange(1000.0)})
    whole = Path(url).read_bytes()
    assert load(url) is not None
    for spoilt in (whole[:-40], whole[: len(whole) // 2], b"", whole.replace(b"abc", b"xyz")):
        Path(url).write_bytes(spoilt)
        assert load(url) is None
    middle = len(whole) // 2
    Path(url).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    assert load(url) is None


def test_any_file_system_takes_them():
    checkpoints = Checkpoints("memory://some/models/a/checkpoints")
    state = {"weight": torch.arange(3.0)}
    checkpoints.finish("dnn", "abc", state, {"train": [1.0, 2.0]})
    save(checkpoints.underway("dnn"), {"identity": "abc", "epoch": 3})
    assert checkpoints.finished("dnn", "other") is None
    found = checkpoints.finished("dnn", "abc")
    assert found is not None
    assert torch.equal(found[0]["weight"], state["weight"])
    assert found[1] == {"train": [1.0, 2.0]}
    assert checkpoints.can_resume("dnn", "abc")
    assert not checkpoints.can_resume("dnn", "other")
    checkpoints.clear()
    assert not checkpoints.can_resume("dnn", "abc")
    assert json.dumps(found[1])
