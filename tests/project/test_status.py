"""A run says where it stands while it goes on, and whoever asks from elsewhere is told."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from rich.console import Console

from smdown import runlog
from smdown.cubes import store
from smdown.cubes.lease import NAME, Lease, Owner
from smdown.errors import BundleError, ConfigError
from smdown.plan import Plan, Receipt
from smdown.runlog import RunLog, watched
from smdown.runtime import StoppedError, execute
from smdown.runtime.progress import Progress
from smdown.status import read_status, status_parts
from smdown.testing import TrialTask, run_trial
from tests.pipeline import smdown

ORDER = ("ingest", "predict", "evaluate")


def record(workdir):
    return json.loads(store.get(store.join(str(workdir), "run.json")))


def shown(status, width=80):
    console = Console(record=True, width=width, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    for part in status_parts(status):
        console.print(part)
    return console.export_text()


def outcome_of(stage, tmp_path, progress, **task):
    tasks = tuple(TrialTask(f"{stage}{n}", str(tmp_path), **(task if n == 0 else {})) for n in range(4))
    return execute(Plan(stage, tasks, run_trial, 2**20), None, progress, retries=0)


@pytest.fixture(params=["folder", "memory"])
def workdir(request, tmp_path, monkeypatch):
    monkeypatch.setattr(runlog, "EVERY_S", 0.0)
    monkeypatch.setattr(runlog, "EVERY_FAR_S", 0.0)
    return str(tmp_path / "work") if request.param == "folder" else f"memory://status/{tmp_path.name}"


def test_a_run_is_seen_while_it_goes_on_and_after(workdir, tmp_path):
    progress = Progress()
    with Lease(workdir) as lease:
        log = RunLog(workdir, "demo", "smdown run x --set a=s3://k:planted@b", ORDER, lease)
        with watched(progress, log):
            log.add("ingest", outcome_of("ingest", tmp_path, progress))
            with progress.stage("predict", 8, 2, bytes_planned=2**30) as bar:
                bar.advance(Receipt("a", pixels=10**6, peak_bytes=2**29))
                bar.fail("b", "got s3://k:planted@b/x, which broke")
                status = read_status(workdir)
            log.add("predict", outcome_of("predict", tmp_path, progress))
            log.add("evaluate", outcome_of("evaluate", tmp_path, progress))
    assert (status.state, status.name) == ("running", "demo")
    assert f"process {os.getpid()} on " in status.holder
    assert status.seen_s < 60
    assert [s.state for s in status.stages] == ["finished", "running", "waiting"]
    now = status.stages[1]
    assert (now.total, now.done, now.failed, now.pixels) == (8, 3, 1, 10**6)
    assert (now.bytes_peak, now.bytes_planned) == (2**29, 2**30)
    assert now.eta_s == pytest.approx(now.seconds / 2 * 4, abs=0.2)
    assert now.reasons == {"b": "got s3://***@b/x, which broke"}
    assert "planted" not in json.dumps(record(workdir)) + shown(status) + json.dumps(status.as_json())
    after = read_status(workdir)
    assert (after.state, after.holder, after.seen_s) == ("finished", "", None)
    assert [s.state for s in after.stages] == ["finished"] * 3
    assert record(workdir)["now"] is None


@pytest.mark.parametrize(
    ("error", "state"), [(StoppedError("stopped in stage predict", None), "stopped"), (OSError("it broke"), "failed")]
)
def test_how_it_ended_is_kept(workdir, tmp_path, error, state):
    progress = Progress()
    log = RunLog(workdir, "demo", "smdown", ORDER)

    def work():
        with watched(progress, log), progress.stage("predict", 8) as bar:
            bar.advance(Receipt("a"))
            raise error

    with pytest.raises(type(error)):
        work()
    status = read_status(workdir)
    assert (status.state, status.reason) == (state, str(error))
    assert [(s.name, s.state, s.done) for s in status.stages] == [
        ("ingest", "waiting", 0), ("predict", state, 1), ("evaluate", "waiting", 0),
    ]  # fmt: skip
    assert progress._watchers == []


def test_a_stage_that_ends_before_its_first_task_is_named(workdir, tmp_path):
    log = RunLog(workdir, "demo", "smdown", ("predict",))
    log.add("evaluate", outcome_of("evaluate", tmp_path, Progress()))
    log.add("predict", outcome_of("predict", tmp_path, Progress()))
    again = RunLog(workdir, "demo", "smdown", ("predict",))

    def work():
        with watched(Progress(), again):
            again.begin("predict")
            raise BundleError("the bundle is missing")

    with pytest.raises(BundleError):
        work()
    assert [(s.name, s.state) for s in read_status(workdir).stages] == [("predict", "failed"), ("evaluate", "finished")]


def test_failed_tiles_and_their_reasons_are_told(workdir, tmp_path):
    log = RunLog(workdir, "demo", "smdown", ORDER)
    outcome = outcome_of("ingest", tmp_path, Progress(), refuses=True)
    log.add("ingest", outcome)
    stage = read_status(workdir).stages[0]
    assert (stage.state, stage.total, stage.done, stage.failed) == ("failed", 4, 3, 1)
    assert stage.reasons == {"ingest0": "got ingest0, which cannot be read; mend it"}
    assert "failed ingest ingest0: got ingest0" in shown(read_status(workdir))


def test_a_run_that_finds_all_done_leaves_the_record_of_whoever_did_it(workdir, tmp_path):
    progress = Progress()
    log = RunLog(workdir, "demo", "first", ORDER)
    with watched(progress, log):
        log.add("ingest", outcome_of("ingest", tmp_path, progress))
    before = store.get(store.join(workdir, "run.json"))
    again = RunLog(workdir, "demo", "second", ORDER)
    with watched(progress, again):
        again.add("ingest", execute(Plan("ingest", (), run_trial, 1, done=4), None, progress))
    assert store.get(store.join(workdir, "run.json")) == before
    store.put(store.join(workdir, "run.json"), before.replace(b'"finished"', b'"running"', 1))
    third = RunLog(workdir, "demo", "third", ORDER)
    with watched(progress, third):
        pass
    assert record(workdir)["state"] == "finished", "what a killed run left open is closed"


_SCRIPT = """
import os, signal, sys
from smdown.cubes.lease import Lease
from smdown.plan import Receipt
from smdown.runlog import RunLog, watched
from smdown.runtime.progress import Progress

