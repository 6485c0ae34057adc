"""Rasters of days, brought to the project's cells or to pixels nested in them."""

import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.grid import Lattice, NestedGrid, Window
from smdown.sources import IngestContext
from smdown.sources.config import DatedRasterConfig
from smdown.sources.context import transform_bounds
from tests.sources.fabricate import ingest, write_tif

DEGREE = 111319.49079327357
LATTICE = Lattice("tenths", "EPSG:4087", -180 * DEGREE, 90 * DEGREE, 0.1 * DEGREE, 1800, 3600)
CELLS = Window(1240, 1244, 3260, 3265)  # 146.0 to 146.5 E, 34.4 to 34.0 S
WEST, NORTH, RATIO, PAD = 145.8, -33.8, 10, 2
SHAPE = 8 * RATIO, 9 * RATIO


@pytest.fixture
def place(tmp_path):
    nested = NestedGrid(LATTICE, CELLS, RATIO)
    return IngestContext(nested=nested, start="2016-02-04", end="2016-02-06", out=str(tmp_path / "out"))


def config(folder, **options):
    return DatedRasterConfig(path=str(folder), variables={"lst": "lst_*.tif"}, **options)


def kelvin(seed):
    return np.random.default_rng(seed).uniform(290, 320, SHAPE).astype("f4")


def write(folder, day, values, **options):
    return write_tif(folder / f"lst_{day}.tif", values, WEST, NORTH, 0.01, 0.01, nodata=-9999.0, **options)


def test_pixels_that_nest_in_cells_become_their_means(tmp_path, place):
    fields = {day: kelvin(int(day)) for day in ("20160204", "20160206")}
    for day, values in fields.items():
        write(tmp_path / "in", day, values)
    _, url = ingest(config(tmp_path / "in", units="K"), place)
    cube = open_cube(url, complete=True)
    assert cube.nested == NestedGrid(LATTICE, CELLS.expand(PAD), 1)
    assert [str(day)[:10] for day in cube.times] == ["2016-02-04", "2016-02-06"]
    assert cube.variables["lst"].units == "K"
    for n, values in enumerate(fields.values()):
        means = values.reshape(8, RATIO, 9, RATIO).mean(axis=(1, 3), dtype=np.float64)
        np.testing.assert_allclose(cube.read("lst", cube.raster.window, n), means, rtol=1e-5)


def test_at_the_resolution_of_the_file_every_pixel_is_kept(tmp_path, place):
    values = kelvin(1)
    values[30:34, 40] = -9999.0
    write(tmp_path / "in", "20160205", values)
    _, url = ingest(config(tmp_path / "in", resolution=1113), place)
    cube = open_cube(url)
    found = cube.read("lst", cube.raster.window, 0)
    known = values > 0
    assert (np.isfinite(found) == known).all()
    inner = np.zeros_like(known)
    inner[4:-4, 4:-4] = True
    np.testing.assert_allclose(found[known & inner], values[known & inner], rtol=2e-5)


def test_files_of_another_projection_keep_a_constant(tmp_path, place):
    box = transform_bounds("EPSG:4326", "EPSG:32655", (145.6, -34.7, 146.8, -33.6))
    side = int((box[2] - box[0]) / 900), int((box[3] - box[1]) / 900)
    values = np.full(side[::-1], 300.5, dtype="f4")
    write_tif(tmp_path / "in" / "lst_2016-02-05.tif", values, box[0], box[3], 900, 900, "EPSG:32655")
    _, url = ingest(config(tmp_path / "in"), place)
    cube = open_cube(url)
    assert cube.read("lst", cube.raster.window, 0) == pytest.approx(300.5, abs=1e-4)


def test_where_files_of_a_day_overlap_the_first_valid_value_stays(tmp_path, place):
    first, second = np.full(SHAPE, 300, "f4"), np.full(SHAPE, 310, "f4")
    first[:, 45:] = -9999.0
    write_tif(tmp_path / "in" / "lst_20160205_a.tif", first, WEST, NORTH, 0.01, 0.01, nodata=-9999.0)
    write_tif(tmp_path / "in" / "lst_20160205_b.tif", second, WEST, NORTH, 0.01, 0.01, nodata=-9999.0)
    _, url = ingest(config(tmp_path / "in"), place)
    cube = open_cube(url)
    found = cube.read("lst", cube.raster.window, 0)
    assert found[:, 0] == pytest.approx(300)
    assert found[:, -1] == pytest.approx(310)


def test_files_without_use_are_refused_in_one_line(tmp_path, place):
    write(tmp_path / "late", "20170101", kelvin(1))
    with pytest.raises(InputError, match="none in the period 2016-02-04"):
        ingest(config(tmp_path / "late"), place)
    write_tif(tmp_path / "far" / "lst_20160205.tif", kelvin(1), 10.0, 50.0, 0.01, 0.01)
    with pytest.raises(InputError, match="empty extent"):
        ingest(config(tmp_path / "far"), place)


def test_a_file_whose_name_holds_no_day_is_set_aside(tmp_path, place):
    write(tmp_path / "in", "20160205", kelvin(1))
    write(tmp_path / "in", "of_a_day", kelvin(2))
    receipt, url = ingest(config(tmp_path / "in"), place)
    assert any("holds no date" in note for note in receipt.notes)
    assert len(open_cube(url).times) == 1
