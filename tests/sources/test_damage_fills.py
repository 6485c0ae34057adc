"""What no measurement is: fills that nobody declares, and files that hold no data at all, in every format."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import rasterio
from scipy.io import netcdf_file

from tests.sources.damage import ASIDE, DIFFERENT, damaged, fill, read_apart, undamaged, verdicts
from tests.sources.formats import FORMATS

FILLS = (-9999.0, 65535.0, 1e20, -3.4e38, np.inf, -np.inf, np.nan)
HDF5 = {
    "smap_l4": "Geophysical_Data/sm_surface",
    "smap_l4 aup": "Analysis_Data/sm_rootzone_analysis_ensstd",
    "smap_l3": "Soil_Moisture_Retrieval_Data_AM/soil_moisture",
    "cell_list": "soil_moisture",
    "netcdf-4": "pr",
}
WHOLE = ("reflectance", "cog")
"""Formats of whole numbers, or that are written once."""


def poke(name, value):
    """Return what puts a number in the place of one value of a file, declared by nobody."""

    def spoil(path):
        if name in HDF5 or name.removesuffix(" packed") in HDF5:
            with h5py.File(path, "a") as file:
                node = file[HDF5[name.removesuffix(" packed")]]
                node[np.unravel_index(1, node.shape)] = value
        elif name == "netcdf-3":
            with netcdf_file(path, "a", mmap=False) as file:
                file.variables["pr"][0, 6, 6] = value
        elif name in ("ismn values", "ismn ceop"):
            lines = path.read_text().splitlines()
            lines[5] = re.sub(r"\d\.\d+( G M)$", rf"{value}\1", lines[5])
            path.write_text("\n".join(lines) + "\n")
        elif name == "stations_csv":
            path.write_text(path.read_text().rsplit(",", 1)[0] + f",{value}\n")
        else:
            target = path.parents[1] / "behind" / path.with_suffix(".tif").name if name == "vrt" else path
            with rasterio.open(target, "r+") as file:
                file.write(np.array([[value]]).astype(file.dtypes[0]), 1, window=((3, 4), (3, 4)))

    return spoil


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in WHOLE])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_fills_that_nobody_declares(name, tmp_path):
    """One value of a file is a fill: the file is set aside, or just that value is missing; no fill becomes a value."""
    total = len(FILLS) + 2
    folder = damaged(name, tmp_path, total, {n: poke(name, value) for n, value in enumerate(FILLS, start=1)})
    reading = read_apart(name, folder)
    found = verdicts(name, total, reading, range(1, total - 1))
    _, _, truth = undamaged(name, total)
    for n, verdict in found.items():
        if verdict == ASIDE:
            assert re.search("holds .* far from its other values", "".join(reading.set_aside.values()))
            continue
        piece, wanted = FORMATS[name].piece(reading.data, n), FORMATS[name].piece(truth, n)
        assert verdict == DIFFERENT, f"{FILLS[n - 1]} left no trace"
        for variable in wanted.data_vars:
            got, right = piece[variable].values, wanted[variable].values
            if got.dtype.kind != "f":
                np.testing.assert_array_equal(got, right)
            elif name in ("ismn values", "ismn ceop"):  # a day's mean of the hours that are left
                np.testing.assert_allclose(got, right, atol=0.002)
            elif name.startswith("smap_l3"):  # the evening saw the cell too
                assert np.nanmax(np.abs(got - right)) < 0.2
                assert (got != right)[np.isfinite(right)].sum() <= 1
            else:
                gone = np.isnan(got) & np.isfinite(right)
                assert gone.sum() <= 1
                np.testing.assert_array_equal(got[~gone], right[~gone])


@pytest.mark.parametrize("name", FORMATS)
def test_no_data_at_all(name, tmp_path):
    contents = (b"", b"<!DOCTYPE html>\n<html>Log in</html>\n", b"\0" * 5000, b"date,sm,latitude\n2020-04-01,34.0\n")
    total = len(contents) + 2
    folder = damaged(name, tmp_path, total, {n: fill(content) for n, content in enumerate(contents, start=1)})
    reading = read_apart(name, folder)
    assert set(verdicts(name, total, reading, range(1, total - 1)).values()) == {ASIDE}
    reasons = list(reading.set_aside.values())
    assert sum("an empty file" in reason for reason in reasons) == 1
    assert sum("a web page (HTML)" in reason for reason in reasons) == 1
