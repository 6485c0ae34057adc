"""One file of three is damaged or mislabelled: it is set aside with its reason, and the others are read as ever."""

import atexit
import json
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.sources import check
from smdown.sources.quality import read_quality
from tests.sources import kinds
from tests.sources.fabricate import CELLS, ingest, write_smap, write_stm
from tests.sources.kinds import KINDS


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@cache
def whole_and_wanted(kind, total):
    """Return a folder with all files of a kind, made once, and what the first and last give alone."""
    folder = Path(tempfile.mkdtemp(prefix="smdown-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    more = {"total": total} if kind is KINDS["raster"] else {}
    spoilt = [kind.write(folder / "good", n, **more) for n in range(total)][1:-1]
    (folder / "spoilt.json").write_text(json.dumps([str(path.relative_to(folder / "good")) for path in spoilt]))
    shutil.copytree(folder / "good", folder / "two")
    for path in spoilt:
        (folder / "two" / path.relative_to(folder / "good")).unlink()
    return folder, contents(ingest(kind.config(str(folder / "two")), kinds.context(folder / "out"), "wanted")[1])


class Case:
    """Some files of a kind, all but the first and last to be spoilt, and what those two give alone."""

    def __init__(self, kind, folder, total=3):
        whole, self.wanted = whole_and_wanted(kind, total)
        self.kind, self.folder, self.good = kind, folder, folder / "good"
        shutil.copytree(whole / "good", self.good)
        self.spoilt = [self.good / path for path in json.loads((whole / "spoilt.json").read_text())]
        self.bad = self.spoilt[0]
        self.context = kinds.context(folder / "out")
        self.config = kind.config(str(self.good))
        self.contents = [path.read_bytes() for path in self.spoilt]
        self.content = self.contents[0]

    def ingest(self):
        return ingest(self.config, self.context, "spoilt")

    def assert_set_aside(self, why=""):
        receipt, url = self.ingest()
        notes = [note for note in receipt.notes if "set aside: got" in note]
        assert len(notes) == len(self.spoilt), receipt.notes
        assert all(why in note for note in notes)
        assert not any("\n" in note for note in notes)
        reasons = read_quality(url).set_aside.values()
        assert sorted(reasons) == sorted(note.split("set aside: ")[1] for note in notes)
        assert self.kind.station or open_cube(url).complete
        assert xr.open_zarr(url, chunks=None).attrs["set_aside"].splitlines() == list(reasons)
        xr.testing.assert_equal(contents(url), self.wanted)
        return reasons


def contents(url):
    """Return the values, without days or stations that have none."""
    data = xr.open_zarr(url, chunks=None).drop_vars(["receipts", "spatial_ref"], errors="ignore").load()
    for dim in {"time", "station"} & set(data.dims):
        data = data.dropna(dim, how="all")
    return data.drop_attrs()


def test_strict_stops_and_alone_is_an_error(kind, tmp_path):
    case = Case(kind, tmp_path)
    case.bad.write_bytes(case.content[: len(case.content) // 2])
    case.ingest()
    with pytest.raises(InputError, match=r"source spoilt: got") as caught:
        ingest(case.config, replace(case.context, strict=True), "spoilt")
    assert "\n" not in str(caught.value)
    shutil.rmtree(case.folder / "out")
    for path in list(case.good.rglob("*.*")):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(InputError, match="empty file"):
        check({"all": case.config}, case.context)
    assert not Path(case.context.out).exists()


def other_layer(path):
    write_smap(path, kinds.values(1), names=("sm_surface", "other"))


def shuffled_axis(path):
    with h5py.File(path, "a") as file:
        file["x"][...] = file["x"][...][::-1]


def no_moisture(path):
    with h5py.File(path, "a") as file:
        for which, end in (("AM", ""), ("PM", "_pm")):
            file.move(f"Soil_Moisture_Retrieval_Data_{which}/soil_moisture{end}", f"other{end}")


def indices_moved(path):
    with h5py.File(path, "a") as file:
        del file["Soil_Moisture_Retrieval_Data_AM/EASE_row_index"]


def fill_in_list(path):
    with h5py.File(path, "a") as file:
        file["soil_moisture"][3] = -9999


def nowhere(path):
    rows = [("2020/04/01 00:00", 0.2, "G")]
    path.unlink()
    write_stm(path.parents[2], "S1", 0.05, 0.05, rows, lat=-9999, lon=-9999)


def fill_in_table(path):
    path.write_text(path.read_text().rsplit(",", 1)[0] + ",65535\n")


@pytest.mark.parametrize(
    ("name", "spoil", "why"),
    [
        ("smap_l4", other_layer, "no 'Geophysical_Data/sm_rootzone'"),
        ("smap_l4", lambda p: write_smap(p, kinds.values(1), shift=0.3), "off EASE-Grid"),
        ("smap_l4", lambda p: write_smap(p, kinds.values(1), cells=CELLS.shift(90, 0)), "outside the project's extent"),
        ("smap_l4", shuffled_axis, "in order"),
        ("smap_l3", no_moisture, "no 'Soil_Moisture_Retrieval_Data_AM/soil_moisture'"),
        ("smap_l3", indices_moved, "no EASE_row_index"),
        ("cell_list", lambda p: kinds.cell_list(p.parent, 1, name="other"), "no 'soil_moisture'"),
        ("cell_list", fill_in_list, "holds -9999 far from its other values"),
        ("netcdf", lambda p: kinds.netcdf(p.parent, 1, name="other"), "no variable 'pr'"),
        ("netcdf", lambda p: kinds.netcdf(p.parent, 1, bare=True), "set crs"),
        ("netcdf", lambda p: kinds.netcdf(p.parent, 1, fill=-9999.9), "set nodata: -9999.9"),
        ("netcdf", lambda p: kinds.netcdf(p.parent, 1, fill=65535), "set nodata: 65535"),
        ("raster", lambda p: kinds.raster(p.parent, 1, options={"crs": None}), "set crs"),
        ("raster", lambda p: kinds.raster(p.parent, 1, options={"crs": "EPSG:32614"}), "coordinate reference systems"),
        ("raster", lambda p: kinds.raster(p.parent, 1, fill=-9999), "set nodata: -9999"),
        ("raster", lambda p: kinds.raster(p.parent, 1, fill=32767), "set nodata: 32767"),
        ("reflectance", lambda p: kinds.reflectance(p.parent, 1, options={"crs": None}), "set crs"),
        ("ismn", nowhere, "lies nowhere"),
        ("stations_csv", lambda p: kinds.stations_csv(p.parent, 1, name="other"), "without the column 'sm'"),
        ("stations_csv", fill_in_table, "holds 65535 far from its other values"),
    ],
)
def test_mislabelled(tmp_path, name, spoil, why):
    case = Case(KINDS[name], tmp_path)
    spoil(case.bad)
    case.assert_set_aside(why)


@pytest.mark.parametrize("name", ["raster", "netcdf"])
def test_what_no_quantity_can_be_is_missing(tmp_path, name):
    case = Case(KINDS[name], tmp_path)
    whole = contents(case.ingest()[1])
    KINDS[name].write(case.good, 1, fill=(np.inf, -np.inf, 1e20, -3.4e38))
    xr.testing.assert_equal(contents(case.ingest()[1]), whole)


def test_damage_inside_a_tile_shows_only_while_it_is_read(tmp_path):
    """The ends of the file are whole; a block between them is not."""
    case = Case(KINDS["raster"], tmp_path)
    kinds.raster(case.good, 1, options={"compress": "deflate"})
    content = bytearray(case.bad.read_bytes())
    middle = len(content) // 2
    content[middle - 200 : middle + 200] = b"\xff" * 400
    case.bad.write_bytes(bytes(content))
    check({"s": case.config}, case.context)
    case.assert_set_aside("cannot be read as a raster")
