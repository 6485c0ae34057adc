"""One writer at a time: on disk, in memory and in a bucket (a real S3 server on loopback)."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from itertools import pairwise

import pytest

from smdown.cubes import lease as leases
from smdown.cubes import store
from smdown.cubes.lease import NAME, STALE_S, Lease, Owner
from smdown.cubes.swap import swap
from smdown.errors import ResourceError


@pytest.fixture(params=["file", "memory", "s3"])
def url(request, tmp_path):
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/work"
    return str(tmp_path / "work") if request.param == "file" else f"memory://{uuid.uuid4()}/work"


def leave(url, **changes):
    """Leave the lease of somebody."""
    owner = replace(Owner.me(), **changes)
    store.put(store.join(url, NAME), owner.encode())
    return owner


ELSEWHERE = {"machine": "another", "host": "node7", "pid": 4242}


def test_a_swap_succeeds_only_on_what_was_seen(url):
    place = store.join(url, "object")
    assert not swap(place, b"old", b"new")
    assert not swap(place, b"old", None)
    assert swap(place, None, b"first")
    assert not swap(place, None, b"second")
    assert not swap(place, b"old", b"new")
    assert store.get(place) == b"first"
    assert swap(place, b"first", b"second")
    assert store.get(place) == b"second"
    assert not swap(place, b"first", None)
    assert swap(place, b"second", None)
    assert store.sizes(url) == {}


def test_whoever_comes_second_hears_of_the_first(url):
    with Lease(url):
        mine = Owner.decode(store.get(store.join(url, NAME)))
        with pytest.raises(ResourceError, match=rf"another run is at work \(process {os.getpid()} on .*, since 20"):
            Lease(url).take()
        assert Owner.decode(store.get(store.join(url, NAME))) == mine
    assert not store.exists(store.join(url, NAME))
    with Lease(url):
        pass


def test_a_dead_process_of_this_machine_holds_nothing(url):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    leave(url, pid=dead.pid)
    with Lease(url):
        pass
    leave(url, born=1)  # the number was used again
    with Lease(url):
        pass


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert leases.born(child.pid) > leases.born(os.getpid()) > 0
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert leases.born(child.pid) is None
    child.wait()
    assert leases.born(child.pid) is None


def test_a_lease_from_elsewhere_is_free_when_it_has_not_been_renewed_for_long(url):
    leave(url, **ELSEWHERE, seen=time.time() - STALE_S + 30)
    with pytest.raises(ResourceError, match=r"process 4242 on node7.* 180 s after its last sign of life \(or remove"):
        Lease(url).take()
    leave(url, **ELSEWHERE, seen=time.time() - STALE_S - 30)
    with Lease(url):
        assert json.loads(store.get(store.join(url, NAME)))["pid"] == os.getpid()


def test_a_lease_that_cannot_be_read_is_somebodys(url):
    store.put(store.join(url, NAME), b'{"token":')
    with pytest.raises(ResourceError, match=r"unreadable.*or remove .*lease\.json"):
        Lease(url).take()


def test_a_lease_is_renewed_and_its_loss_is_noticed(url, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    lost = threading.Event()
    with Lease(url, lost.set) as held:
        first = Owner.decode(store.get(store.join(url, NAME)))
        deadline = time.monotonic() + 20
        while Owner.decode(store.get(store.join(url, NAME))).seen == first.seen and time.monotonic() < deadline:
            time.sleep(0.02)
        assert Owner.decode(store.get(store.join(url, NAME))).token == first.token
        store.delete(store.join(url, NAME))  # by hand: this process lives, and takes it again
        while not store.exists(store.join(url, NAME)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not lost.is_set()
        thief = leave(url, **ELSEWHERE)
        while not lost.wait(0.02) and time.monotonic() < deadline:  # a renewal may have been under way
            thief = leave(url, **ELSEWHERE)
        assert lost.is_set()
        assert held.lost_to.pid == thief.pid
    assert Owner.decode(store.get(store.join(url, NAME))).pid == thief.pid, "it stays with whoever has it"


_RACER = """
import sys, time
from smdown.cubes.lease import Lease
from smdown.errors import ResourceError
url, start = sys.argv[1], float(sys.argv[2])
store_is_warm = __import__("smdown.cubes.store").cubes.store.exists(url)
time.sleep(max(0, start - time.time()))
for _ in range(int(sys.argv[3])):
    try:
        with Lease(url):
            print("in", time.monotonic(), flush=True)
            time.sleep(0.02)
            print("out", time.monotonic(), flush=True)
    except ResourceError:
        time.sleep(0.005)
"""


@pytest.mark.parametrize("left", ["nothing", "a dead lease"])
def test_of_several_processes_one_at_a_time_is_inside(url, left):
    if url.startswith("memory"):
        pytest.skip("memory is of one process")
    if left == "a dead lease":
        leave(url, pid=2**22 + 1)
    start = str(time.time() + 2.5)
    racers = [
        subprocess.Popen([sys.executable, "-c", _RACER, url, start, "8"], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    spans = []
    for racer in racers:
        out = racer.communicate(timeout=120)[0].split()
        assert racer.returncode == 0
        times = list(map(float, out[1::2]))
        spans += zip(times[::2], times[1::2], strict=True)
    spans.sort()
    assert len(spans) >= 3
    for (_, end), (begin, _) in pairwise(spans):
        assert end <= begin, "two at once"
    assert not store.exists(store.join(url, NAME))


def test_a_stopped_process_keeps_its_lease(tmp_path):
    """It is alive: whatever it was doing, it will go on."""
    code = "import sys, time; from smdown.cubes.lease import Lease\n"
    code += "with Lease(sys.argv[1]): print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        os.kill(other.pid, signal.SIGSTOP)
        owner = Owner.decode(store.get(str(tmp_path / NAME)))
        store.put(str(tmp_path / NAME), replace(owner, seen=0.0).encode())
        with pytest.raises(ResourceError, match=f"process {other.pid}"):
            Lease(str(tmp_path)).take()
        other.kill()
        other.wait()
        with Lease(str(tmp_path)):
            pass


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot be written .*check its rights"):
        Lease(str(tmp_path / "file")).take()
