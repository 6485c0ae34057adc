import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import EASE2_M09, EASE2_M36
from smdown.sources import check
from smdown.sources.cell_list import TOLERANCE_CELLS, on_lattice
from smdown.sources.config import CellListConfig
from smdown.sources.items import Item
from tests.sources.fabricate import CELLS, ingest

TO_DEGREES = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)


def degrees(lattice, rows, cols, dtype="f4"):
    x = lattice.x0 + (np.asarray(cols) + 0.5) * lattice.cell
    y = lattice.y0 - (np.asarray(rows) + 0.5) * lattice.cell
    lon, lat = TO_DEGREES.transform(x, y)
    return np.asarray(lat, dtype), np.asarray(lon, dtype)


def write_list(path, rows, cols, values, lattice=EASE2_M09, offset=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    lat, lon = degrees(lattice, np.asarray(rows) + offset, cols)
    with h5py.File(path, "w") as file:
        file["latitude"], file["longitude"] = lat, lon
        file["soil_moisture"] = np.asarray(values, "f4")
    return path


def config(path, **options):
    return CellListConfig(path=str(path), variables={"sm_surface": "soil_moisture"}, **options)


@given(
    st.sampled_from([EASE2_M09, EASE2_M36]),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=50),
    st.sampled_from(["f4", "f8"]),
)
@settings(max_examples=200, deadline=None)
def test_any_cell_of_the_world_comes_back(lattice, places, dtype):
    rows = np.array([int(a * (lattice.rows - 1)) for a, _ in places])
    cols = np.array([int(b * (lattice.cols - 1)) for _, b in places])
    lat, lon = degrees(lattice, rows, cols, dtype)
    back = on_lattice(lat, lon, lattice, Item(None))
    np.testing.assert_array_equal(back, (rows, cols))


def test_repeated_cells_are_averaged_and_partial_days_kept(tmp_path, context):
    y, x = CELLS.y0, CELLS.x0
    rows, cols = [y, y, y + 1, y, y + 90], [x, x, x + 2, x + 1, x]
    write_list(tmp_path / "in" / "list_2020-04-02.nc", rows, cols, [0.1, 0.3, 0.25, np.nan, 0.5])
    receipt, url = ingest(config(tmp_path / "in"), context)
    cube = open_cube(url)
    out = cube.read("sm_surface", cube.raster.window, 0)
    assert out[2, 2] == pytest.approx(0.2)
    assert out[3, 4] == pytest.approx(0.25)
    assert np.isfinite(out).sum() == 2
    assert any("1 repeated" in note for note in receipt.notes)


def test_zip_with_an_empty_window(tmp_path, context):
    full = write_list(tmp_path / "SMAP_20200401_20200403.nc", [CELLS.y0], [CELLS.x0], [0.2])
    with h5py.File(tmp_path / "SMAP_20200404_20200406.nc", "w") as file:
        file["index"] = np.zeros(0, "i8")
    with zipfile.ZipFile(tmp_path / "lists.zip", "w") as archive:
        for path in (full, tmp_path / "SMAP_20200404_20200406.nc"):
            archive.write(path, f"SMAP/{path.name}")
    receipt, url = ingest(config(tmp_path / "lists.zip"), context)
    cube = open_cube(url)
    assert cube.spec.times == ("2020-04-01", "2020-04-04")
    assert np.isnan(cube.read("sm_surface", cube.raster.window, 1)).all()
    assert any("1 files without cells" in note for note in receipt.notes)
    assert any("1 of 2 days empty" in note for note in receipt.notes)


def test_cells_off_the_lattice_are_refused(tmp_path, context):
    write_list(tmp_path / "a_20200401.nc", [CELLS.y0], [CELLS.x0], [0.2], offset=3 * TOLERANCE_CELLS)
    with pytest.raises(InputError, match=r"0.00301 cell off the lattice ease2_m09"):
        check({"s": config(tmp_path / "a_20200401.nc")}, context)
    write_list(tmp_path / "b_20200401.nc", [75], [225], [0.2], lattice=EASE2_M36)
    with pytest.raises(InputError, match="set lattice"):
        check({"s": config(tmp_path / "b_20200401.nc")}, context)


def test_coarser_lattice_covers_the_extent(tmp_path, context):
    write_list(tmp_path / "a_20200401.nc", [75], [225], [0.2], lattice=EASE2_M36)
    _, url = ingest(config(tmp_path / "a_20200401.nc", lattice="ease2_m36"), context)
    cube = open_cube(url)
    assert cube.nested.lattice == EASE2_M36
    assert cube.raster.shape == (5, 5)
    assert cube.read("sm_surface", cube.raster.window, 0)[2, 2] == pytest.approx(0.2)


def test_errors_name_what_is_there(tmp_path, context):
    path = write_list(tmp_path / "a_20200401.nc", [CELLS.y0], [CELLS.x0], [0.2])
    wrong = CellListConfig(path=str(path), variables={"sm_surface": "moisture"})
    with pytest.raises(InputError, match="no 'moisture'; it has latitude, longitude, soil_moisture"):
        check({"s": wrong}, context)
    far = write_list(tmp_path / "far_20200401.nc", [10], [10], [0.2])
    with pytest.raises(InputError, match="empty extent"):
        check({"s": config(far)}, context)
    with pytest.raises(InputError, match="holds no date"):
        check({"s": config(write_list(tmp_path / "undated.nc", [1], [1], [0.2]))}, context)


def test_empty_hdf5_is_no_empty_day(tmp_path, context):
    with h5py.File(tmp_path / "a_20200401.nc", "w"):
        pass
    with pytest.raises(InputError, match="it has nothing"):
        check({"s": config(tmp_path)}, context)


def test_archive_that_climbs_out_is_refused(tmp_path, context):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../a_20200401.nc", b"x")
    with pytest.raises(InputError, match="unpacked elsewhere"):
        check({"s": config(tmp_path / "evil.zip")}, context)
