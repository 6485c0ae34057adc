"""Distances on the ground, and places on it: registration against pyproj and GDAL."""

import numpy as np
import pytest
import rasterio.warp
from pyproj import Geod, Transformer
from rasterio.transform import Affine

from smdown.cubes import open_cube
from smdown.features import get_loader
from smdown.features.geometry import NODE_ERROR_PX, Geometry, is_separable, node_step
from smdown.features.ground import row_distances
from smdown.features.reader import SourceReader
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window
from smdown.kernels.lattice import row_positions
from tests.features.world import BASE, make_source, raster

TO_DEGREES = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)


def test_pixels_at_49_north():
    """An equal-area pixel of 30.03 m: the parallel shrinks by cos(lat) / cos(30 deg), the meridian makes up for it."""
    grid = NestedGrid(EASE2_M09, Window(200, 201, 800, 801), 300)
    rows = np.searchsorted(-TO_DEGREES.transform(np.zeros(1624 * 300), grid.y_centres(0, 1624 * 300))[1], -49.0)
    dx, dy = (d[0] for d in row_distances(grid, int(rows), int(rows) + 1))
    assert dx == pytest.approx(22.8, abs=0.05)
    assert dy == pytest.approx(39.6, abs=0.1)


@pytest.mark.parametrize("row", [20, 345, 811, 812, 1500])
def test_distances_are_geodesics_and_keep_the_area(row):
    grid = NestedGrid(EASE2_M09, Window(row, row + 1, 878, 879), 30)
    y0, y1, x0, _ = (getattr(grid.window, n) for n in ("y0", "y1", "x0", "x1"))
    dx, dy = row_distances(grid, y0, y1)
    np.testing.assert_allclose(dx * dy, grid.pixel**2, rtol=1e-5)
    x = grid.lattice.x0 + np.array([x0, x0 + 1]) * grid.pixel
    lon, lat = TO_DEGREES.transform(x, np.repeat(grid.y_centres(y0, y0 + 1), 2))
    assert dx[0] == pytest.approx(Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2], rel=1e-9)
    y = grid.lattice.y0 - np.array([y0, y0 + 1]) * grid.pixel
    lon, lat = TO_DEGREES.transform(np.repeat(x[:1], 2), y)
    assert dy[0] == pytest.approx(Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2], rel=1e-9)


def test_distances_of_rows_are_those_of_the_whole():
    dx, dy = row_distances(BASE, BASE.window.y0, BASE.window.y1)
    a, b = row_distances(BASE, BASE.window.y0 + 77, BASE.window.y0 + 80)
    np.testing.assert_array_equal(a, dx[77:80])
    np.testing.assert_array_equal(b, dy[77:80])


def test_which_axes_map_one_by_one():
    assert is_separable("EPSG:4326", "EPSG:6933")
    assert is_separable("EPSG:6933", "EPSG:6933")
    assert is_separable("EPSG:4326", "EPSG:4258")
    assert not is_separable("EPSG:32614", "EPSG:6933")
    assert not is_separable("EPSG:5070", "EPSG:6933")


def smooth(grid):
    """Return a field that varies over some 20 pixels."""
    y, x = np.mgrid[: grid.height, : grid.width]
    return (np.sin(y / 9) + np.cos(x / 7) + 0.002 * (x + y)).astype(np.float32)


def by_gdal(field, grid, target, method):
    out = np.full(target.shape, np.nan, np.float32)
    rasterio.warp.reproject(
        field, out, src_transform=Affine.from_gdal(*grid.geotransform), src_crs=grid.crs, tolerance=0,
        dst_transform=Affine.from_gdal(*target.geotransform), dst_crs=target.crs, resampling=method, num_threads=1,
    )  # fmt: skip
    return out