progress = Progress()
lease = Lease(sys.argv[1])
lease.take()
with watched(progress, RunLog(sys.argv[1], "demo", "smdown run", ("ingest", "predict"), lease)):
    with progress.stage("predict", 5) as bar:
        print("ready", flush=True)
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_from_another_process_a_run_is_seen_and_then_its_death(tmp_path):
    work = str(tmp_path / "work")
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        living = read_status(work)
        process.stdin.close()
        process.wait(timeout=60)
    assert (living.state, living.stages[1].state) == ("running", "running")
    assert f"process {process.pid} on " in living.holder
    dead = read_status(work)
    assert (dead.state, dead.holder) == ("died", "")
    assert [s.state for s in dead.stages] == ["waiting", "died"]
    assert "its process is gone and did not say why" in shown(dead).replace("\n", " ")
    code, out, _ = smdown("status", work)
    assert code == 0
    assert "died" in out


def test_a_run_elsewhere_died_when_it_has_long_been_silent(tmp_path):
    work = str(tmp_path)
    owner = replace(Owner.me(), machine="another", host="node7", pid=4242)
    state = {"state": "running", "owner": {"token": owner.token}, "order": ["ingest"]}
    (tmp_path / "run.json").write_text(json.dumps(state))
    for silent, expected in ((100, "running"), (1000, "died")):
        (tmp_path / NAME).write_bytes(replace(owner, seen=time.time() - silent).encode())
        assert read_status(work).state == expected
    other = replace(Owner.me(), token="other")
    (tmp_path / NAME).write_bytes(other.encode())
    taken = read_status(work)
    assert taken.state == "died"
    assert "the directory is now held by process" in shown(taken)


def test_records_of_before_there_were_states_are_read(tmp_path):
    stage = {"seconds": 3.0, "pixels": 10, "mpx_s": 0.1, "bytes_planned": 5, "bytes_peak": 6, "tiles_total": 4,
             "tiles_done": 1, "tiles_skipped": 3, "tiles_failed": 0, "failed": {}}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps({"name": "old", "stages": {"ingest": stage}}))
    status = read_status(str(tmp_path))
    assert (status.state, status.stages[0].state, status.stages[0].done) == ("finished", "finished", 4)


