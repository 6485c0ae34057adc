"""Files of every format cut at 18 places: set aside in one line, or read as they were where no needed byte is lost."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from smdown.sources.config import CellListConfig, IsmnConfig, StationLayer, StationsCsvConfig
from smdown.sources.quality import read_quality
from tests.sources import kinds
from tests.sources.damage import ASIDE, EQUAL, cut, damaged, read_apart, undamaged, verdicts
from tests.sources.fabricate import ingest
from tests.sources.formats import FORMATS

CUTS = 18
TOTAL = CUTS + 2


def cuts(size: int) -> list[int]:
    """18 lengths from 0 to one byte less than the whole, most of them even, some near the end."""
    near = [size - back for back in (1, 2, 4, 16, 64)]
    return [*np.linspace(0, 0.97 * size, CUTS - len(near)).astype(int).tolist(), *near]


def assert_one_line(error: str) -> None:
    assert error.startswith("source source: got "), error
    assert "\n" not in error


@pytest.mark.parametrize("name", FORMATS)
def test_cut_among_others(name, tmp_path):
    """The first and the last file are whole; each of the others is cut at another place."""
    home, paths, _ = undamaged(name, TOTAL)
    spoil = {n: cut(cuts((home / "in" / paths[n]).stat().st_size)[n - 1]) for n in range(1, CUTS + 1)}
    folder = damaged(name, tmp_path, TOTAL, spoil)
    found = verdicts(name, TOTAL, read_apart(name, folder), spoil)
    assert set(found.values()) <= {ASIDE, EQUAL}, found
    assert found[1] == ASIDE
    assert sum(v == ASIDE for v in found.values()) >= CUTS - 4, found
    assert_one_line(read_apart(name, folder, strict=True).error)


@pytest.mark.parametrize("name", FORMATS)
def test_cut_alone(name, tmp_path):
    """A source of one file that is cut is an error of one line, and leaves nothing."""
    home, (path, *_), _ = undamaged(name, 1)
    size = (home / "in" / path).stat().st_size
    for length in (0, size * 2 // 5, size * 9 // 10):
        folder = damaged(name, tmp_path / str(length), 1, {0: cut(length)})
        assert_one_line(read_apart(name, folder).error)


ZIPPED = {
    "cell_list": lambda path: CellListConfig(path=path, variables={"sm": "soil_moisture"}),
    "ismn values": lambda path: IsmnConfig(path=path, layers={"sm": StationLayer(depth=(0, 0.06))}),
    "ismn ceop": lambda path: IsmnConfig(path=path, layers={"sm": StationLayer(depth=(0, 0.06))}),
    "stations_csv": lambda path: StationsCsvConfig(
        path=path, variables={"sm": "sm"}, station_pattern=r"net_(\w+)_data"
    ),
}


@pytest.mark.parametrize("name", ZIPPED)
def test_cut_archive(name, tmp_path):
    """Archives cut anywhere lose their table of contents: each is set aside, and the whole one is read."""
    loose = [FORMATS[name].write(tmp_path / "loose", n) for n in range(2)]
    folder = tmp_path / "in"
    folder.mkdir()
    whole = folder / "a.zip"
    for path, archive in zip(loose, (whole, tmp_path / "b.zip"), strict=True):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(path, path.name)
    context = kinds.context(tmp_path / "out")
    _, url = ingest(ZIPPED[name](str(folder)), context)
    wanted = xr.open_zarr(url, chunks=None).load()
    content = (tmp_path / "b.zip").read_bytes()
    for n, length in enumerate(cuts(len(content))):
        (folder / f"b{n:02d}.zip").write_bytes(content[:length])
    receipt, url = ingest(ZIPPED[name](str(folder)), context)
    assert len(read_quality(url).set_aside) == CUTS, receipt.notes
    for variable in wanted.data_vars:
        if wanted[variable].ndim:
            np.testing.assert_array_equal(xr.open_zarr(url, chunks=None)[variable], wanted[variable])
    whole.unlink()
    shutil.rmtree(Path(context.out))
    with pytest.raises(ValueError, match=r"^source source: got .* of which no file can be used: got "):
        ingest(ZIPPED[name](str(folder)), context)
    assert not Path(context.out).exists()
