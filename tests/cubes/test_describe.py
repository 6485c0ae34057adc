"""``smdown info`` says what an artefact is, in the words and numbers that it really has."""

import io
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from smdown.cubes import append_times, create_cube
from smdown.describe import describe
from smdown.errors import CubeError
from smdown.networks.config import DNNConfig
from smdown.sources.table import write_table
from tests.cubes import example
from tests.inference.bundles import untrained


def words(path):
    console = Console(width=250, record=True, file=io.StringIO())
    for table in describe(path):
        console.print(table)
    return " ".join(console.export_text().split())


def test_a_cube(tmp_path):
    url = str(tmp_path / "cube.zarr")
    example.fill(create_cube(url, example.SPEC), only={(0, 1), (1, 1)})
    text = words(url)
    for part in (
        "cube on a nested grid", "an example", "ease2_m09, cells of rows 400 to 402, columns 1000 to 1004",
        "10 x 10 px a cell, 900.81 m a pixel", "(EPSG:6933)", "30 x 50 px, shards of 20 px, chunks of 10 px",
        "2 of 6 done", "2 days, 2020-01-01 to 2020-01-02, no gaps", "abc", "int16 x 0.0001", "m3 m-3", "0 to 0.9",
        "100% valid", "lon -86.6", "float32",
    ):  # fmt: skip
        assert part in text, part


def test_gaps_and_unwritten_days_show(tmp_path):
    url = str(tmp_path / "cube.zarr")
    example.fill(create_cube(url, example.SPEC))
    append_times(url, ["2020-01-05", "2020-01-06", "2020-01-09"])
    text = words(url)
    assert "5 days, 2020-01-01 to 2020-01-09, gaps: 2020-01-03 to 2020-01-04, 2020-01-07 to 2020-01-08" in text
    assert "0 of 6 done" in text
    assert "none written" in text


def test_stations(tmp_path):
    url = str(tmp_path / "stations.zarr")
    names = np.array(["A/one", "A/two", "B/three"], dtype=np.dtypes.StringDType())
    values = np.array([[0.1, 0.2], [np.nan, 0.3], [0.4, np.nan]], np.float32)
    table = xr.Dataset(
        {"sm": (("station", "time"), values, {"units": "m3 m-3"})},
        coords={
            "station": names, "network": ("station", np.array(["A", "A", "B"], dtype=np.dtypes.StringDType())),
            "latitude": ("station", [35.0, 35.5, 36.0]), "longitude": ("station", [-98.0, -97.0, -96.5]),
            "time": np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]"),
        },
    )  # fmt: skip
    write_table(url, table, "cafe", {"title": "some stations"})
    text = words(url)
    for part in ("3 (A 2, B 1)", "lon -98.0000 to -96.5000, lat 35.0000 to 36.0000", "cafe", "0.1 to 0.4", "67%"):
        assert part in text, part


def test_a_bundle(tmp_path):
    path = str(tmp_path / "bundle")
    drivers = {"elevation": ("m", 300.0, 50.0)}
    untrained({"dnn": DNNConfig(hidden=(8,))}, drivers, ["sm_surface"]).save(path)
    text = words(path)
    for part in (
        "model bundle", "sm_surface (m3 m-3, 0 to 0.9)", "1000 m", "hidden 8", "elevation │ m │ 300 │ 50",
        "0 for training, 0 for validation", "sm_surface 1.00",
    ):  # fmt: skip
        assert part in text, part


def test_nothing_is_one_line_and_status_2(tmp_path):
    with pytest.raises(CubeError, match="there is nothing"):
        describe(str(tmp_path / "absent"))
    (tmp_path / "some.txt").write_text("text")
    command = [sys.executable, "-m", "smdown.cli", "info", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
