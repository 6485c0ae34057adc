"""A tile's evaluation stays below what its plan states, also where windows are larger than the tile."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smdown.evaluation import EvaluateJob, task_bytes
from smdown.evaluation.summary import _PROCESS_BYTES
from smdown.grid import EASE2_M09, NestedGrid, Window


@pytest.mark.parametrize("shape", ["3 3 300", "2 1 300"])
def test_a_fresh_process_stays_below_its_plan(tmp_path, shape):
    root = Path(__file__).parents[2]
    call = [sys.executable, str(Path(__file__).with_name("peak.py")), str(tmp_path), *shape.split()]
    ran = subprocess.run(call, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(root)})
    found = json.loads(ran.stdout)
    assert found["peak"] < found["planned"]
    if found["before"]:  # the kernel lets a process begin its peak anew
        assert found["before"] < _PROCESS_BYTES
        assert found["peak"] - found["before"] < found["planned"] - _PROCESS_BYTES


def test_memory_follows_the_tile_and_its_windows_and_not_the_extent():
    def job(cells, side):
        return EvaluateJob("", NestedGrid(EASE2_M09, Window(0, cells, 0, cells), 300), (), (), side, "")

    assert task_bytes(job(8, 4), 3) == task_bytes(job(400, 4), 3)
    assert task_bytes(job(8, 4), 3) < task_bytes(job(8, 5), 3)
    assert task_bytes(job(8, 1), 3) > task_bytes(job(1, 1), 3)  # a map of one cell has windows of one
    assert task_bytes(dataclasses.replace(job(8, 4)), 6) > task_bytes(job(8, 4), 3)