@pytest.mark.parametrize(
    ("crs", "step", "ratio", "method", "tolerance"),
    [("EPSG:4326", 0.01, 90, "cubic", 1e-4), ("EPSG:32614", 1000.0, 90, "cubic", 5e-4),
     ("EPSG:4326", 0.005, 4, "average", 0.02), ("EPSG:32614", 300.0, 9, "bilinear", 0.02)],
)  # fmt: skip
def test_places_agree_with_gdal(tmp_path, crs, step, ratio, method, tolerance):
    """A shift of half a pixel would show as some 5 % of the range, a flipped axis as all of it.

    When refining, the general warp's own bound of 0.01 px is what it may differ by. When coarsening, GDAL's footprints
    and kernel widths are not quite ours.
    """
    grid, target = raster(crs, step, 14), BASE.at(ratio)
    field = smooth(grid)
    reader = SourceReader(make_source(tmp_path, "s", grid, {"z": field}), BASE)
    found = reader.read(("z",), target, target.window, ())[0, 0]
    want = by_gdal(field, grid, target.raster, rasterio.warp.Resampling[method])
    assert np.isfinite(found).all()
    assert np.abs(found - want).max() < tolerance * np.ptp(field)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32614"])
def test_a_source_whose_rows_run_north_is_the_same_field(tmp_path, crs):
    grid = raster(crs, 0.01 if crs == "EPSG:4326" else 1000.0, 5)
    field = smooth(grid)
    flipped = type(grid)(crs, grid.x0, grid.y0 + grid.height * grid.dy, grid.dx, -grid.dy, *grid.shape)
    found = [
        SourceReader(make_source(tmp_path, name, g, {"z": f}), BASE).read(("z",), BASE.at(30), BASE.at(30).window, ())
        for name, g, f in (("a", grid, field), ("b", flipped, field[::-1]))
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_positions_come_within_a_ten_thousandth_of_a_pixel(sources):
    """Of the general warp's lattice, checked where it is not a node; the design allows a hundred times as much."""
    geometry = Geometry(open_cube(f"{sources}/optical.zarr").raster, BASE)
    for ratio in (300, 90, 9):
        w = BASE.at(ratio).window
        corner = w.y0 + 1, w.x0 + 3
        shape = w.y1 - corner[0], w.x1 - corner[1]
        step, *nodes = geometry.nodes(ratio, Window(corner[0], w.y1, corner[1], w.x1))
        exact = geometry.positions(ratio, np.arange(corner[0], w.y1), np.arange(corner[1], w.x1))
        for lattice, want in zip(nodes, exact, strict=True):
            found = np.empty(shape)
            for i in range(shape[0]):
                row_positions(lattice, corner[0] % step + i, corner[1] % step, step, found[i])
            assert np.abs(found - want).max() < NODE_ERROR_PX


def test_nodes_come_closer_where_the_projection_bends():
    """Around the pole of a stereographic map, which is a point there and a line here."""
    polar = RasterGrid("EPSG:3413", -1e6, 1e6, 1000.0, -1000.0, 2000, 2000)
    top = NestedGrid(EASE2_M09, Window(0, 4, 10, 14), 300)
    assert node_step(Geometry(raster("EPSG:32614", 1000.0, 5), BASE), 300) == 64
    assert node_step(Geometry(polar, top), 300) < 64


def test_scales_of_a_turned_source(sources):
    """Pixels of 1 km there over 60 m here: 1001 m across, stretched by the parallels and meridians."""
    cube = open_cube(f"{sources}/optical.zarr")
    for scale in Geometry(cube.raster, BASE).scales(9):
        assert 1001 / 60 * 0.9 < scale < 1001 / 60 * 1.2


def test_north_facing_ground_has_northness(tmp_path, make_spec):
    """The whole way from a file of elevations: signs of both axes, and the slope's true size."""
    grid = raster("EPSG:4326", 1 / 600, 20)
    metres = 111_000 * (grid.y - grid.y.mean())
    make_source(
        tmp_path, "dem", grid, {"elevation": np.repeat(-0.1 * metres[:, None], grid.width, 1).astype(np.float32)}
    )
    spec = make_spec("slope", "northness", sources_url=str(tmp_path))
    slope, northness = get_loader(spec).static(BASE, BASE.window.expand(-250))
    np.testing.assert_allclose(slope, 0.1, rtol=0.01)
    np.testing.assert_allclose(northness, 0.1, rtol=0.02)
