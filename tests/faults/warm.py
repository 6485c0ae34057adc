"""Imported by the process that workers are forked from: they start with everything compiled."""

import tempfile

from tests.faults.killed_predict import run_here

with tempfile.TemporaryDirectory() as folder:
    run_here(folder)
