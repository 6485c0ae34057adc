"""A command's events and records, from its first line to its last, hold everything but secrets."""

import json

import pytest

from tests.pipeline import make_inputs, smdown, write_project

PLANTED = "planted/Secret+1"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watching")
    return write_project(folder / "project.yaml", make_inputs(folder / "inputs"))


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def test_an_ingest_is_logged_and_recorded(project, tmp_path):
    work, log = tmp_path / "work", tmp_path / "log.jsonl"
    code, out, err = smdown("ingest", project, "--workdir", work, "--cluster", "serial", "--log-json", log)
    assert code == 0, err
    assert "Stages" in out
    found = events(log.read_text())
    names = [event["event"] for event in found]
    assert names[:2] == ["run_started", "stage_started"]
    assert found[-1] | {"event": "run_ended", "status": "finished"} == found[-1]
    assert {"smdown", "python", "zarr"} <= set(found[0]["versions"])
    assert found[0]["place"] == {"kind": "serial"}
    tiles = [event["key"] for event in found if event["event"] == "tile_done"]
    record = json.loads((work / "run.json").read_text())
    assert len(tiles) == len(set(tiles)) == record["stages"]["ingest"]["tiles_total"]
    assert (record["state"], record["stages"]["ingest"]["state"]) == ("finished", "finished")
    before = (work / "run.json").read_bytes()
    code, out, err = smdown("ingest", project, "--workdir", work, "--cluster", "serial", "--log-json", "-")
    assert code == 0, err
    assert [event["event"] for event in events(out)][-1] == "run_ended", "tables go elsewhere"
    assert "Stages" in err
    assert (work / "run.json").read_bytes() == before, "there was nothing to do"


def test_secrets_appear_nowhere(project, tmp_path, monkeypatch):
    """Neither that of an address that fails, nor one of the environment that somebody wrote into the command."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
    work, log = tmp_path / "work", tmp_path / "log.jsonl"
    code, out, err = smdown(
        "ingest", project, "--workdir", work, "--cluster", "serial", "--log-json", log,
        "--set", "sources.dem.path=http://me:hidden-word@127.0.0.1:9/dem.tif",
        "--set", f"sources.soil.path={tmp_path}/{PLANTED}/soil.tif",
    )  # fmt: skip
    assert code in (1, 2)
    found = events(log.read_text())
    assert (found[-1]["event"], found[-1]["status"]) == ("run_ended", "failed")
    assert "http://***@127.0.0.1:9/dem.tif" in found[0]["command"]
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    for secret in ("hidden-word", PLANTED):
        assert secret not in kept + out + err


def test_a_report_of_no_workers_is_refused(project, tmp_path):
    code, _, err = smdown(
        "ingest", project, "--workdir", tmp_path / "work", "--cluster", "serial", "--performance-report"
    )
    assert code == 2
    assert "which has no workers" in err
    assert err.count("\n") == 1
