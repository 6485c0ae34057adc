"""The folder of real data; tests skip where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
