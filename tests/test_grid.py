"""Laws of windows, nested grids and tiles."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from smdown.errors import GridError
from smdown.grid import (
    EASE2_M09,
    EASE2_M36,
    LATTICES,
    Halo,
    NestedGrid,
    RasterGrid,
    Tile,
    Window,
    nominal_ratio,
)
from smdown.testing import halos, nested_grids, raster_grids, windows


@given(nested_grids(), st.integers(1, 15), halos())
def test_tile_cores_partition_a_grid_exactly_once(grid, cells_per_tile, halo):
    hits = np.zeros(grid.shape, dtype=int)
    for tile in grid.tiles(cells_per_tile):
        hits[tile.core.relative_to(grid.window).slices] += 1
        assert tile.read(halo).contains(tile.core)
        assert tile.read(halo).shape == (tile.core.height + 2 * halo.y, tile.core.width + 2 * halo.x)
    assert (hits == 1).all()


@given(nested_grids(), st.integers(1, 15))
def test_tiles_are_numbered_row_by_row_and_hold_whole_cells(grid, cells_per_tile):
    tiles = list(grid.tiles(cells_per_tile))
    assert [(t.row, t.col) for t in tiles] == sorted({(t.row, t.col) for t in tiles})
    for tile in tiles:
        assert tile.cells == Window(
            tile.core.y0 // grid.ratio,
            tile.core.y1 // grid.ratio,
            tile.core.x0 // grid.ratio,
            tile.core.x1 // grid.ratio,
        )
        assert max(tile.cells.shape) <= cells_per_tile


def test_a_tile_of_no_cells_is_refused():
    with pytest.raises(GridError, match="at least 1"):
        list(NestedGrid(EASE2_M09, Window(0, 2, 0, 2), 3).tiles(0))


@given(windows(), st.integers(1, 30))
def test_refining_covers_the_same_ground(window, ratio):
    fine = window.refine(ratio)
    assert fine.size == window.size * ratio**2
    assert fine.cover(ratio, 1) == window
    assert window.cover(1, ratio) == fine


@given(windows(), st.integers(1, 30), st.integers(1, 30))
def test_cover_is_the_smallest_window_that_covers(window, ratio, other):
    cover = window.cover(ratio, other)
    common = (cover.refine(ratio), window.refine(other))  # both in pixels of ratio * other
    assert common[0].contains(common[1])
    for smaller in (
        (cover.y0 + 1, cover.y1, cover.x0, cover.x1),
        (cover.y0, cover.y1 - 1, cover.x0, cover.x1),
        (cover.y0, cover.y1, cover.x0 + 1, cover.x1),
        (cover.y0, cover.y1, cover.x0, cover.x1 - 1),
    ):
        if smaller[0] < smaller[1] and smaller[2] < smaller[3]:
            assert not Window(*smaller).refine(ratio).contains(common[1])


@given(windows(), windows())
def test_intersection_is_the_common_set_of_pixels(a, b):
    both = a.intersect(b)
    assert both == b.intersect(a)
    rows = set(range(a.y0, a.y1)) & set(range(b.y0, b.y1))
    cols = set(range(a.x0, a.x1)) & set(range(b.x0, b.x1))
    assert (both.size if both else 0) == len(rows) * len(cols)
    if both:
        assert a.contains(both)
        assert b.contains(both)


@given(windows(), windows())
def test_relative_indices_cut_the_same_pixels(outer, inner):
    both = outer.intersect(inner)
    if both is None:
        return
    rows = np.arange(outer.y0, outer.y1)
    assert list(rows[both.relative_to(outer).slices[0]]) == list(range(both.y0, both.y1))
    assert both.relative_to(outer).shift(outer.y0, outer.x0) == both


@given(windows(), st.integers(0, 20), st.integers(0, 20))
def test_expanding_and_shrinking_undo_each_other(window, dy, dx):
    assert window.expand(dy, dx).expand(-dy, -dx) == window
    assert window.expand(dy) == window.expand(dy, dy)


@pytest.mark.parametrize("bounds", [(0, 0, 0, 1), (0, 1, 5, 5), (3, 2, 0, 1)])
def test_an_empty_window_is_refused(bounds):
    with pytest.raises(GridError, match="empty window"):
        Window(*bounds)


def test_shrinking_to_nothing_is_refused():
    with pytest.raises(GridError, match="empty window"):
        Window(0, 4, 0, 4).expand(-2)


@given(st.one_of(windows(), halos(), nested_grids(), raster_grids()))
def test_equal_values_have_equal_hashes_and_survive_a_pickle(value):
    twin = pickle.loads(pickle.dumps(value))
    assert twin == value
    assert hash(twin) == hash(value)
    assert len({twin, value}) == 1


@given(nested_grids(), st.integers(1, 5))
def test_tiles_survive_a_pickle(grid, cells_per_tile):
    tile = next(grid.tiles(cells_per_tile))
    assert hash(pickle.loads(pickle.dumps(tile))) == hash(tile)
    assert tile == Tile(tile.row, tile.col, tile.cells, tile.ratio)


@given(nested_grids(max_cells=6), st.data())
def test_a_coordinate_depends_on_its_global_index_alone(grid, data):
    whole = grid.lattice.cols * grid.ratio
    i = data.draw(st.integers(grid.window.x0, grid.window.x1 - 1))
    wide = grid.x_centres(max(0, i - 7), min(whole, i + 9))
    assert grid.x_centres(i, i + 1)[0] == wide[i - max(0, i - 7)]
    assert grid.y_centres(i, i + 1)[0] == grid.y_centres(i - 3, i + 2)[3]


@given(nested_grids(max_cells=6))
def test_a_nested_grid_and_its_raster_agree(grid):
    raster, w = grid.raster, grid.window
    assert raster.shape == grid.shape
    np.testing.assert_allclose(raster.x, grid.x_centres(w.x0, w.x1), atol=1e-6)
    np.testing.assert_allclose(raster.y, grid.y_centres(w.y0, w.y1), atol=1e-6)
    assert raster.y[0] > raster.y[-1] or raster.height == 1


def test_the_lattice_has_the_corners_that_nsidc_documents():
    """EASE-Grid 2.0 global: +-17,367,530.45 m, +-7,314,540.83 m; longitude +-180, latitude +-85.0445664 degrees."""
    to_degrees = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)
    for lattice, cells, side in ((EASE2_M09, (1624, 3856), 9008.055210146), (EASE2_M36, (406, 964), 36032.220840584)):
        assert LATTICES[lattice.name] is lattice
        assert lattice.window.shape == cells
        assert lattice.cell == pytest.approx(side, abs=1e-9)
        assert lattice.cell * lattice.cols == pytest.approx(2 * 17367530.4451615, abs=1e-3)
        assert lattice.cell * lattice.rows == pytest.approx(2 * 7314540.8306386, abs=1e-3)
        corner = to_degrees.transform(lattice.x0, lattice.y0)
        assert corner == pytest.approx((-180.0, 85.0445664), abs=1e-6)


@pytest.mark.parametrize(("resolution", "ratio", "pixel"), [
    (1000, 9, 1000.895), (100, 90, 100.0895), (50, 180, 50.0448), (30, 300, 30.02685), (9000, 1, 9008.055),
])  # fmt: skip
def test_nominal_resolutions_of_the_design(resolution, ratio, pixel):
    assert nominal_ratio(EASE2_M09, resolution) == ratio
    grid = NestedGrid(EASE2_M09, Window(0, 1, 0, 1), ratio)
    assert grid.pixel == pytest.approx(pixel, abs=1e-3)
    assert grid.at(1).ratio == 1
    coarse = nominal_ratio(EASE2_M36, resolution)
    assert coarse == 4 * ratio  # the same pixels in cells of 36 km
    assert (
        NestedGrid(EASE2_M36, Window(0, 1, 0, 1), coarse).window
        == NestedGrid(EASE2_M09, Window(0, 4, 0, 4), ratio).window
    )


def test_a_cell_of_36_km_is_a_pixel_of_its_own():
    assert nominal_ratio(EASE2_M36, 36000) == 1


def test_a_resolution_that_does_not_divide_a_cell_is_refused_with_the_nearest():
    with pytest.raises(GridError, match=r"use 4504\.03"):
        nominal_ratio(EASE2_M09, 5000)


def test_cells_outside_the_lattice_are_refused():
    with pytest.raises(GridError, match="outside the lattice ease2_m09"):
        NestedGrid(EASE2_M09, Window(1620, 1625, 0, 4), 9)
    with pytest.raises(GridError, match="ratio of 0"):
        NestedGrid(EASE2_M09, Window(0, 1, 0, 1), 0)


@pytest.mark.parametrize(("change", "message"), [
    ({"height": 0}, "at least one"), ({"dx": 0.0}, "not zero"), ({"dy": float("nan")}, "finite"),
])  # fmt: skip
def test_impossible_rasters_are_refused(change, message):
    good = {"crs": "EPSG:4326", "x0": 0.0, "y0": 0.0, "dx": 1.0, "dy": -1.0, "height": 2, "width": 2}
    assert RasterGrid(**good).geotransform == (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    with pytest.raises(GridError, match=message):
        RasterGrid(**good | change)


def test_a_negative_halo_is_refused():
    with pytest.raises(GridError, match="negative"):
        Halo(-1, 0)
