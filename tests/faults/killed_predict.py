"""Kill what predicts, again and again: ``python killed_predict.py FOLDER kill CLIENTS WORKERS``.

One small cluster (two workers with their nannies) runs all the time. Clients are forked with everything imported and
join it, so that each dies while it works and not while it starts. After a client's death the same command is given
again; after a worker's death the run has to go on by itself. Each time the map's files must be those of an undisturbed
run, and no more tiles may have been begun twice than were in flight.
"""

import contextlib
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import dask
import numpy as np
from distributed.chaos import KillWorker

sys.path.insert(0, str(Path(__file__).parents[2]))

from smdown.inference import predict
from smdown.inference.job import PredictJob
from smdown.inference.outline import Outline
from smdown.plan import Plan
from smdown.runtime import Profile, execute, open_client, open_progress
from smdown.runtime.clusters import ExistingCluster, LocalCluster, SerialCluster
from tests.inference import fakes

SERIAL = Profile(cluster=SerialCluster())
QUIET = open_progress(quiet=True)
CELLS = fakes.Window(400, 405, 800, 804)
WINDOW = 4
"""Tiles in flight: two a thread, on two threads."""


@dataclass(frozen=True)
class LoggedTask:
    """A tile whose every beginning is put on record."""

    task: predict.PredictTask
    log: str
    seconds: float

    @property
    def key(self):
        return self.task.key


def run_logged(logged):
    """Predict a tile, and say beforehand that this process does."""
    line = f"{os.getpid()} {logged.key}\n".encode()
    log = os.open(logged.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, line)
    os.close(log)
    time.sleep(logged.seconds)
    return predict.predict_tile(logged.task, fakes.engine())


def job_in(folder) -> PredictJob:
    return fakes.job(Path(folder), CELLS, cells_per_tile=1, days=fakes.DAYS[:1])


def plan_in(folder, shuffle=None, seconds=0.02):
    """Return the plan of what is left, in any order; each tile takes so much longer than it would."""
    predict.outline_of = lambda job, _: Outline.of(job, fakes.engine())
    plan = predict.predict_plan(job_in(folder), "f1")
    tasks = [LoggedTask(task, f"{folder}.log", seconds) for task in plan.tasks]
    if shuffle is not None:
        np.random.default_rng(shuffle).shuffle(tasks)
    return Plan("predict", tuple(tasks), run_logged, 1, plan.done)


def run_here(folder, profile=SERIAL, shuffle=None):
    """Run what is left; return an exit status."""
    with open_client(profile) as client:
        outcome = execute(plan_in(folder, shuffle), client, QUIET, retries=5)
    return int(bool(outcome.failed))


class Mortal(KillWorker):
    """Every worker lives between 0.3 and 2 s, shorter than the run, and puts its end on record."""

    def __init__(self, mode, log):
        super().__init__(mode=mode)
        self.log = log

    async def setup(self, worker):
        self.worker = worker
        span = random.Random(os.getpid()).uniform(0.3, 2)  # those of one fork server would all draw the same
        worker.loop.asyncio_loop.call_later(span, self.die)

    def die(self):
        with Path(self.log).open("a") as log:
            log.write(f"{os.getpid()}\n")
        {"sys.exit": self.sys_exit, "graceful": self.graceful, "segfault": self.segfault}[self.mode]()


def run_in_chaos(folder, profile, mode):
    """Run while every worker lives for a second or two, the new ones too."""
    with open_client(profile) as client:
        client.register_plugin(Mortal(mode, f"{folder}.deaths"), name="chaos")
        try:
            outcome = execute(plan_in(folder, 0, seconds=0.3), client, QUIET, retries=50)
        finally:
            client.unregister_worker_plugin("chaos")
    return int(bool(outcome.failed))


