"""The job scripts of cluster/: their language, and what they do, on loopback."""

from __future__ import annotations

import re
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

from smdown.runtime.certificates import make_certificates
from smdown.runtime.profile import Profile
from smdown.runtime.settings import exported
from smdown.twin import make_twin
from tests.pipeline import write_project
from tests.places.batch import stand_ins

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
JOBS = sorted([*CLUSTER.glob("slurm/*"), *CLUSTER.glob("pbs/*")])
SHELLCHECK = Path(sysconfig.get_path("scripts")) / "shellcheck"  # found whether or not the environment is activated
SLURM, PBS = CLUSTER / "slurm" / "predict.sbatch", CLUSTER / "pbs" / "predict.pbs"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("region") / "inputs"
    make_twin(folder, (1, 1), 31, 1, 0, truth_every=10)
    return folder


def job(script, *args, environment):
    return subprocess.run(
        ["bash", str(script), *map(str, args)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("path", [*JOBS, CLUSTER / "allocation.sh"], ids=lambda p: p.name)
def test_scripts_are_sound(path):
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    found = subprocess.run([SHELLCHECK, "-x", path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    if path in JOBS:
        assert "\nset -euo pipefail\n" in path.read_text()


def test_workers_that_are_started_by_hand_get_what_profiles_give():
    lines = (CLUSTER / "worker.env").read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines if not line.startswith("#")) == exported(Profile())


@pytest.mark.parametrize(("script", "nodes"), [(SLURM, 2), (PBS, 1)], ids=["slurm-tls", "pbs"])
def test_a_job_starts_scheduler_and_workers_and_runs(script, nodes, tmp_path, inputs):
    """On two nodes with certificates, on one without; nothing is left behind."""
    project = write_project(tmp_path / "project.yaml", inputs)
    environment = stand_ins(tmp_path / "home", nodes=nodes)
    if nodes > 1:
        environment["SMDOWN_TLS_DIR"] = str(make_certificates(tmp_path / "tls"))
    options = ["--workdir", tmp_path / "work"]
    if script == PBS:
        environment |= {"SMDOWN_PROJECT": str(project), "SMDOWN_OPTIONS": " ".join(map(str, options))}
        done = job(script, environment=environment)
    else:
        done = job(script, project, *options, environment=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "sources" / "smap.zarr").exists()
    said = (tmp_path / "home" / "workers").read_text()
    assert ("tls://127." if nodes > 1 else "tcp://127.0.0.1:") in said
    assert "--nthreads 1" in said
    assert f"--memory-limit {2000 * 2**20 * 9 // 10 if script == SLURM else '3800MB'} " in said
    log = (tmp_path / "home" / "workers.log").read_text()
    assert len(re.findall(r"Registered to: +" + ("tls" if nodes > 1 else "tcp"), log)) == 2
    assert not list((tmp_path / "home").glob("smdown.*"))
    assert not (tmp_path / "home" / "scontrol").exists()


@pytest.mark.parametrize("script", [SLURM, PBS], ids=["slurm", "pbs"])
def test_a_job_on_several_nodes_without_certificates_is_refused(script, tmp_path):
    environment = stand_ins(tmp_path / "home", nodes=2, real=False) | {"SMDOWN_PROJECT": "a.yaml"}
    done = job(script, "a.yaml", environment=environment)
    assert done.returncode == 2
    assert "got 2 nodes without TLS; run smdown cluster certs" in done.stderr
    done = job(script, "a.yaml", environment=environment | {"SMDOWN_TLS_DIR": str(tmp_path)})
    assert done.returncode == 2
    assert "which has no ca.pem" in done.stderr
    assert not (tmp_path / "home" / "workers").exists()


def started(home, script, environment, *args):
    running = subprocess.Popen(
        ["bash", str(script), *args], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not (home / "started").exists():
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.05)
    return running


@pytest.mark.parametrize(("restarts", "requeued"), [("0", True), ("100", False)])
def test_a_job_whose_time_is_over_ends_the_run_and_queues_again(restarts, requeued, tmp_path):
    home = tmp_path / "home"
    environment = stand_ins(home, real=False) | {"SLURM_RESTART_COUNT": restarts}
    running = started(home, SLURM, environment, "a.yaml", "--set", "a.b=c d")
    running.send_signal(signal.SIGUSR1)
    assert running.wait(20) == 138
    assert (home / "scontrol").exists() is requeued
    if requeued:
        assert (home / "scontrol").read_text() == "requeue 17\n"
    profile = CLUSTER / "profiles" / "existing.yaml"
    assert (home / "smdown").read_text() == f"run a.yaml --set a.b=c d --cluster {profile}\n"


def test_a_job_that_is_cancelled_or_fails_does_not_queue_again(tmp_path):
    home = tmp_path / "home"
    environment = stand_ins(home, real=False) | {"SLURM_RESTART_COUNT": "1"}
    running = started(home, SLURM, environment, "a.yaml")
    running.terminate()
    assert running.wait(20) == 143
    (home / "status").write_text("1")
    assert job(SLURM, "a.yaml", environment=environment).returncode == 1
    assert not (home / "scontrol").exists()


def test_a_job_that_queued_again_waits_for_the_hold_of_the_one_that_was_killed(tmp_path):
    home = tmp_path / "home"
    environment = stand_ins(home, real=False) | {"SMDOWN_LEASE_SECONDS": "0.1"}
    (home / "status").write_text("2")
    assert job(SLURM, "a.yaml", environment=environment).returncode == 2, "a mistake of the user's is told at once"
    (home / "status").write_text("2")
    running = started(home, SLURM, environment | {"SLURM_RESTART_COUNT": "1"}, "a.yaml")
    running.terminate()
    assert running.wait(20) == 143
    assert (home / "smdown").read_text().count("run a.yaml") == 3


def test_a_pbs_job_ends_the_run_by_itself_and_submits_itself(tmp_path):
    home = tmp_path / "home"
    environment = stand_ins(home, real=False) | {"SMDOWN_PROJECT": "a.yaml", "SMDOWN_SECONDS": "1"}
    assert job(PBS, environment=environment).returncode == 138
    assert (home / "scontrol").read_text().startswith("-v SMDOWN_PROJECT,SMDOWN_OPTIONS,SMDOWN_TLS_DIR,PATH ")
