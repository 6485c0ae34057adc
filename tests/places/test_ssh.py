"""Two hosts reached by SSH: a server of our own on two addresses of loopback."""

from __future__ import annotations

import socket
import sys

import pytest

from smdown.errors import ResourceError
from smdown.plan import Plan
from smdown.runtime import execute, load_profile, open_client, open_progress
from smdown.runtime.certificates import make_certificates
from smdown.testing import TrialTask, run_trial
from tests.places.hosts import ssh_hosts

QUIET = open_progress(quiet=True)


def profile_of(tmp_path, port, keys, tls=None):
    path = tmp_path / "ssh.yaml"
    path.write_text(
        f"cluster: {{kind: ssh, hosts: [127.0.0.1, 127.0.0.2], workers: 1, memory: 1GiB, port: {port}, user: me, "
        f"key: {keys}/user, known_hosts: {keys}/known_hosts, python: {sys.executable}, scratch: {tmp_path}}}\n"
        + (f"tls: {tls}\n" if tls else "")
    )
    return load_profile(path)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_tasks_run_on_both_hosts(tmp_path, encrypted):
    tls = make_certificates(tmp_path / "tls", 2) if encrypted else None
    work = tmp_path / "work"
    work.mkdir()
    tasks = tuple(TrialTask(f"t{i}", str(work), seconds=0.05) for i in range(12))
    with (
        ssh_hosts(tmp_path / "keys") as port,
        open_client(profile_of(tmp_path, port, tmp_path / "keys", tls)) as client,
    ):
        client.wait_for_workers(2)
        assert client.scheduler.address.startswith("tls://127." if encrypted else "tcp://127.")
        outcome = execute(Plan("trial", tasks, run_trial, 1), client, QUIET)
        info = client.scheduler_info(n_workers=-1)["workers"]
        assert {worker["memory_limit"] for worker in info.values()} == {2**30}
    assert outcome.failed == {}
    assert len(outcome.receipts) == 12


def test_a_host_that_does_not_answer_is_one_line(tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        (tmp_path / "known_hosts").write_text("")
        (tmp_path / "user").write_text("")
        profile = profile_of(tmp_path, nobody.getsockname()[1], tmp_path)
        with (
            pytest.raises(ResourceError, match=r"got no workers on 127\.0\.0\.1, 127\.0\.0\.2 ") as caught,
            open_client(profile),
        ):
            pass
    assert "\n" not in str(caught.value)


def test_other_machines_need_certificates(tmp_path):
    path = tmp_path / "ssh.yaml"
    path.write_text("cluster: {kind: ssh, hosts: [node1, node2], workers: 1, memory: 1GiB}\n")
    wanted = "kind ssh, whose workers are on other machines, without TLS"
    with pytest.raises(ResourceError, match=wanted), open_client(load_profile(path)):
        pass
