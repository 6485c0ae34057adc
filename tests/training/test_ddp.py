"""Several processes train as one would on the same batches."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from smdown.errors import ConfigError, IncompleteError, InputError
from smdown.training import Bundle
from smdown.training.devices import Devices
from smdown.training.ranks import run_ranks
from smdown.training.world import World, world
from tests.training.runs import histories, run

ROOT = Path(__file__).parents[2]
# all chance that ranks draw for themselves is left out; batches are odd, so that ranks get unequal parts
SURE = {
    "networks": {"dnn": {"hidden": [8], "dropout": 0}, "lstm": {"hidden": 3, "width": 8, "dropout": 0}},
    "input_noise": 0,
    "epochs": 3,
    "batch_pixels": 400,
}
TWO = Devices(accelerator="cpu", devices=2)


@pytest.fixture
def bare(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "RANK", "WORLD", "LOCAL_", "MASTER_")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture(scope="module")
def alone(region, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    return run(region, out, **SURE), histories(out)


def close(found, alone):
    """The same losses, and the same weights but for rounding."""
    for name, series in alone[1].items():
        for key in ("train", "validation", "learning_rate"):
            assert found[1][name][key] == pytest.approx(series[key], abs=1e-5)
        assert len(found[1][name]["train"]) == 3
        for key, value in alone[0].networks[name].state_dict().items():
            torch.testing.assert_close(found[0].networks[name].state_dict()[key], value, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one(region, tmp_path, alone, capfd):
    told = []
    bundle = run(region, tmp_path, lambda *step: told.append(step), TWO, **SURE)
    assert capfd.readouterr() == ("", "")
    close((bundle, histories(tmp_path)), alone)
    assert [step[1:] for step in told if step[0].startswith("dnn: loss")] == [(1, 3), (2, 3), (3, 3)]
    assert Bundle.load(str(tmp_path)).digest == bundle.digest
    assert not (tmp_path / "checkpoints").exists()


def started(launcher, arguments):
    """Return the two processes of a launcher, or the one that starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    program = ["-m", "tests.training.runs", *arguments]
    if launcher == "torchrun":
        torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
        commands = [([*torchrun, f"--master-port={port}", *program], {})]
    else:
        step = {"NTASKS": "2", "STEP_NUM_TASKS": "2", "STEP_NUM_NODES": "1", "NODELIST": "127.0.0.1", "JOB_ID": "77"}
        slurm = {f"SLURM_{name}": value for name, value in step.items()} | {"MASTER_PORT": port}
        commands = [(program, slurm | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank}) for rank in "01"]
    return [
        subprocess.Popen([sys.executable, *command], cwd=ROOT, env=os.environ | env, stderr=subprocess.PIPE, text=True)
        for command, env in commands
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "feeding"), [("torchrun", "memory"), ("slurm", "stream")])
def test_under_a_launcher_the_first_writes_and_all_return_the_same(bare, region, tmp_path, launcher, feeding):
    out, changes = tmp_path / "m", SURE | {"feeding": feeding}
    processes = started(launcher, [str(out), json.dumps(changes), str(tmp_path / "digest")])
    alone = run(region, tmp_path / "alone", **changes), histories(tmp_path / "alone")
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    bundle = Bundle.load(str(out))
    assert [(tmp_path / f"digest{rank}").read_text() for rank in (0, 1)] == [bundle.digest] * 2
    close((bundle, histories(out)), alone)


def test_one_process_of_an_allocation_is_alone(bare, region, tmp_path):
    for name, value in {"NTASKS": "4", "NTASKS_PER_NODE": "4", "PROCID": "0", "JOB_ID": "77", "NNODES": "2"}.items():
        bare.setenv(f"SLURM_{name}", value)
    run(region, tmp_path, networks={"dnn": {"hidden": [8]}}, epochs=1)
    assert len(histories(tmp_path)["dnn"]["train"]) == 1


def politely(tell):
    tell("x", 1, 2)
    raise InputError("got nothing")


def killed(tell):
    tell("x", 1, 2)
    if os.environ["RANK"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@pytest.mark.parametrize(("count", "work", "error", "says"), [
    (1, politely, InputError, "^got nothing$"),
    (2, killed, IncompleteError, "ended by SIGKILL .* the same command goes on"),
])  # fmt: skip
def test_a_rank_that_fails_is_one_line(count, work, error, says):
    told = []
    with pytest.raises(error, match=says):
        run_ranks(count, work, (), lambda *step: told.append(step))
    assert told == [("x", 1, 2)]


def test_the_environment_says_who_a_process_is(bare):
    assert world() == World()
    for name, value in {"NTASKS": 8, "PROCID": 0, "LOCALID": 0, "JOB_ID": 1}.items():
        bare.setenv(f"SLURM_{name}", str(value))
    assert world() == World(), "a batch script is no task of a step"
    for name, value in {"PROCID": 5, "LOCALID": 1, "STEP_NUM_TASKS": 8, "STEP_NUM_NODES": 2}.items():
        bare.setenv(f"SLURM_{name}", str(value))
    assert world() == World(5, 8, 1, 4, "slurm")
    bare.setenv("SLURM_STEP_NUM_NODES", "3")
    with pytest.raises(ConfigError, match="8 tasks on 3 nodes"):
        world()
    torchrun = {"RANK": 3, "WORLD_SIZE": 4, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "a"}
    bare.setenv("MASTER_PORT", "1")
    for name, value in torchrun.items():
        bare.setenv(name, str(value))
    assert world() == World(3, 4, 1, 2, "torchrun")
    place = Devices(accelerator="cpu", devices=7).resolve("32")
    assert (place.devices, place.num_nodes, place.first, place.must_launch) == (2, 2, False, False)


@pytest.mark.parametrize(
    ("devices", "precision", "says"),
    [
        (Devices(accelerator="cpu", num_nodes=2), "32", "num_nodes 2, but this is one process"),
        (Devices(accelerator="cpu"), "16-mixed", "needs a GPU"),
        pytest.param(
            Devices(accelerator="gpu"), "32", "PyTorch finds none",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(bare, devices, precision, says):
    with pytest.raises(ConfigError, match=says):
        devices.resolve(precision)
