"""Batch systems: what jobs say, and workers that come and go with their jobs."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import dask
import pytest

from smdown.errors import ConfigError, ResourceError
from smdown.plan import Plan
from smdown.runtime import batch, execute, load_profile, open_client, open_progress
from smdown.runtime.batch import lifetime, make_batch, walltime_text
from smdown.runtime.capacity import Capacity, capacity_at, capacity_of
from smdown.runtime.certificates import make_certificates
from smdown.runtime.clusters import parse_walltime
from smdown.runtime.settings import dask_config
from smdown.testing import TrialTask, run_trial
from tests.places.hosts import fake_slurm

PROFILES = Path(__file__).parents[2] / "cluster" / "profiles"
GOLDEN = Path(__file__).parent / "jobs"
QUIET = open_progress(quiet=True)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls") / "files", 2)


@pytest.mark.parametrize("name", ["slurm-cpu", "slurm-gpu", "pbs"])
def test_job_scripts_are_those_on_record(name, tls):
    profile = load_profile(PROFILES / f"{name}.yaml")
    cluster = profile.cluster.model_copy(update={"interface": "lo", "python": "python"})
    profile = profile.model_copy(update={"cluster": cluster, "tls": str(tls)})
    with dask.config.set(dask_config(profile)), make_batch(cluster, profile) as jobs:
        script = jobs.job_script().replace(str(tls), "TLS")
        assert jobs.scheduler_address.startswith("tls://127.0.0.1:")
        assert jobs.dashboard_link.startswith("http://127.0.0.1:"), "the dashboard stays on loopback"
    script = re.sub(r"tls://127\.0\.0\.1:\d+", "tls://SCHEDULER", script)
    assert script == (GOLDEN / f"{name}.sh").read_text()


def test_nothing_comes_from_the_users_own_jobqueue_settings(tls, monkeypatch):
    profile = load_profile(PROFILES / "slurm-cpu.yaml")
    profile = profile.model_copy(update={"tls": str(tls)})
    own = {"jobqueue.slurm.memory": "1GB", "jobqueue.slurm.cores": 2, "jobqueue.slurm.processes": 2}
    with dask.config.set(dask_config(profile) | own):
        options = batch.job_options(profile.cluster, profile)
    assert (options["cores"], options["processes"], options["memory"]) == (16, 16, f"{16 * 4 * 2**30}B")


def test_a_worker_leaves_in_good_order_before_its_job_ends():
    for walltime in (600, 3600, 4 * 3600, 72 * 3600):
        life, stagger = (int(text.removesuffix("s")) for text in lifetime(walltime)[1::2])
        assert life + stagger < walltime, "even the last one"
        assert life - stagger >= 0.7 * walltime, "and not long before"
        assert stagger > 0, "not all at once"


@pytest.mark.parametrize("text", ["00:10:00", "04:00:00", "100:00:00"])
def test_walltimes_are_read_as_they_are_written(text):
    assert walltime_text(parse_walltime(text)) == text


def test_what_a_batch_system_will_have():
    assert capacity_of(load_profile(PROFILES / "slurm-cpu.yaml")) == Capacity("slurm", 128, 1, 4 * 2**30)
    assert capacity_of(load_profile(PROFILES / "ssh.yaml")) == Capacity("ssh", 16, 1, 4 * 2**30)


def slurm_profile(path, tls, workers="2"):
    path.write_text(
        f'cluster: {{kind: slurm, workers: {workers}, memory: 1GiB, walltime: "00:10:00", interface: lo, '
        f"scratch: {path.parent}}}\ntls: {tls}\n"
    )
    return load_profile(path)


def test_jobs_that_end_are_replaced_and_their_tasks_done_again(tmp_path, tls, monkeypatch):
    """Workers live some seconds here; every one of them leaves at least once."""
    monkeypatch.setenv("PATH", f"{fake_slurm(tmp_path / 'slurm')}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(batch, "lifetime", lambda _: ["--lifetime", "6s", "--lifetime-stagger", "1s"])
    work = tmp_path / "work"
    work.mkdir()
    tasks = tuple(TrialTask(f"t{i:02}", str(work), seconds=0.5) for i in range(40))
    with open_client(slurm_profile(tmp_path / "slurm.yaml", tls)) as client:
        assert capacity_at(client).thread_bytes == 2**30, "as stated, before any job has started"
        outcome = execute(Plan("trial", tasks, run_trial, 1), client, QUIET)
    assert outcome.failed == {}
    assert {p.name for p in work.iterdir() if p.suffix != ".attempts"} == {task.key for task in tasks}
    jobs = list((tmp_path / "slurm").glob("job-*.pid"))
    assert len(jobs) > 2
    deadline = time.monotonic() + 20
    while any(_runs(int(job.read_text())) for job in jobs):
        assert time.monotonic() < deadline, "jobs are cancelled at the end"
        time.sleep(0.1)


def refusing_slurm(path, first):
    """Write an sbatch that takes only some of the jobs."""
    home = fake_slurm(path)
    (home / "sbatch").rename(home / "taking")
    (home / "sbatch").write_text(f"""#!/bin/bash
echo x >> "{path}/calls"
(( $(wc -l < "{path}/calls") {first} )) || {{ echo "invalid partition: nope" >&2; exit 1; }}
exec "{home}/taking" "$@"
""")
    (home / "sbatch").chmod(0o755)
    return f"{home}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("there", [True, False])
def test_a_batch_system_that_takes_no_job_says_why(tmp_path, tls, monkeypatch, there):
    path = refusing_slurm(tmp_path / "slurm", "< 0") if there else str(tmp_path)
    monkeypatch.setenv("PATH", path)
    profile = slurm_profile(tmp_path / "slurm.yaml", tls, "{minimum: 0, maximum: 2}")
    wanted = "got no job from the batch system slurm .*" + ("invalid partition: nope" if there else "sbatch")
    with pytest.raises(ResourceError, match=wanted), open_client(profile):
        pass


def test_a_job_that_is_refused_once_is_submitted_again(tmp_path, tls, monkeypatch):
    monkeypatch.setattr(batch, "_AGAIN_S", 1.0)
    monkeypatch.setenv("PATH", refusing_slurm(tmp_path / "slurm", "!= 2"))
    with open_client(slurm_profile(tmp_path / "slurm.yaml", tls)) as client:
        client.wait_for_workers(2, timeout=60)


def _runs(pid):
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_off_loopback_jobs_need_certificates(tmp_path):
    profile = load_profile(PROFILES / "slurm-cpu.yaml").model_copy(update={"tls": None})
    with pytest.raises(ResourceError, match="without TLS; make certificates"), open_client(profile):
        pass


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dask_jobqueue", None)
    profile = load_profile(PROFILES / "pbs.yaml").model_copy(update={"tls": None})
    with pytest.raises(ConfigError, match=r"smdown\[cluster\]"), open_client(profile, insecure=True):
        pass


def test_workers_are_spread_over_gpus_and_keep_theirs(tmp_path):
    path = tmp_path / "gpu.yaml"
    path.write_text("cluster: {kind: local, gpus: 2, workers: 4, memory: 512MiB}\n")
    profile = load_profile(path)
    assert capacity_of(profile) == Capacity("local", 4, 1, 512 * 2**20)
    with open_client(profile) as client:
        assert sorted(client.run(os.getenv, "CUDA_VISIBLE_DEVICES").values()) == ["0", "0", "1", "1"]
    path.write_text("cluster: {kind: local, gpus: auto}\n")
    with pytest.raises(ResourceError, match="PyTorch sees no GPU"), open_client(load_profile(path)):
        pass
