"""The log for machines: every event a line, in order, at once, and without secrets."""

import io
import json

import pytest

from smdown.errors import ConfigError, IncompleteError
from smdown.plan import Plan, Receipt
from smdown.runtime import execute, open_progress
from smdown.runtime import jsonlog as logs
from smdown.runtime.jsonlog import JsonLog, open_log
from smdown.runtime.progress import Progress
from smdown.testing import TrialTask, run_trial

PLANTED = "planted/Secret+1"


def events(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def log():
    return JsonLog(io.StringIO(), pytest.fail)


def test_every_event_of_a_plan_is_a_line(log, tmp_path):
    tasks = (TrialTask("a", str(tmp_path)), TrialTask("b", str(tmp_path), refuses=True), TrialTask("c", str(tmp_path)))
    with log.run({"command": "smdown run x", "versions": {"smdown": "1"}, "place": {"kind": "serial"}}):
        execute(Plan("trial", tasks, run_trial, 7, done=2), None, Progress(log), retries=0)
    found = events(log._stream.getvalue())
    names = [e["event"] for e in found]
    assert names == [
        "run_started", "stage_started", "tile_done", "tile_failed", "tile_done", "stage_ended", "run_ended",
    ]  # fmt: skip
    _, began, first, failed, _, ended, last = found
    assert (began["stage"], began["tiles_total"], began["tiles_skipped"], began["bytes_planned"]) == ("trial", 5, 2, 7)
    assert (first["key"], first["pixels"]) == ("a", 10)
    assert first["seconds"] >= 0
    assert first["peak_bytes"] > 2**20
    assert failed["key"] == "b"
    assert "got b, which cannot be read" in failed["reason"]
    assert (ended["status"], ended["tiles_done"], ended["tiles_failed"], ended["pixels"]) == ("failed", 2, 1, 20)
    assert last["status"] == "finished"
    assert sorted(e["time"] for e in found) == [e["time"] for e in found]


def test_progress_comes_at_most_every_so_often(log, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(logs.time, "perf_counter", lambda: now[0])
    with Progress(log).stage("train", 1) as bar:
        for done in range(1, 41):
            now[0] += 1
            bar.update(done, 40, "dnn")
    found = [e for e in events(log._stream.getvalue()) if e["event"] == "stage_progress"]
    assert [e["tiles_done"] for e in found] == [10, 20, 30, 40]
    assert [e["eta_s"] for e in found] == [30, 20, 10, 0]


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "stopped"), (IncompleteError("1 of 3 tasks failed"), "failed"), (OSError("x"), "failed")],
)
def test_how_a_run_ended_is_said(log, error, status):
    with pytest.raises(type(error)), log.run({}):
        raise error
    assert events(log._stream.getvalue())[-1]["status"] == status


def test_no_secret_is_written(log, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
    hidden = (PLANTED, "hunter2-hunter2", "abcdef0123", "planted%2FSecret%2B1")
    progress = Progress(log)
    facts = {"command": f"smdown run x --set a={PLANTED}", "workdir": "s3://AKIA:hunter2-hunter2@bucket/x"}
    with log.run(facts), progress.stage(f"stage {PLANTED}", 2) as bar:
        bar.advance(Receipt(f"t {PLANTED}"))
        bar.fail("https://me:hunter2-hunter2@h/t", "got https://h/x?X-Amz-Signature=abcdef0123")
        bar.update(1, 2, "planted%2FSecret%2B1")
        progress.say("dashboard: http://me:hunter2-hunter2@h:8787/status")
    text = log._stream.getvalue()
    assert len(events(text)) == 7
    assert not [secret for secret in hidden if secret in text]


def test_lines_are_there_at_once_and_added_to_those_of_before(tmp_path):
    place = tmp_path / "log.jsonl"
    for number in range(2):
        with open_log(str(place)) as log:
            log.write("message", text=str(number))
            assert len(events(place.read_text())) == number + 1


def test_a_dash_is_the_standard_output(capsys):
    with open_log("-") as log:
        log.write("message", text="x")
    assert events(capsys.readouterr().out)[0]["text"] == "x"


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"got --log-json .*which cannot be written"), open_log(str(tmp_path)):
        pass


def test_a_log_that_takes_no_more_ends_and_the_work_goes_on():
    class Full(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    warned = []
    log = JsonLog(Full(), warned.append)
    with open_progress(quiet=True).stage("x", 1), log.run({}):
        log.said("more")
    assert warned == ["the log of --log-json ends here, it cannot be written (No space left on device)"]
