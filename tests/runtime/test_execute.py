"""The loop that runs plans: the same result anywhere, and no trouble of one task stops the others."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from distributed import get_worker

from smdown.errors import IncompleteError, ResourceError
from smdown.plan import Plan, Receipt
from smdown.runtime import Profile, StoppedError, execute, local, open_client, open_progress
from smdown.runtime import client as clients
from smdown.runtime.clusters import ExistingCluster, LocalCluster, SerialCluster
from smdown.runtime.profile import ALLOCATOR
from smdown.runtime.progress import PlainProgress
from smdown.testing import TrialTask, run_trial
from smdown.testing.tasks import attempts

GIB = 2**30
QUIET = open_progress(quiet=True)


@pytest.fixture(scope="module")
def cluster():
    profile = Profile(cluster=LocalCluster(workers=2, threads=1, memory=GIB), retries=1)
    with open_client(profile) as client:
        yield client


@pytest.fixture(params=["serial", "cluster"])
def client(request):
    return None if request.param == "serial" else request.getfixturevalue("cluster")


def plan_of(tasks, task_bytes=1, done=0):
    return Plan("trial", tasks, run_trial, task_bytes, done)


def content(folder):
    return {p.name: p.read_text() for p in folder.iterdir() if p.suffix != ".attempts"}


class Interrupting(PlainProgress):
    """Progress that presses Ctrl-C when `after` tasks have been counted."""

    def __init__(self, after):
        super().__init__(lambda _: None)
        self.after, self.calls = after, 0

    @contextmanager
    def stage(self, name, total, done=0, bytes_planned=0):
        with super().stage(name, total, done, bytes_planned) as bar:
            advance = bar.advance

            def count(receipt):
                advance(receipt)
                self.calls += 1
                if self.calls == self.after:
                    raise KeyboardInterrupt

            bar.advance = count
            yield bar


def test_every_task_runs_once_and_leaves_its_receipt(client, tmp_path):
    tasks = tuple(TrialTask(f"t{i:02}", str(tmp_path)) for i in range(30))
    outcome = execute(plan_of(tasks, done=5), client, QUIET)
    assert content(tmp_path) == {t.key: f"content of {t.key}" for t in tasks}
    assert sorted(r.key for r in outcome.receipts) == [t.key for t in tasks]
    assert {attempts(t) for t in tasks} == {1}
    assert (outcome.total, outcome.skipped, outcome.pixels, outcome.failed) == (35, 5, 300, {})
    assert all(r.peak_bytes > 2**20 and r.seconds > 0 for r in outcome.receipts)
    entry = outcome.as_json()
    assert entry["tiles_done"] == 30
    assert entry["bytes_peak"] == max(r.peak_bytes for r in outcome.receipts)
    assert entry["mpx_s"] == pytest.approx(300 / 1e6 / outcome.seconds, abs=1e-4)


def test_a_plan_with_nothing_left_is_done(client):
    assert execute(plan_of((), done=7), client, QUIET).total == 7


def test_a_failed_task_is_tried_again_and_then_recorded_while_the_rest_is_finished(client, tmp_path):
    folder = str(tmp_path)
    good, twice, thrice = (TrialTask(f"f{n}", folder, fails=n) for n in (0, 2, 3))
    refused = TrialTask("refused", folder, refuses=True)
    said = []
    outcome = execute(plan_of((thrice, refused, twice, good)), client, PlainProgress(said.append), retries=2)
    assert set(content(tmp_path)) == {"f0", "f2"}
    assert [attempts(t) for t in (good, twice, thrice)] == [1, 3, 3]
    assert outcome.failed["f3"] == "OSError: attempt 3 of f3 met [a bad sector]"
    assert attempts(refused) == 1, "what is wrong with the input stays wrong"
    assert outcome.failed["refused"] == "got refused, which cannot be read; mend it"
    assert outcome.as_json()["tiles_failed"] == 2
    assert "trial: failed f3: OSError: attempt 3 of f3 met [a bad sector]" in said
    assert said[-1].startswith("trial: 2/4 in ")


def test_an_interrupted_plan_says_what_is_left_and_goes_on_where_it_stopped(client, tmp_path):
    tasks = tuple(TrialTask(f"t{i:02}", str(tmp_path), seconds=0.02) for i in range(20))
    with pytest.raises(IncompleteError) as caught:
        execute(plan_of(tasks), client, Interrupting(after=3))
    finished = content(tmp_path)
    assert 3 <= len(finished) <= 3 + 4
    assert sum(attempts(t) for t in tasks) == len(finished), "what was begun was finished"
    assert f"with {20 - len(finished)} of 20 tasks left; run the same command again" in str(caught.value)
    rest = tuple(t for t in tasks if t.key not in finished)
    execute(plan_of(rest, done=len(finished)), client, QUIET)
    assert {attempts(t) for t in tasks} == {1}


def test_a_killed_worker_costs_only_what_it_was_doing(cluster, tmp_path):
    tasks = tuple(TrialTask(f"t{i}", str(tmp_path), deaths=int(i == 4), seconds=0.02) for i in range(20))
    outcome = execute(plan_of(tasks), cluster, QUIET)
    assert outcome.failed == {}
    assert set(content(tmp_path)) == {t.key for t in tasks}
    assert attempts(tasks[4]) == 2
    assert sum(attempts(t) for t in tasks) <= 20 + 2


def test_a_task_that_kills_every_worker_is_recorded_and_the_rest_is_finished(cluster, tmp_path):
    tasks = tuple(TrialTask(f"t{i}", str(tmp_path), deaths=99 * (i == 3), seconds=0.02) for i in range(8))
    outcome = execute(plan_of(tasks), cluster, QUIET)
    assert list(outcome.failed) == ["t3"]
    assert outcome.failed["t3"].startswith("its worker died 3 times, the last time with no other task beside it")
    assert outcome.failed["t3"].endswith("it needs more memory than a worker has of 1.00 GiB")
    assert attempts(tasks[3]) == 3, "as often as the profile's retries allow, and once alone"
    assert set(content(tmp_path)) == {t.key for t in tasks} - {"t3"}


def test_a_task_that_takes_too_much_memory_is_to_blame_and_nobody_else(cluster, tmp_path):
    cluster.wait_for_workers(2, timeout=60)
    tasks = [TrialTask(f"t{i:02}", str(tmp_path), seconds=0.05) for i in range(12)]
    tasks[2] = TrialTask("hoarder", str(tmp_path), seconds=30, hoards=3 * GIB // 2)
    outcome = execute(plan_of(tuple(tasks)), cluster, QUIET, retries=2)
    assert list(outcome.failed) == ["hoarder"]
    assert "most likely it needs more memory than a worker has of 1.00 GiB" in outcome.failed["hoarder"]
    assert len(outcome.receipts) == 11
    assert attempts(tasks[2]) == 4
    assert outcome.workers_lost


def where(task):
    time.sleep(0.05)
    return Receipt(task.key, notes=(get_worker().address,))


def test_tasks_bound_to_a_worker_stay_with_it_while_others_are_idle(cluster, tmp_path):
    bound = sorted(cluster.scheduler_info(n_workers=-1)["workers"])[:1]
    tasks = tuple(TrialTask(f"t{n:02}", str(tmp_path)) for n in range(40))
    outcome = execute(Plan("trial", tasks, where, 1), cluster, QUIET, workers=bound)
    assert set(outcome.notes) == set(bound), "a measurement of one worker is of that one"
    assert len(outcome.receipts) == 40


def settled():
    """Return the environment once no worker of an earlier test is being started again."""
    deadline = time.monotonic() + 60
    while local._Tidy._starting and time.monotonic() < deadline:
        time.sleep(0.05)
    return dict(os.environ)


def test_the_environment_of_workers_is_not_left_to_this_process(tmp_path):
    before = settled()
    profile = Profile(cluster=LocalCluster(workers=2), environment={"OF_WORKERS": "abc"})
    with open_client(profile) as client:
        assert "OF_WORKERS" not in os.environ
        assert "NUMBA_NUM_THREADS" not in os.environ or "NUMBA_NUM_THREADS" in before
        task = TrialTask("kills", str(tmp_path), deaths=1)
        assert execute(plan_of([task]), client, QUIET).receipts
        assert set(client.run(os.getenv, "OF_WORKERS").values()) == {"abc"}, "that of a worker that was replaced, too"
    own = {"__DASK_PARENT_PID", "PYTEST_CURRENT_TEST"}
    assert {k: v for k, v in settled().items() if k not in own} == {k: v for k, v in before.items() if k not in own}


def test_a_full_disk_ends_the_plan_instead_of_failing_each_task(client, tmp_path):
    tasks = [TrialTask(f"t{i:02}", str(tmp_path), seconds=0.02) for i in range(40)]
    tasks[5] = TrialTask("t05", str(tmp_path), full=True)
    with pytest.raises(
        StoppedError, match=r"No space left on device: 't05'\) .* free some space, then run the"
    ) as caught:
        execute(plan_of(tuple(tasks)), client, QUIET, retries=2)
    done = content(tmp_path)
    assert 5 <= len(done) <= 5 + 4
    assert len(caught.value.outcome.receipts) == len(done)
    assert caught.value.outcome.failed == {}
    assert attempts(tasks[5]) == 1, "a second attempt would find it full too"
    assert f"with {40 - len(done)} of 40 tasks left" in str(caught.value)


class Counted(list):
    """Tasks that tell how many of them have been taken."""

    taken = 0

    def __iter__(self):
        for task in super().__iter__():
            self.taken += 1
            yield task


def test_work_in_flight_is_bounded(cluster, tmp_path):
    cluster.wait_for_workers(2, timeout=60)
    tasks = Counted(TrialTask(f"t{i}", str(tmp_path)) for i in range(60))
    ahead = []

    class Watching(Interrupting):
        @contextmanager
        def stage(self, name, total, done=0, bytes_planned=0):
            with super().stage(name, total, done, bytes_planned) as bar:
                count = bar.advance
                bar.advance = lambda receipt: (count(receipt), ahead.append(tasks.taken - len(ahead)))
                yield bar

    execute(plan_of(tasks), cluster, Watching(after=-1))
    assert len(ahead) == 60
    assert max(ahead) <= 4, "two a thread, on two threads"


def test_too_little_memory_is_refused_with_both_numbers(cluster, tmp_path):
    cluster.wait_for_workers(2, timeout=60)
    task = TrialTask("t", str(tmp_path))
    with pytest.raises(
        ResourceError, match=r"needs 4\.00 GiB a task, a worker thread has 1\.00 GiB; give workers more"
    ):
        execute(plan_of((task,), task_bytes=4 * GIB), cluster, QUIET)
    assert attempts(task) == 0
    assert execute(plan_of((task,), task_bytes=GIB), cluster, QUIET).failed == {}


def test_workers_have_the_allocator_and_one_thread_a_library(cluster):
    cluster.wait_for_workers(2, timeout=60)
    for environment in cluster.run(lambda: dict(os.environ)).values():
        assert environment["OMP_NUM_THREADS"] == environment["NUMBA_NUM_THREADS"] == "1"
        assert {name: environment[name] for name in ALLOCATOR} == ALLOCATOR


def test_a_running_scheduler_can_be_joined(cluster, tmp_path):
    with open_client(Profile(cluster=ExistingCluster(address=cluster.scheduler.address))) as joined:
        task = TrialTask("t", str(tmp_path))
        assert len(execute(plan_of((task,)), joined, QUIET).receipts) == 1


NOWHERE = Profile(cluster=ExistingCluster(address="tcp://127.0.0.1:9"))


def failing(reason):
    async def connect(*_, **__):
        raise reason

    return connect


@pytest.mark.parametrize("reason", [OSError("refused"), TimeoutError("late"), ValueError("unknown protocol 'ftp'")])
def test_an_unreachable_scheduler_is_one_line(monkeypatch, reason):
    monkeypatch.setattr(clients, "connect", failing(reason))
    with pytest.raises(ResourceError, match=r"no answer from the scheduler at tcp://127\.0\.0\.1:9 .*start it"):
        clients.open_client(NOWHERE).__enter__()


def test_an_answer_in_another_protocol_is_one_line(monkeypatch):
    monkeypatch.setattr(clients, "connect", failing(MemoryError("3 EiB, as eight letters of a web page say")))
    with pytest.raises(ResourceError, match=r"an answer from tcp://127\.0\.0\.1:9 that is no Dask scheduler's"):
        clients.open_client(NOWHERE).__enter__()


def test_what_takes_a_connection_and_is_silent_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(clients, "PATIENCE_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        profile = Profile(cluster=ExistingCluster(address=f"tcp://127.0.0.1:{server.getsockname()[1]}"))
        with pytest.raises(ResourceError, match=r"got no answer .*\(silent for 1 s\); start it"):
            clients.open_client(profile).__enter__()


def test_serial_needs_no_cluster():
    with open_client(Profile(cluster=SerialCluster())) as client:
        assert client is None


_SCRIPT = """
import signal
import sys
from smdown.errors import IncompleteError
from smdown.plan import Plan, Receipt
from smdown.runtime import Profile, execute, open_client, open_progress
from smdown.runtime.clusters import LocalCluster
from smdown.testing import TrialTask, run_trial

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    tasks = tuple(TrialTask(f"t{i}", sys.argv[1], seconds=0.5) for i in range(40))
    with open_client(Profile(cluster=LocalCluster(workers=2, memory=2**30))) as client:
        print("ready", flush=True)
        try:
            execute(Plan("trial", tasks, run_trial, 1), client, open_progress(quiet=True))
        except IncompleteError as error:
            print(error)
"""


def test_ctrl_c_on_a_terminal_finishes_what_is_in_flight(tmp_path):
    """A terminal sends the signal to every process of the group, workers too."""
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    work = tmp_path / "work"
    work.mkdir()
    with subprocess.Popen(
        [sys.executable, str(script), str(work)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 90
        while len(content(work)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        try:
            out, err = process.communicate(timeout=90)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    finished, begun = content(work), list(work.glob("*.attempts"))
    assert len(finished) == len(begun)
    assert f"with {40 - len(finished)} of 40 tasks left" in out
    assert "Traceback" not in err


def test_reasons_of_failures_hold_no_secrets(client, tmp_path, monkeypatch):
    def refuse(task):
        raise OSError("got s3://AKIA:hidden-word@bucket/x and planted-with-the-client, which broke")

    monkeypatch.setenv("SOME_SECRET", "planted-with-the-client")
    outcome = execute(Plan("trial", (TrialTask("a", str(tmp_path)),), refuse, 1), client, QUIET)
    assert outcome.failed == {"a": "OSError: got s3://***@bucket/x and ***, which broke"}
