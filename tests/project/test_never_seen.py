"""Which stations of an evaluation count as never seen: those that training did not name."""

from types import SimpleNamespace

import pytest

from smdown.project import jobs
from smdown.training.card import SplitCard

NAMES = ["A/1", "A/2", "A/3", "B/new"]


def never_seen(monkeypatch, stations_url="stations.zarr", **splits):
    card = SimpleNamespace(splits=SplitCard(training_cells=(), validation_cells=(), **splits))
    monkeypatch.setattr(jobs, "read_card", lambda _: card)
    monkeypatch.setattr(jobs, "load_stations", lambda *_: SimpleNamespace(names=NAMES))
    return jobs._never_seen(SimpleNamespace(stations_url=stations_url, bundle_url="models/x"))


def test_training_without_stations_saw_none(monkeypatch):
    assert never_seen(monkeypatch) is None
    assert never_seen(monkeypatch, stations_url=None) is None


@pytest.mark.parametrize("held_out", [(), ("A/3",)])
def test_only_those_of_training_were_seen(monkeypatch, held_out):
    found = never_seen(
        monkeypatch, training_stations=("A/1",), validation_stations=("A/2",), held_out_stations=held_out
    )
    assert found == ("A/3", "B/new")
