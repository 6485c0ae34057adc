"""A pixel's drivers depend on its place and day alone: any window equals the same window of the whole, bit for bit."""

import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import CubeError
from smdown.features import get_loader
from smdown.grid import NestedGrid, Window
from tests.features.world import BASE, DRIVERS

DAY = np.datetime64("2020-04-18", "ns")
RATIOS = (300, 90, 9)


def some_windows(outer, count, seed=0):
    random = np.random.default_rng(seed)
    for _ in range(count):
        y, x = (np.sort(random.choice(n, 2, replace=False)) for n in (outer.height + 1, outer.width + 1))
        yield Window(y[0], y[1], x[0], x[1]).shift(outer.y0, outer.x0)
    yield Window(outer.y0 + 1, outer.y0 + 2, outer.x0 + 2, outer.x0 + 3)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_window_is_that_of_the_whole(loader, ratio):
    grid = BASE.at(ratio)
    outer = grid.window.expand(5)
    whole = loader.load(grid, outer, DAY)
    assert whole.dtype == np.float32
    finite = np.isfinite(whole[:, 8:-8, 8:-8]).mean(axis=(1, 2))  # some sources end just outside the region
    assert np.all(finite > 0.5), dict(zip(loader.spec.names, finite, strict=True))
    assert np.all(np.nanstd(whole, axis=(1, 2)) > 0)
    for window in some_windows(outer, 6):
        part = loader.load(grid, window, DAY)
        cut = whole[(slice(None), *window.relative_to(outer).slices)]
        for name, a, b in zip(loader.spec.names, part, cut, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"{name} in {window}")


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_cells_of_the_grid_do_not_matter(loader, ratio):
    """Not even for the square of tpi, whose size in pixels follows the latitude."""
    window = BASE.at(ratio).window.expand(-1)
    elsewhere = NestedGrid(BASE.lattice, Window(1200, 1201, 100, 101), ratio)
    np.testing.assert_array_equal(loader.load(elsewhere, window, DAY), loader.load(BASE.at(ratio), window, DAY))


def test_load_is_static_and_dynamic_in_the_order_of_the_channels(loader):
    grid = BASE.at(90)
    whole = dict(zip(loader.spec.names, loader.load(grid, grid.window, DAY), strict=True))
    assert tuple(whole) == tuple(d["name"] for d in DRIVERS)
    for names, found in (
        (loader.spec.static_names, loader.static(grid, grid.window)),
        (loader.spec.dynamic_names, loader.dynamic(grid, grid.window, DAY)),
    ):
        for name, field in zip(names, found, strict=True):
            np.testing.assert_array_equal(field, whole[name])


def test_names_are_given_in_the_order_asked_for(loader):
    grid = BASE.at(9)
    slope, soil = loader.static(grid, grid.window, ["slope", "soil"])
    np.testing.assert_array_equal(soil, loader.static(grid, grid.window, ["soil"])[0])
    np.testing.assert_array_equal(slope, loader.static(grid, grid.window, ["slope"])[0])
    today, ndvi = loader.dynamic(grid, grid.window, DAY, ["rain_today", "ndvi"])
    np.testing.assert_array_equal(ndvi, loader.dynamic(grid, grid.window, DAY, ["ndvi"])[0])
    np.testing.assert_array_equal(today, loader.dynamic(grid, grid.window, DAY, ["rain_today"])[0])


def test_drivers_that_share_an_elevation_are_what_they_are_alone(loader, make_spec):
    names = ("slope", "northness", "own_slope", "tpi")
    grid = BASE.at(90)
    together = loader.static(grid, grid.window, names)
    for name, field in zip(names, together, strict=True):
        alone = get_loader(make_spec(name)).static(grid, grid.window)[0]
        np.testing.assert_array_equal(field, alone)


def test_an_elevation_is_read_once_for_its_measures(make_spec, monkeypatch):
    loader = get_loader(make_spec("slope", "northness", "tpi"))
    reads = []
    reader = loader.reader("dem")
    monkeypatch.setattr(reader.pixels, "read", lambda *a, read=reader.pixels.read: reads.append(a) or read(*a))
    loader.static(BASE, BASE.window.expand(-100))
    assert len(reads) == 1


def test_shape_on_coarser_grids_is_the_mean_of_that_on_the_finest(loader):
    """Hence a linear relation with it holds on every grid; `at: own` is that of smoother ground."""
    fine, coarse = (loader.static(BASE.at(r), BASE.at(r).window, ["slope", "own_slope"]) for r in (300, 100))
    blocks = fine[0].reshape(200, 3, 200, 3)
    whole = np.isfinite(blocks).all(axis=(1, 3))
    np.testing.assert_allclose(coarse[0][whole], blocks.mean(axis=(1, 3))[whole], rtol=1e-5, atol=1e-7)
    assert np.nanmean(coarse[1]) < 0.9 * np.nanmean(coarse[0])


def test_far_away_everything_is_missing(loader):
    grid = NestedGrid(BASE.lattice, Window(340, 341, 3000, 3001), 9)
    assert np.isnan(loader.load(grid, grid.window, DAY)).all()


def test_classes_stay_classes_on_a_turned_grid(loader):
    """`nearest` must not mix them, and outside the source there is no class, not class 0."""
    outer = BASE.at(90).window.expand(60)
    found = loader.static(BASE.at(90), outer, ["cover"])[0]
    assert set(np.unique(found[np.isfinite(found)])) == {1.0, 7.0, 30.0}
    assert np.isnan(found[0, 0])


def test_a_driver_of_the_wrong_kind_is_refused(make_spec):
    timed = {"name": "a", "kind": "source", "source": "rain", "variable": "p"}
    static = {"name": "a", "kind": "daily", "source": "dem", "variable": "elevation"}
    unknown = {"name": "a", "kind": "source", "source": "dem", "variable": "height"}
    for driver, message in ((timed, "kind daily"), (static, "kind source"), (unknown, "has elevation")):
        with pytest.raises(CubeError, match=message):
            get_loader(make_spec(drivers=(driver,))).load(BASE.at(9), BASE.at(9).window, DAY)


def test_the_coarse_product_comes_cell_by_cell(loader, sources):
    cube = open_cube(f"{sources}/smap.zarr")
    found = loader.coarse("smap", "sm", Window(344, 347, 879, 881), np.datetime64("2020-04-03"))
    np.testing.assert_array_equal(found[1:, 0], cube.read("sm", Window(0, 2, 1, 2), 2)[:, 0])
    assert np.isnan(found[0]).all()
    assert np.isnan(found[:, 1]).all()
    assert np.isnan(loader.coarse("smap", "sm", BASE.cells, np.datetime64("2020-04-13"))).all()
    with pytest.raises(CubeError, match="does not lie on cells"):
        loader.coarse("rain", "p", BASE.cells, np.datetime64("2020-04-03"))
