"""A project directory has one writer at a time, and one that was taken over ends."""

import signal
import time
from dataclasses import replace

import pytest

from smdown.cubes import lease as leases
from smdown.cubes import store
from smdown.cubes.lease import NAME, Owner
from smdown.errors import IncompleteError, ResourceError
from smdown.project.owning import Ownership, owning


class Writer:
    """Something that writes below a place."""

    def __init__(self, url):
        self.url, self.ownership = url, Ownership(url)

    @owning
    def write(self, inner=None):
        assert store.exists(store.join(self.url, NAME))
        return inner() if inner else "done"


def test_calls_within_calls_share_the_lease(tmp_path):
    writer, other = Writer(str(tmp_path)), Writer(str(tmp_path))
    assert writer.write(writer.write) == "done"
    with pytest.raises(ResourceError, match="another run is at work"):
        writer.write(other.write)
    assert other.write() == "done"
    assert list(tmp_path.iterdir()) == []


def test_in_memory_too():
    writer, other = Writer("memory://owned"), Writer("memory://owned")
    with pytest.raises(ResourceError, match="another run is at work"):
        writer.write(other.write)
    assert writer.write() == "done"


def test_a_run_that_was_taken_for_dead_stops_and_names_who_has_it_now(tmp_path, monkeypatch, request):
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with none
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    writer = Writer(str(tmp_path))

    def lose():
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            thief = replace(Owner.me(), machine="another", host="node7", pid=4242)
            store.put(str(tmp_path / NAME), thief.encode())
            time.sleep(0.1)

    with pytest.raises(IncompleteError, match=r"another run \(process 4242 on node7, .*\) took it over"):
        writer.write(lose)
    assert (tmp_path / NAME).exists(), "it stays with whoever has it"


def test_of_processes_that_train_together_the_first_holds_it(tmp_path, monkeypatch):
    environment = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Ownership(str(tmp_path)).held():
        assert list(tmp_path.iterdir()) == []