def forked(function, *args):
    """Return the process that runs a function."""
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        status = function(*args)
    except BaseException as error:  # noqa: BLE001 - said on one line, then the end
        print(f"{function.__name__}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(status)


def status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def files(folder):
    """SHA-256 of every file of the maps, temporary ones of the living left out."""
    found = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def begun(folder):
    log = Path(f"{folder}.log")
    return log.read_text().splitlines() if log.exists() else []


def serve(pipe, workers):
    """Keep a cluster until the pipe closes; its workers start fast, from a process that has imported everything."""
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    from distributed.utils import get_mp_context

    get_mp_context().set_forkserver_preload(["distributed", "smdown.runtime", "tests.faults.warm"])
    with open_client(Profile(cluster=LocalCluster(workers=workers, memory=2**30))) as client:
        client.wait_for_workers(workers)
        pipe.send(client.scheduler.address)
        while not pipe.poll(None):
            pass
    return 0


def cluster(workers=2):
    """Start a cluster in a process of its own; return a profile that joins it, and what ends it."""
    ours, theirs = multiprocessing.Pipe()
    pid = os.fork()
    if not pid:
        os._exit(serve(theirs, workers))
    profile = Profile(cluster=ExistingCluster(address=ours.recv()))

    def end():
        ours.send("end")
        status(pid)

    return profile, end


def kill_clients(folder, profile, kills, rng, whole):
    """Kill clients at random points of their run, and let another take up each time."""
    span = _seconds(f"{folder}/span", profile)
    redone = dead = 0
    while dead < kills:
        place = f"{folder}/client{dead}"
        pid = forked(run_here, place, profile, dead)
        time.sleep(rng.uniform(0, span))
        os.kill(pid, signal.SIGKILL)
        if status(pid) != -signal.SIGKILL:
            continue  # it was done already
        assert status(forked(run_here, place, profile)) == 0
        redone = max(redone, _check(place, whole, WINDOW))
        dead += 1
    return redone


def kill_workers(folder, profile, kills, rng, whole):
    """Kill one worker of two at a random point of each run."""
    redone = 0
    for number in range(kills):
        place = f"{folder}/worker{number}"
        pid = forked(run_here, place, profile, number)
        wanted = int(rng.integers(1, 20))
        while len(lines := begun(place)) < wanted:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03))
        os.kill(int(lines[-1].split()[0]), signal.SIGKILL)
        assert status(pid) == 0
        assert status(forked(_swept, place)) == 0
        redone = max(redone, _check(place, whole, WINDOW))
    return redone


def _swept(place):
    assert plan_in(place).tasks == ()  # as a next start would, which removes temporary files
    return 0


def _check(place, whole, most):
    lines = begun(place)
    again = len(lines) - len({line.split()[1] for line in lines})
    assert again <= most, f"{again} tiles were begun twice"
    deadline = time.monotonic() + 20
    while files(place) != whole and time.monotonic() < deadline:
        time.sleep(0.05)  # a worker may still be writing what a dead client asked for
    assert files(place) == whole, "other bytes"
    return again


def _seconds(place, profile):
    start = time.perf_counter()
    assert status(forked(run_here, place, profile)) == 0
    return time.perf_counter() - start


def _run_whole(folder, names):
    code = run_here(folder)
    Path(names).write_text("\n".join(sys.modules))
    return code


def undisturbed(folder):
    """Run everything in a fork, and import here what that needed, so that later forks start at once."""
    assert status(forked(_run_whole, folder, f"{folder}.modules")) == 0
    for name in Path(f"{folder}.modules").read_text().splitlines():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return files(folder)


def compare_clusters(folder, whole):
    """One worker and two, tiles in any order: the same bytes."""
    for workers in (1, 2):
        profile, end = cluster(workers)
        try:
            assert status(forked(run_here, f"{folder}/workers{workers}", profile, workers)) == 0
            assert files(f"{folder}/workers{workers}") == whole
        finally:
            end()


def live_in_chaos(folder, whole):
    """Workers that end in every way that they can: the run completes, to the same bytes."""
    deaths = {}
    for mode in ("sys.exit", "graceful", "segfault"):
        profile, end = cluster()
        try:
            place = f"{folder}/{mode}"
            assert status(forked(run_in_chaos, place, profile, mode)) == 0
            assert status(forked(_swept, place)) == 0
            assert files(place) == whole
            deaths[mode] = len(Path(f"{place}.deaths").read_text().split())
        finally:
            end()
    return deaths


def kill(folder, whole, clients, workers):
    """Return how many tiles were begun twice at most, after the death of a client and of a worker."""
    profile, end = cluster()
    rng = np.random.default_rng(11)
    try:
        return kill_clients(folder, profile, clients, rng, whole), kill_workers(folder, profile, workers, rng, whole)
    finally:
        end()


def main(folder, what, *counts):
    """Do one of the things above; print what it found in JSON."""
    whole = undisturbed(f"{folder}/whole")
    functions = {"kill": kill, "chaos": live_in_chaos, "compare": compare_clusters}
    print(json.dumps(functions[what](folder, whole, *map(int, counts))))


if __name__ == "__main__":
    import tests.faults.killed_predict as module  # so that workers find what is sent to them by this name

    module.main(*sys.argv[1:])
