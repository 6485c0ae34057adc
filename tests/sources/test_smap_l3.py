from dataclasses import replace

import h5py
import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import EASE2_M36, Window
from smdown.sources import check
from smdown.sources.config import SmapL3Config, SmapL4Config
from tests.sources.fabricate import CELLS, ingest, smap_name, write_l3, write_smap

SHAPE = CELLS.shape
INNER = Window(2, 2 + SHAPE[0], 2, 2 + SHAPE[1])


def name(day="20200401", release="R19240_001"):
    return f"SMAP_L3_SM_P_E_{day}_{release}.h5"


def read(path, context, source="l3", **options):
    receipt, url = ingest(SmapL3Config(path=str(path), **options), context, source)
    return receipt, open_cube(url), open_cube(url).read("sm_surface", INNER, 0)


def test_passes_flags_and_fills(tmp_path, context):
    am, pm = np.full(SHAPE, 0.2, "f4"), np.full(SHAPE, 0.4, "f4")
    flags = np.zeros((2, *SHAPE), "u2")
    am[0, 0] = np.nan  # only the evening saw it; latitude, longitude and indices are fills
    flags[1, 0, 1] = 1  # the evening is not recommended
    flags[0, 0, 2] = 65534  # no flag at all: lowest bit 0, and yet no value
    flags[0, 1, 0] = 8  # other bits do not matter
    am[1, 1], pm[1, 1] = np.nan, 0.7  # beyond the valid range
    write_l3(tmp_path / name(), am, pm, quality=flags)
    _, cube, out = read(tmp_path, context)
    wanted = np.full(SHAPE, 0.3)
    wanted[0, :3] = 0.4, 0.2, 0.4
    wanted[1, 1] = np.nan
    np.testing.assert_allclose(out, wanted, rtol=1e-6)
    assert cube.variables["sm_surface"].units == "m3 m-3"
    assert np.isnan(cube.read("sm_surface", Window(0, 2, 0, 8), 0)).all()
    _, _, every = read(tmp_path, context, "every", quality_bits=(), valid_range=(0, 1))
    assert every[0, 1] == pytest.approx(0.3)
    assert every[1, 1] == pytest.approx(0.7)
    _, _, morning = read(tmp_path, context, "morning", passes=("am",))
    assert np.isnan(morning[0, 0])
    assert morning[0, 1] == pytest.approx(0.2)


def test_cells_are_placed_by_their_indices(tmp_path, context):
    """A cut that begins elsewhere, with its elements in any order."""
    wide = CELLS.expand(3)
    rows, cols = np.mgrid[wide.y0 : wide.y1, wide.x0 : wide.x1]
    path = write_l3(tmp_path / name(), (rows * 7 + cols) % 40 / 100 + 0.05, None, cells=wide)
    with h5py.File(path, "a") as file:
        for node in file["Soil_Moisture_Retrieval_Data_AM"].values():
            node[...] = node[...][::-1]
    _, cube, _ = read(tmp_path, context)
    kept = CELLS.expand(2)
    rows, cols = np.mgrid[kept.y0 : kept.y1, kept.x0 : kept.x1]
    whole = cube.read("sm_surface", cube.raster.window, 0)
    np.testing.assert_allclose(whole, (rows * 7 + cols) % 40 / 100 + 0.05, rtol=1e-5)


def test_whole_grid_needs_no_indices(tmp_path, context):
    """SPL3SMP: the whole of M36, whose latitudes are fills almost everywhere."""
    rows, cols = np.mgrid[:406, :964]
    values = (rows + 2 * cols) % 40 / 100 + 0.05
    everything = EASE2_M36.window
    path = write_l3(tmp_path / name(), values, None, cells=everything, indices=False)
    options = {"lattice": "ease2_m36", "passes": ("am",)}
    _, cube, _ = read(tmp_path, context, **options)
    cells = cube.nested.cells
    np.testing.assert_allclose(
        cube.read("sm_surface", cube.raster.window, 0), values[cells.y0 : cells.y1, cells.x0 : cells.x1], rtol=1e-5
    )
    with pytest.raises(InputError, match=r"arrays of \(406, 964\) and no EASE_row_index; ease2_m09 has \(1624, 3856\)"):
        check({"s": SmapL3Config(path=str(path))}, context)
    write_l3(path, values, None, cells=everything.shift(1, 0))
    with pytest.raises(InputError, match="do not lie on ease2_m36"):
        check({"s": SmapL3Config(path=str(path), **options)}, context)


def test_latest_release_and_missing_passes(tmp_path, context):
    write_l3(tmp_path / name(release="R17000_001"), np.full(SHAPE, 0.1), None)
    write_l3(tmp_path / name(release="R19240_001"), np.full(SHAPE, 0.3), None)
    receipt, _, out = read(tmp_path, context)
    np.testing.assert_allclose(out, 0.3, rtol=1e-6)
    assert any("1 older versions" in note for note in receipt.notes)
    with pytest.raises(InputError, match="no group Soil_Moisture_Retrieval_Data_PM; it has Soil_Moisture"):
        check({"s": SmapL3Config(path=str(tmp_path), passes=("pm",))}, context)


def test_l4_analysis_brings_its_spread(tmp_path, context):
    folder = tmp_path / "in"
    for hour in (0, 3):
        path = folder / smap_name("2020-04-01", hour).replace("_gph_", "_aup_").replace("3000", "0000")
        write_smap(path, np.full(SHAPE, 0.1), names=("sm_surface", "sm_rootzone"))
        with h5py.File(path, "a") as file:
            file.move("Geophysical_Data", "Analysis_Data")
            group = file["Analysis_Data"]
            for layer in ("sm_surface", "sm_rootzone"):
                group.move(layer, f"{layer}_analysis")
                group[f"{layer}_analysis_ensstd"] = np.full(SHAPE, 0.01 * (1 + hour), "f4")
    write_smap(folder / smap_name("2020-04-01", 1), np.full(SHAPE, 0.3))
    receipt, url = ingest(SmapL4Config(path=str(folder), product="aup"), context)
    cube = open_cube(url)
    assert list(cube.variables) == ["sm_surface", "sm_rootzone", "sm_surface_std", "sm_rootzone_std"]
    np.testing.assert_allclose(cube.read("sm_surface", INNER, 0), 0.1, rtol=1e-6)
    np.testing.assert_allclose(cube.read("sm_rootzone_std", INNER, 0), 0.025, rtol=1e-6)
    assert any("1 files of another product" in note for note in receipt.notes)
    (folder / smap_name("2020-04-01", 1)).unlink()
    with pytest.raises(InputError, match="no gph file; set product"):
        check({"s": SmapL4Config(path=str(folder))}, context)


def test_outage_of_the_satellite_is_said(tmp_path, context):
    for day in ("2019-06-30", "2019-07-01"):
        write_smap(tmp_path / smap_name(day, 1), np.full(SHAPE, 0.2))
    write_smap(tmp_path / smap_name("2019-07-24", 1), np.full(SHAPE, 0.2))
    period = replace(context, start="2019-06-30", end="2019-07-31")
    receipt, _ = ingest(SmapL4Config(path=str(tmp_path)), period)
    assert any("2 days lie in an outage" in note for note in receipt.notes)
    assert any("2019-07-02 to 2019-07-23" in note for note in receipt.notes)
