"""Files that are whole and yet wrong: the table of formats and faults, each with what becomes of it.

Faults that need no format of their own are tried on all of them in ``test_damage_fills``. What other modules show:
rows from south to north, transposed axes, longitudes from 0 to 360 and unsorted times read the same
(``test_netcdf``, ``test_raster``, ``test_turns``).
"""

from __future__ import annotations

import re
import shutil

import h5py
import numpy as np
import pytest
import xarray as xr
from rasterio.transform import Affine

from tests.sources import kinds
from tests.sources.damage import ASIDE, EQUAL, damaged, empty, fill, read_apart, undamaged, verdicts
from tests.sources.fabricate import CELLS, ingest, write_smap
from tests.sources.formats import FORMATS
from tests.sources.spoil import (
    AM,
    behind,
    coarse,
    fills_for_cells,
    fills_for_places,
    flipped,
    hdf5,
    lines,
    moved,
    multiplied,
    other_lattice,
    replaced,
    replaced_bytes,
    shorter,
    tif,
    turned,
    units,
)


def elsewhere(path):
    """SMAP L4 of cells that are not the project's."""
    write_smap(path, kinds.values(1), cells=CELLS.shift(0, 90))


FAULTS = [
    # format, fault, what spoils the file, what the reason says (or what becomes of it)
    ("smap_l4", "wrong variable", moved("Geophysical_Data/sm_rootzone"), "no 'Geophysical_Data"),
    ("smap_l4", "flipped y", flipped, "in order"),
    ("smap_l4", "transposed", turned, "an array of (4, 3)"),
    ("smap_l4", "another place", elsewhere, "outside the project"),
    ("smap_l4", "half a cell off", lambda p: write_smap(p, kinds.values(1), shift=0.5), "off EASE-Grid"),
    ("smap_l4", "percent, undeclared", multiplied(100, "Geophysical_Data/sm_surface"), "as if in other units"),
    ("smap_l4", "percent, declared", units("Geophysical_Data/sm_surface", "percent"), "is in 'percent'"),
    ("smap_l4", "no coordinates", hdf5(lambda f: f.pop("x")), "for coordinates of (1624, 3856)"),
    ("smap_l4 aup", "gph inside", hdf5(lambda f: f.move("Analysis_Data", "Geophysical_Data")), "no 'Analysis_Data"),
    ("smap_l3", "wrong variable", moved(f"{AM}/soil_moisture"), "no 'Soil_Moisture"),
    ("smap_l3", "percent, undeclared", multiplied(100, f"{AM}/soil_moisture"), "as if in other units"),
    ("smap_l3", "another grid", coarse, "do not lie on ease2_m09"),
    ("smap_l3", "no indices", hdf5(lambda f: f.pop(f"{AM}/EASE_row_index")), "no EASE_row_index"),
    ("smap_l3", "places are fills", fills_for_places, EQUAL),
    ("cell_list", "wrong variable", moved("soil_moisture"), "no 'soil_moisture'"),
    ("cell_list", "another grid", other_lattice, "off the lattice ease2_m09"),
    ("cell_list", "lengths differ", shorter("latitude"), "different lengths"),
    ("cell_list", "a place is a fill", fills_for_cells, "one cell is missing"),
    ("netcdf-4", "wrong variable", moved("pr"), "no variable 'pr'; it has other"),
    ("netcdf-4", "no units of degrees", hdf5(lambda f: f["lon"].attrs.pop("units")), "set crs"),
    ("netcdf-4", "text for numbers", units("pr", "days since 2020-01-01"), "datetime64"),
    ("netcdf-4", "scale of zero", hdf5(lambda f: f["pr"].attrs.__setitem__("scale_factor", 0.0)), "scale 0"),
    ("netcdf-4", "another grid", hdf5(lambda f: f["lat"].__setitem__(..., f["lat"][...] + 0.05)), "whose grids differ"),
    ("netcdf-4", "uneven axis", hdf5(lambda f: f["lat"].__setitem__(3, f["lat"][3] + 0.04)), "not evenly spaced"),
    ("netcdf-4", "axis with a hole", hdf5(lambda f: f["lat"].__setitem__(3, np.nan)), "some missing or too few"),
    ("netcdf-3", "wrong variable", replaced_bytes(b"pr\0\0", b"qq\0\0"), "no variable 'pr'"),
    ("netcdf-3", "no units of degrees", replaced_bytes(b"degrees_east", b"degrees_xxxx"), "set crs"),
    ("tif striped", "no CRS", tif(profile={"crs": None}), "set crs"),
    ("tif striped", "another CRS", tif(profile={"crs": "EPSG:32614"}), "coordinate reference systems"),
    ("tif striped", "another grid", tif(profile={"transform": Affine(0.003, 0, -96, 0, -0.003, 33)}), "with pixels of"),
    ("tif striped", "rotated", tif(profile={"transform": Affine(0.002, 1e-4, -96.2, 0, -0.002, 33.0)}), "rotated"),
    ("tif striped", "no georeference", tif(profile={"transform": Affine.identity()}), "no georeference"),
    ("tif striped", "complex numbers", tif(profile={"dtype": "complex64"}), "plain numbers"),
    ("tif deflate", "no CRS", tif(profile={"crs": None}), "set crs"),
    ("vrt", "nothing behind", behind(lambda p: p.unlink()), "cannot be read"),
    ("vrt", "no CRS", replaced(r"<SRS.*</SRS>", ""), "set crs"),
    ("vrt", "cut behind", behind(fill(b"II*\0")), "cannot be"),
    ("reflectance", "no CRS", tif(profile={"crs": None}), "set crs"),
    ("reflectance", "a band of another size", tif(profile={"width": 8}, values=lambda v: v[:, :8]), "differ in extent"),
    ("ismn values", "unsorted times", lines(lambda rows: [rows[0], *rows[5:], *rows[1:5]]), "do not rise"),
    ("ismn values", "repeated times", lines(lambda rows: [*rows[:5], rows[4], *rows[5:]]), "do not rise"),
    ("ismn values", "another period", replaced(r"2020/04/03", "2021/04/03", 0), "with times from"),
    ("ismn values", "no number", replaced(r"0\.2\d+", "0.2x4"), "which is no number"),
    ("ismn values", "no flag", replaced(r" G M", " ? M"), "flags a value with '?'"),
    ("ismn values", "nowhere", replaced(r"^(\S+ \S+ \S+ )\S+ \S+", r"\1-9999.0 -9999.0"), "lies nowhere"),
    ("ismn ceop", "unsorted times", lines(lambda rows: rows[::-1]), "do not rise"),
    ("stations_csv", "wrong variable", replaced("sm", "moisture"), "without the column 'sm'"),
    ("stations_csv", "no number", replaced(r"0\.\d+\n", "0.2x4\n"), "holds '0.2x4', which is no number"),
    ("stations_csv", "nowhere", replaced(r"(?<=0\d),[\d.]+", ",-9999", 0), "lies nowhere"),
    ("stations_csv", "several places", replaced(r"(?<=03),3", ",4"), "several places"),
    ("stations_csv", "no dates", replaced("2020-04-02", "02.04.2020"), "no ISO dates"),
    ("stations_csv", "unsorted times", lines(lambda rows: [rows[0], *rows[:0:-1]]), EQUAL),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "spoil", "why"), [pytest.param(n, s, w, id=f"{n}-{fault}".replace(" ", "_")) for n, fault, s, w in FAULTS]
)
def test_fault(name, spoil, why, tmp_path):
    folder = damaged(name, tmp_path, 4, {1: spoil})
    reading = read_apart(name, folder)
    verdict = verdicts(name, 4, reading, {1})[1]
    if why == EQUAL:
        assert verdict == EQUAL
    elif why == "one cell is missing":
        _, _, truth = undamaged(name, 4)
        got, right = (FORMATS[name].piece(data, 1)["sm"].values for data in (reading.data, truth))
        assert np.isnan(got[2, 2])
        assert np.isfinite(right[2, 2])
        got[2, 2] = right[2, 2]
        np.testing.assert_array_equal(got, right)
    else:
        assert verdict == ASIDE
        assert why in next(iter(reading.set_aside.values()))
    if verdict == ASIDE:
        strict = read_apart(name, folder, strict=True)
        assert re.match(r"source source: (empty extent: )?got ", strict.error)
        assert "\n" not in strict.error


