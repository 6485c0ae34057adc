"""Predictions whose clients and workers die: the same bytes as undisturbed, and little done twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(600)]


def deadly(folder, what, *counts):
    """Run the script that kills; return what it found."""
    script = Path(__file__).with_name("killed_predict.py")
    command = [sys.executable, script, folder, what, *map(str, counts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=560, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert "distributed" not in done.stderr, "what workers suffer is not the user's to read"
    return json.loads(done.stdout)


def test_40_kills_leave_the_bytes_of_an_undisturbed_run(tmp_path):
    by_client, by_worker = deadly(tmp_path, "kill", 20, 20)
    assert by_client <= 4
    assert by_worker <= 4


def test_one_worker_or_two_and_any_order_of_tiles_leave_the_same_bytes(tmp_path):
    deadly(tmp_path, "compare")


def test_workers_that_end_in_any_way_again_and_again(tmp_path):
    deaths = deadly(tmp_path, "chaos")
    assert set(deaths) == {"sys.exit", "graceful", "segfault"}
    assert all(count > 0 for count in deaths.values()), deaths
