"""Names and places that are no plain files: folders named like files, links that lead nowhere, disks that fail."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import xarray as xr

from smdown.errors import InputError
from smdown.sources import check, ingest_plan, run_ingest
from smdown.sources.quality import read_quality
from tests.sources import kinds
from tests.sources.fabricate import ingest
from tests.sources.kinds import KINDS


def written(name, folder):
    """Two good files of a kind, the name of a third, and what the two give."""
    paths = [KINDS[name].write(folder / "in", n) for n in range(3)]
    for path in paths[2].parent.glob(paths[2].name.replace(".B05.", "*")):
        path.unlink()
    return paths[2], read(name, folder)


def read(name, folder, where="in"):
    shutil.rmtree(folder / "out", ignore_errors=True)
    receipt, url = ingest(KINDS[name].config(str(folder / where)), kinds.context(folder / "out"))
    data = xr.open_zarr(url, chunks=None).drop_vars(["receipts", "spatial_ref"], errors="ignore").load()
    for dim in {"time", "station"} & set(data.dims):
        data = data.dropna(dim, how="all")
    return data.drop_attrs(), read_quality(url).set_aside, receipt.notes


def nowhere(path):
    path.symlink_to(path.parent / "nobody")


def circle(path):
    path.symlink_to(path)


def failing(path):
    """A file that opens, and whose reading fails like that of a broken disk."""
    path.symlink_to("/proc/self/mem")


SPOILT = {"link that leads nowhere": nowhere, "link to itself": circle, "disk that fails": failing}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=[name.replace(" ", "_") for name in SPOILT])
@pytest.mark.parametrize("name", sorted(set(KINDS) - {"reflectance"}))
def test_what_cannot_be_opened_is_set_aside(name, spoil, tmp_path):
    if spoil is failing and not Path("/proc/self/mem").exists():
        pytest.skip("needs /proc")
    third, (wanted, _, _) = written(name, tmp_path)
    spoil(third)
    got, aside, notes = read(name, tmp_path)
    xr.testing.assert_equal(got, wanted)
    assert [Path(item).name for item in aside] == [third.name], notes
    assert all(re.match("got [^\n]*$", reason) for reason in aside.values())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", sorted(set(KINDS) - {"reflectance"}))
def test_what_may_not_be_read_is_set_aside(name, tmp_path):
    third, (wanted, _, _) = written(name, tmp_path)
    KINDS[name].write(tmp_path / "in", 2).chmod(0)
    got, aside, _ = read(name, tmp_path)
    xr.testing.assert_equal(got, wanted)
    assert [Path(item).name for item in aside] == [third.name]


@pytest.mark.parametrize("name", KINDS)
def test_folders_named_like_files_and_circles_of_folders(name, tmp_path):
    """They hold nothing, or what is there already: no file counts twice."""
    third, (wanted, _, _) = written(name, tmp_path)
    third.mkdir()
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in", target_is_directory=True)
    got, aside, _ = read(name, tmp_path)
    xr.testing.assert_equal(got, wanted)
    assert not aside
    with pytest.raises(InputError, match=r"^source alone: got [^\n]*(a folder with no|no file matches|does not exist)"):
        check({"alone": KINDS[name].config(str(third))}, kinds.context(tmp_path / "none"))


@pytest.mark.parametrize("name", KINDS)
def test_names_with_spaces_and_letters_of_any_script(name, tmp_path):
    _, (wanted, _, _) = written(name, tmp_path)
    shutil.move(tmp_path / "in", tmp_path / "Bodenfeuchte für Süd, 土壤 [1] #2 %41")
    got, aside, _ = read(name, tmp_path, "Bodenfeuchte für Süd, 土壤 [1] #2 %41")
    xr.testing.assert_equal(got, wanted)
    assert not aside


def test_a_file_that_goes_between_the_check_and_the_reading(tmp_path):
    """What the check found and the reading does not is set aside like a damaged file."""
    for name in ("smap_l4", "smap_l3", "cell_list", "netcdf", "raster", "ismn"):
        folder = tmp_path / name
        paths = [KINDS[name].write(folder / "in", n) for n in range(3)]
        tasks = ingest_plan({name: KINDS[name].config(str(folder / "in"))}, kinds.context(folder / "out")).tasks
        paths[1].unlink()
        for task in tasks:
            run_ingest(task)
        aside = read_quality(tasks[-1].url).set_aside
        assert [Path(item).name for item in aside] == [paths[1].name], name
