from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from smdown.grid import Window
from smdown.inference.memory import Needs, task_bytes
from tests.inference.fakes import job

NEEDS = Needs(static=10, dynamic=4, members=3, radius=4)


def test_a_fresh_process_stays_below_its_plan(tmp_path):
    root = Path(__file__).parents[2]
    call = [sys.executable, str(Path(__file__).with_name("peak.py")), str(tmp_path), "3", "members"]
    ran = subprocess.run(call, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(root)})
    found = json.loads(ran.stdout)
    assert found["before"] <= found["peak"] < found["planned"]
    assert found["planned"] < 1.8 * found["peak"]  # a process that finds its kernels compiled needs less


def test_memory_follows_the_tile_and_not_the_extent(tmp_path):
    small, large = (job(tmp_path, cells=Window(0, n, 0, n), ratio=300, cells_per_tile=4) for n in (8, 400))
    assert task_bytes(small, NEEDS) == task_bytes(large, NEEDS)
    assert task_bytes(small, NEEDS) < task_bytes(dataclasses.replace(small, cells_per_tile=5), NEEDS)
    assert task_bytes(small, NEEDS) < task_bytes(dataclasses.replace(small, members_url="m"), NEEDS)
    assert task_bytes(small, NEEDS) < task_bytes(small, dataclasses.replace(NEEDS, radius=40))
    assert task_bytes(small, NEEDS) < 2 * 2**30