def test_it_is_printed_within_eighty_columns_and_as_json(tmp_path):
    big = {"seconds": 90_000.0, "pixels": 10**13, "mpx_s": 1234.56, "bytes_planned": 16 * 2**30,
           "bytes_peak": 12 * 2**30, "tiles_total": 178_068, "tiles_done": 178_000, "tiles_skipped": 0,
           "tiles_failed": 68, "failed": {f"t{n}": "OSError: it broke" for n in range(68)}}  # fmt: skip
    data = {"name": "demo", "state": "failed", "reason": "68 tiles failed", "stages": {"features": big}}
    (tmp_path / "run.json").write_text(json.dumps(data))
    text = shown(read_status(str(tmp_path)))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "178000/178068" in text
    assert "12.00/16.00" in text
    assert "and 63 more of features" in text
    code, out, _ = smdown("status", tmp_path, "--json")
    assert code == 0
    assert json.loads(out)["stages"][0]["failed"] == 68


def test_a_folder_without_a_run_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="which holds no run"):
        read_status(str(tmp_path))
    code, _, err = smdown("status", tmp_path / "nowhere")
    assert code == 2
    assert err.count("\n") == 1
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        read_status(str(tmp_path))


def test_a_record_that_is_another_s_now_is_left_alone(tmp_path):
    work, progress = str(tmp_path), Progress()
    with Lease(work) as lease:
        with watched(progress, RunLog(work, "demo", "mine", ORDER, lease)):
            lease.lost_to = replace(Owner.me(), host="node7")
            (tmp_path / "run.json").write_text("another's")
            with progress.stage("predict", 4):
                pass
        assert (tmp_path / "run.json").read_text() == "another's"


@pytest.mark.parametrize(("work", "every"), [("folder", 5), ("memory://status/often", 15)])
def test_the_record_is_written_every_few_seconds_at_most(tmp_path, monkeypatch, work, every):
    now, written = [0.0], []
    monkeypatch.setattr(runlog.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(runlog, "put", lambda url, data: written.append((now[0], json.loads(data))))
    progress = Progress()
    url = str(tmp_path) if work == "folder" else work
    with watched(progress, RunLog(url, "demo", "smdown", ORDER)), progress.stage("predict", 60) as bar:
        for n in range(60):
            now[0] += 1
            bar.advance(Receipt(str(n)))
    assert [when for when, _ in written] == [*range(0, 61, every), 60]
    assert written[-1][1]["state"] == "finished"
    assert [data["now"]["tiles_done"] for _, data in written[1:-1]] == list(range(every, 61, every))


def test_a_record_that_cannot_be_written_for_a_while_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(runlog, "EVERY_S", 0.0)
    real, progress = runlog.put, Progress()

    def broken(*_):
        raise TimeoutError("the line is down")

    with watched(progress, RunLog(str(tmp_path), "demo", "smdown", ORDER)):
        monkeypatch.setattr(runlog, "put", broken)
        with progress.stage("predict", 2) as bar:
            bar.advance(Receipt("a"))
        monkeypatch.setattr(runlog, "put", real)
    assert record(tmp_path)["state"] == "finished"


@pytest.mark.parametrize("text", [
    "[1]", '"x"', '{"now": 3}', '{"now": {"stage": "predict"}}', '{"stages": {"predict": {}}}', '{"order": 4}',
    '{"state": "running", "owner": "x"}', "{cut",
])  # fmt: skip
def test_a_record_of_another_shape_is_one_line(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ConfigError, match=r"run\.json, which is damaged \(.*\); remove it"):
        read_status(str(tmp_path))


def test_a_place_that_cannot_be_read_is_one_line_without_its_secrets(monkeypatch):
    def refuse(url):
        raise RuntimeError(f"no bucket of the name\n{url}")

    monkeypatch.setattr("smdown.status.reading.read_json", refuse)
    with pytest.raises(ConfigError, match="which cannot be read") as caught:
        read_status("s3://k:planted@b/x")
    assert "planted" not in str(caught.value)
    assert "\n" not in str(caught.value)
