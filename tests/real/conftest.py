"""The folder of real data; tests skip where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyproj import Transformer

from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.sources import IngestContext

REPOSITORY = Path(__file__).parents[2]


def pytest_collection_modifyitems(items):
    """Mark everything below this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder named by SMDOWN_REAL_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("SMDOWN_REAL_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "smap_9km").is_dir():
        pytest.skip(f"no real data in {folder}; set SMDOWN_REAL_DATA to a folder that has smap_9km, yanco, ismn, ...")
    return folder


@pytest.fixture
def place(tmp_path):
    """Return a function that makes a context of the cells around a place or of given cells."""

    def make(cells=None, lonlat=None, size=1, start="2020-01-01", end="2020-01-31", lattice=EASE2_M09):
        if cells is None:
            x, y = Transformer.from_crs("EPSG:4326", lattice.crs, always_xy=True).transform(*lonlat)
            row, col = int((lattice.y0 - y) // lattice.cell), int((x - lattice.x0) // lattice.cell)
            cells = Window(row, row + 1, col, col + 1).expand(size)
        return IngestContext(nested=NestedGrid(lattice, cells, 1), start=start, end=end, out=str(tmp_path / "out"))

    return make
