"""One region and period for all tests of sources."""

from __future__ import annotations

import pytest

from smdown.grid import EASE2_M09, NestedGrid
from smdown.sources import IngestContext
from tests.sources.fabricate import CELLS


@pytest.fixture
def context(tmp_path):
    """A region of 3 x 4 cells of EASE-Grid 2.0 M09 in Texas, four days in April."""
    return IngestContext(
        nested=NestedGrid(EASE2_M09, CELLS, 300), start="2020-04-01", end="2020-04-04", out=str(tmp_path / "out")
    )


@pytest.fixture
def lonlat(context):
    return context.lonlat
