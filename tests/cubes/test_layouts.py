"""Cubes that earlier versions wrote: read as they were meant, resumed, and otherwise refused in one line."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from smdown.cubes import append_times, open_cube, verify
from smdown.errors import CubeError
from smdown.grid import Window


@pytest.fixture
def first(tmp_path):
    """Layout 1: two days of 20 x 20 px in four tiles; one is all missing and left out, one not written yet."""
    url = str(tmp_path / "cube.zarr")
    zipfile.ZipFile(Path(__file__).with_name("layout_1.zip")).extractall(url)
    return url


def test_layout_1_reads_and_resumes(first):
    cube = open_cube(first)
    assert cube.done() == {(0, 0), (0, 1), (1, 0)}
    assert cube.spec.times == ("2020-01-01", "2020-01-02")
    rows, cols = np.mgrid[10:20, 0:10]
    np.testing.assert_allclose(cube.read("sm", Window(10, 20, 0, 10), 1), (rows * 20 + cols) / 1000 + 0.1, atol=1e-6)
    assert np.isnan(cube.read("sm", Window(0, 10, 0, 10))).all()
    cube.write("elevation", np.ones((10, 10)), Window(10, 20, 10, 20))
    cube.commit(1, 1)
    assert open_cube(first, complete=True).complete
    cube.finish()


def test_layout_1_is_neither_verified_nor_lengthened(first):
    assert [f.key for f in verify(first).faults] == ["receipts/manifest.json"]
    with pytest.raises(CubeError, match="earlier version of smdown; make it again"):
        append_times(first, ["2020-01-03"])


def test_a_layout_to_come_is_refused(first):
    root = Path(first) / "zarr.json"
    root.write_text(root.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(CubeError, match="layout 99 of a later version"):
        open_cube(first)
