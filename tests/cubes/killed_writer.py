"""Kill writers of one cube again and again: ``python killed_writer.py FOLDER KILLS``.

Each is forked with everything imported, so that it dies while it writes and not while it starts. It creates the cube,
fills it, appends two days and fills them. After each death another process looks at what is left.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from smdown.cubes import append_times, create_cube, open_cube, verify
from smdown.errors import CubeError
from tests.cubes import example

LATER = ("2020-01-03", "2020-01-05")


def write(url):
    """Do the whole work, or what is left of it."""
    try:
        cube = open_cube(url)
    except CubeError:
        cube = create_cube(url, example.SPEC, resume=True)
    example.fill(cube, batch=0)
    cube = append_times(url, LATER)
    example.fill(cube, batch=1)


def look(url):
    """Fail unless the cube is absent, half created, or right wherever it says that it is finished."""
    try:
        cube = open_cube(url)
    except CubeError as error:
        if "there is no cube" in str(error) or "not a finished cube" in str(error):
            return
        raise
    assert cube.spec.times in (example.DAYS, example.DAYS + LATER)
    verdict = verify(url, partial=True)
    assert verdict.faults == (), verdict.lines
    for batch in range(len(cube.batches)):
        done = cube.done(batch)
        for place, window in example.tiles():
            if place in done:
                example.check_values(cube, place, window, {batch})


def forked(function, url):
    """Return the process that runs a function."""
    pid = os.fork()
    if pid:
        return pid
    try:
        function(url)
    except BaseException as error:  # noqa: BLE001 - said on one line, then the end
        print(f"{function.__name__}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def first_days(url):
    """Write the cube without the days that are appended."""
    example.fill(create_cube(url, example.SPEC))


def seconds(function, url):
    start = time.perf_counter()
    assert status(forked(function, url)) == 0
    return time.perf_counter() - start


def main(folder, kills):
    """Kill every other writer in the whole work, the others once the first days are written."""
    assert status(forked(write, f"{folder}/whole")) == 0
    whole, first = seconds(write, f"{folder}/warm"), seconds(first_days, f"{folder}/first")
    later = max(whole - first, whole / 4)  # on a busy machine either may have taken longer than it should
    rng = np.random.default_rng(7)
    dead = number = 0
    while dead < kills:
        url = f"{folder}/{number}"
        number += 1
        if dead % 2:
            shutil.copytree(f"{folder}/first", url)
        delay = rng.uniform(0, later if dead % 2 else whole)
        pid = forked(write, url)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        dead += status(pid) == -signal.SIGKILL
        assert status(forked(look, url)) == 0
        assert status(forked(write, url)) == 0
    print(dead, number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