def test_two_units_of_rasters(tmp_path):
    """Three tiles in metres and one in feet: it is set aside."""
    name = "tif striped"
    folder = damaged(name, tmp_path, 5, {n: tif(units="ft" if n == 1 else "m") for n in range(5)})
    reading = read_apart(name, folder)
    assert empty(FORMATS[name].piece(reading.data, 1))
    assert ["is in 'ft', where other files have 'm'" in reason for reason in reading.set_aside.values()] == [True]


def test_two_units_of_netcdf(tmp_path):
    """Rain in mm, and one day in m."""
    name = "netcdf-4"
    state = {n: units("pr", "m" if n == 1 else "mm") for n in range(4)}
    reading = read_apart(name, damaged(name, tmp_path, 4, state))
    assert verdicts(name, 4, reading, {1}) == {1: ASIDE}
    assert "is in 'm', where other files have 'mm'" in next(iter(reading.set_aside.values()))


def test_kelvin_under_limits_of_celsius(tmp_path):
    """Limits cut what lies outside; where all does, the file is in other units, and no day is empty without a word."""
    paths = [kinds.netcdf(tmp_path / "in", n) for n in range(3)]
    with h5py.File(paths[1], "a") as file:
        file["pr"][...] = file["pr"][...] + 273.15
    config = kinds.KINDS["netcdf"].config(str(tmp_path / "in")).model_copy(update={"valid_range": (-40.0, 60.0)})
    receipt, _ = ingest(config, kinds.context(tmp_path / "out"))
    assert any("far outside -40 to 60, as if in other units" in note for note in receipt.notes)


def test_two_files_of_one_day(tmp_path):
    """What is averaged or left out is said."""
    for name, more, said in (
        ("smap_l4", lambda p: p.with_name(p.name.replace("_001.h5", "_002.h5")), "1 older versions of files left out"),
        ("smap_l3", lambda p: p.with_name(p.name.replace("_001.h5", "_002.h5")), "1 older versions of files left out"),
        ("cell_list", lambda p: p.with_name(f"second_{p.name}"), "1 days have several files, averaged"),
        ("netcdf", lambda p: p.with_name(f"second_{p.name}"), "2020-04-02T00:00:00 of second_rain_2020-04-02.nc the"),
        ("stations_csv", lambda p: p.with_name("net_s1_data_again.csv"), "s1: 3 repeated times averaged"),
    ):
        folder = tmp_path / name
        paths = [kinds.KINDS[name].write(folder / "in", n) for n in range(2)]
        context = kinds.context(folder / "out")
        _, url = ingest(kinds.KINDS[name].config(str(folder / "in")), context)
        once = xr.open_zarr(url, chunks=None).load()
        shutil.copy(paths[1], more(paths[1]))
        receipt, url = ingest(kinds.KINDS[name].config(str(folder / "in")), context)
        assert any(said in note for note in receipt.notes), (name, receipt.notes)
        for variable in ("sm_surface", "sm", "rain"):
            if variable in once:
                np.testing.assert_array_equal(xr.open_zarr(url, chunks=None)[variable], once[variable])
