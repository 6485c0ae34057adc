"""A disk that fills up: one line, nothing cut short, and on it goes when there is space again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smdown.cubes import open_cube, verify

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RUN = """
import sys
from smdown.errors import IncompleteError
from smdown.runtime import Profile, execute, open_client
from smdown.runtime.clusters import LocalCluster, SerialCluster
from tests.faults.killed_predict import QUIET, plan_in

if __name__ == "__main__":
    folder, kind = sys.argv[1:]
    place = SerialCluster() if kind == "serial" else LocalCluster(workers=2, memory=2**30)
    with open_client(Profile(cluster=place)) as client:
        try:
            outcome = execute(plan_in(folder, seconds=0), client, QUIET)
        except IncompleteError as error:
            print(error)
            sys.exit(1)
    assert not outcome.failed
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"only root can mount a small disk ({mounted.stderr.strip()})")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def run(tmp_path, folder, kind):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    path = os.pathsep.join([str(Path(__file__).parents[2]), *(p or "." for p in sys.path)])
    return subprocess.run(
        [sys.executable, script, folder, kind], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path},
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["serial", "local"])
def test_a_full_disk_stops_the_run_in_one_line_and_cuts_nothing_short(tmp_path, small_disk, kind):
    assert run(tmp_path, tmp_path / "whole", kind).returncode == 0
    ballast = small_disk / "ballast"
    whole = sum(p.stat().st_blocks * 512 for p in (tmp_path / "whole").rglob("*"))
    ballast.write_bytes(b"x" * (2**20 - min(whole * 3 // 5, 2**20 - 4096)))
    folder = small_disk / "maps"
    found = run(tmp_path, folder, kind)
    assert found.returncode == 1, found.stderr[-2000:]
    assert found.stderr == ""
    (line,) = found.stdout.splitlines()
    assert "No space left on device" in line
    assert line.endswith("of 20 tasks left; free some space, then run the same command again to go on")
    assert not list(folder.rglob("*.partial"))
    mosaic = str(folder / "mosaic.zarr")
    assert verify(mosaic, partial=True).faults == ()
    done = len(open_cube(mosaic).done())
    assert 0 < done < 20
    assert f"with {20 - done} of 20 tasks left" in line
    ballast.unlink()
    assert run(tmp_path, folder, kind).returncode == 0
    contents = [
        {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}
        for place in (tmp_path / "whole", folder)
    ]
    assert contents[0] == contents[1]
