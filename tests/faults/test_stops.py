"""Requests to end, from a terminal, a batch system, a closed line; and machines that are lost."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RUN = """
import sys
from smdown.errors import IncompleteError
from smdown.plan import Plan
from smdown.runtime import Profile, execute, open_client, open_progress
from smdown.runtime.clusters import ExistingCluster, LocalCluster
from smdown.stopping import stop_signals
from smdown.testing import TrialTask, run_trial

if __name__ == "__main__":
    folder, seconds, address = sys.argv[1:]
    tasks = tuple(TrialTask(f"t{i}", folder, seconds=float(seconds)) for i in range(60))
    place = ExistingCluster(address=address) if address else LocalCluster(workers=2, memory=2**30)
    with stop_signals() as came:
        try:
            with open_client(Profile(cluster=place)) as client:
                print("ready", flush=True)
                execute(Plan("trial", tasks, run_trial, 1), client, open_progress(quiet=True))
        except IncompleteError as error:
            print(error, flush=True)
            sys.exit(128 + came[0] if came else 1)
"""

SERVE = """
import time
from smdown.runtime import Profile, open_client
from smdown.runtime.clusters import LocalCluster

if __name__ == "__main__":
    with open_client(Profile(cluster=LocalCluster(workers=2, memory=2**30))) as client:
        client.wait_for_workers(2)
        print(client.scheduler.address, flush=True)
        time.sleep(600)
"""


def start(tmp_path, code, *args):
    script = tmp_path / f"script{len(code)}.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, str(script), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGHUP)],  # noqa: PLW1509
    )  # fmt: skip


def begun(work):
    return {p.name.removesuffix(".attempts") for p in work.glob("*.attempts")}


def finished(work):
    return {p.name for p in work.iterdir() if p.suffix != ".attempts"}


def wait_until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "status", "seconds"), [
    (signal.SIGTERM, 143, 0.4), (signal.SIGUSR1, 138, 0.4), (signal.SIGHUP, 129, 0.4), (signal.SIGINT, 130, 60),
])  # fmt: skip
def test_a_request_to_end_is_met_within_ten_seconds(tmp_path, number, status, seconds):
    """It goes to every process of the group, as a terminal and a batch system send it."""
    work = tmp_path / "work"
    work.mkdir()
    with start(tmp_path, RUN, str(work), str(seconds), "") as process:
        try:
            assert process.stdout.readline() == "ready\n"
            wait_until(lambda: len(begun(work)) >= 2)
            asked = time.monotonic()
            os.killpg(process.pid, number)
            out, err = process.communicate(timeout=60)
            took = time.monotonic() - asked
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status
    assert took < 10
    assert f"with {60 - len(finished(work))} of 60 tasks left; run the same command again to go on" in out
    assert "Traceback" not in err
    if seconds < 1:
        assert begun(work) == finished(work), "what was begun was finished"


def test_a_killed_client_takes_its_workers_with_it(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    with start(tmp_path, RUN, str(work), "0.2", "") as process:
        assert process.stdout.readline() == "ready\n"
        wait_until(lambda: len(begun(work)) >= 2)
        process.kill()
        process.communicate(timeout=30)
        wait_until(lambda: not alive(process.pid), 30)


def alive(group):
    """Return the processes of a group that run still."""
    found = subprocess.run(["ps", "-eo", "pgid=,stat=,pid="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in found.splitlines()]
    return [pid for pgid, stat, pid in rows if int(pgid) == group and not stat.startswith("Z")]


def test_a_lost_scheduler_ends_the_run_in_one_line(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    with start(tmp_path, SERVE) as server:
        address = server.stdout.readline().strip()
        with start(tmp_path, RUN, str(work), "0.2", address) as process:
            assert process.stdout.readline() == "ready\n"
            wait_until(lambda: len(finished(work)) >= 2)
            lost = time.monotonic()
            server.kill()
            try:
                out, err = process.communicate(timeout=100)
            finally:
                process.kill()
        server.communicate()
    assert process.returncode == 1, err[-2000:]
    assert time.monotonic() - lost < 40
    (line,) = out.splitlines()
    assert line.startswith(f"lost the scheduler at {address} in stage trial with ")
    assert line.endswith("of 60 tasks left; start one, then run the same command again to go on")
    assert err == ""
