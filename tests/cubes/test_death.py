"""Writers that die: no cube is left that reads wrongly, and a resumed one ends in the bytes of an undisturbed one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cubes import example


@pytest.mark.slow
def test_25_killed_writers_leave_no_cube_that_reads_wrongly(tmp_path):
    script = Path(__file__).with_name("killed_writer.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, "25"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    dead, rounds = map(int, done.stdout.split())
    assert dead == 25
    whole = example.contents(str(tmp_path / "whole"))
    for number in range(rounds):
        assert example.contents(str(tmp_path / str(number))) == whole
