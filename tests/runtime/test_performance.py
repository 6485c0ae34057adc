"""Dask's page on a stage is kept where it is asked for, and never in the way of the work."""

import sys

import pytest

from smdown.errors import ConfigError
from smdown.plan import Plan
from smdown.runtime import Profile, execute, open_client
from smdown.runtime import performance as pages
from smdown.runtime.client import dashboard_link
from smdown.runtime.performance import check_performance_report, performance_report
from smdown.runtime.profile import LocalCluster, SerialCluster
from smdown.runtime.progress import PlainProgress
from smdown.testing import TrialTask, run_trial

PROFILE = Profile(cluster=LocalCluster(workers=1, memory=2**30))


@pytest.fixture(scope="module")
def client():
    pytest.importorskip("bokeh")
    with open_client(PROFILE, profiling=True) as client:
        yield client


def worker_profiles(dask_worker):
    import dask

    return dask.config.get("distributed.worker.profile.enabled")


def test_a_page_is_kept_with_the_results(client, tmp_path):
    said, page = [], tmp_path / "performance" / "trial.html"
    tasks = tuple(TrialTask(f"t{n}", str(tmp_path), seconds=0.05) for n in range(6))
    with performance_report(client, str(page), PlainProgress(said.append)):
        execute(Plan("trial", tasks, run_trial, 1), client, PlainProgress(said.append))
    text = page.read_text()
    assert "number of tasks: 6" in text
    assert said[-1] == f"performance report: {page}"
    assert set(client.run(worker_profiles).values()) == {True}


def test_without_it_workers_do_not_look_at_themselves():
    with open_client(PROFILE) as client:
        client.wait_for_workers(1, timeout=60)
        assert set(client.run(worker_profiles).values()) == {False}
        assert dashboard_link(PROFILE, client) is None
        asked = PROFILE.model_copy(update={"cluster": LocalCluster(dashboard=8787)})
        assert dashboard_link(asked, client).startswith("http://127.0.0.1:")


def test_a_page_that_cannot_be_made_is_said_and_the_work_is_done(client, tmp_path, monkeypatch):
    said = []

    def broken(*_):
        raise OSError("no bokeh on https://me:planted@scheduler")

    monkeypatch.setattr(pages, "put", broken)
    with performance_report(client, str(tmp_path / "x.html"), PlainProgress(said.append)):
        pass
    monkeypatch.setattr(pages, "_begin", broken)
    with performance_report(client, str(tmp_path / "x.html"), PlainProgress(said.append)):
        pass
    assert said == ["no performance report (no bokeh on https://***@scheduler)"] * 2


def test_work_that_is_broken_off_leaves_none(client, tmp_path):
    page = tmp_path / "x.html"
    with pytest.raises(KeyboardInterrupt), performance_report(client, str(page), PlainProgress(pytest.fail)):
        raise KeyboardInterrupt
    assert not page.exists()


def test_what_cannot_be_is_refused_beforehand(monkeypatch):
    with pytest.raises(ConfigError, match="serial, which has no workers"):
        check_performance_report(Profile(cluster=SerialCluster()))
    monkeypatch.setitem(sys.modules, "bokeh", None)
    monkeypatch.setattr(pages.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"bokeh is not installed; install smdown\[dashboard\]"):
        check_performance_report(PROFILE)
