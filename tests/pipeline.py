"""A very small project on a synthetic region, shared by tests of the whole."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import yaml

from smdown import cli
from smdown.demo import project_of
from smdown.twin import make_twin

CELLS, DAYS, STATIONS = (2, 2), 45, 10
QUICK = {"epochs": 2, "pixels_per_epoch": 4000, "max_days": 8, "block_cells": 1}


def make_inputs(folder: Path) -> Path:
    """Write the region's input files."""
    make_twin(folder, CELLS, DAYS, STATIONS, 0, truth_every=10)
    return folder


def write_project(path: Path, inputs: Path, **changes: Any) -> Path:
    """Write a project file for the region: little training, one mapped day."""
    project = project_of(inputs)
    project["training"] = project["training"] | QUICK
    project["prediction"] = project["prediction"] | {"days": project["prediction"]["days"][-1:], "cells_per_tile": 1}
    project["evaluation"] = project["evaluation"] | {"sensitivity": False}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(project | changes))
    return path


def smdown(*args: object) -> tuple[int, str, str]:
    """Run a command in this process; return exit status, output and errors."""
    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["smdown", *(str(a) for a in args)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                cli.main()
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
    finally:
        sys.argv = argv
    return code, out.getvalue(), err.getvalue()
