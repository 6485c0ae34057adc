from __future__ import annotations

import numpy as np
import pytest
import rasterio
from matplotlib.image import imread
from rasterio.warp import transform

from smdown.cubes import create_cube
from smdown.errors import ConfigError, CubeError
from smdown.inference import export_cog, quicklook
from smdown.inference.mosaic import mosaic_spec
from smdown.inference.quicklook import decimated
from tests.inference.fakes import DAYS, job, noise

RATIO = 60


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """A mosaic of 300 x 180 pixels with a hole and a gradient, written tile by tile."""
    the_job = job(tmp_path_factory.mktemp("mosaic"), ratio=RATIO, days=DAYS[:2])
    cube = create_cube(the_job.mosaic_url, mosaic_spec(the_job, "f", {"bundle": "abc"}))
    window = the_job.grid.window
    x = np.linspace(0.1, 0.4, window.width, dtype=np.float32)[None, :]
    field = x + 0.05 * noise(window, 1)
    field[30:50, 40:90] = np.nan
    for tile in the_job.grid.tiles(the_job.cells_per_tile):
        part = tile.core.relative_to(window)
        cube.write("sm_surface", field[part.slices], part, 1)
        cube.write("flags", np.isnan(field[part.slices]).astype(np.uint8) * 2, part, 1)
    return cube, field


def test_the_cog_holds_the_very_values(mosaic, tmp_path):
    cube, field = mosaic
    path = export_cog(cube.url, "sm_surface", DAYS[1], tmp_path / "out" / "map.tif")
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (file.crs.to_epsg(), file.nodata, file.scales, file.units) == (6933, -32768, (1e-4,), ("m3 m-3",))
        assert file.transform.to_gdal() == pytest.approx(cube.raster.geotransform)
        assert np.array_equal(file.read(1), np.asarray(cube.array("sm_surface")[1]))
        values = file.read(1, masked=True) * file.scales[0]
        assert (np.ma.getmaskarray(values) == np.isnan(field)).all()
        assert file.tags()["constraint"] == "logit"
        assert file.tags()["bundle"] == "abc"
        assert file.descriptions == ("Surface soil moisture",)
    assert [p.name for p in path.parent.iterdir()] == ["map.tif"]


def test_a_large_map_has_overviews(tmp_path):
    the_job = job(tmp_path, ratio=200, days=DAYS[:1])
    cube = create_cube(the_job.mosaic_url, mosaic_spec(the_job, "f", {}))
    for tile in the_job.grid.tiles(2):
        cube.write("sm_surface", np.full(tile.core.shape, 0.25), tile.core.relative_to(the_job.grid.window), 0)
    with rasterio.open(export_cog(cube.url, "sm_surface", DAYS[0], tmp_path / "map.tif")) as file:
        assert file.overviews(1)
        assert (file.read(1, out_shape=(125, 75)) == 2500).all()


def test_reprojection_keeps_places_scale_and_nodata(mosaic, tmp_path):
    cube, field = mosaic
    with rasterio.open(export_cog(cube.url, "sm_surface", DAYS[1], tmp_path / "map.tif", "EPSG:5070")) as file:
        assert file.crs.to_epsg() == 5070
        assert (file.nodata, file.scales, file.units) == (-32768, (1e-4,), ("m3 m-3",))
        row, col = 200, 120
        (x,), (y,) = transform(cube.raster.crs, file.crs, [cube.raster.x[col]], [cube.raster.y[row]])
        found = next(file.sample([(x, y)]))[0] * 1e-4
        near = field[row - 1 : row + 2, col - 1 : col + 2]
        assert near.min() - 1e-4 <= found <= near.max() + 1e-4
        assert (file.read(1) == -32768).any()


def test_flags_are_not_blended(mosaic, tmp_path):
    cube, _ = mosaic
    with rasterio.open(export_cog(cube.url, "flags", DAYS[1], tmp_path / "flags.tif")) as file:
        assert np.array_equal(file.read(1), cube.read("flags", cube.raster.window, 1))
    with rasterio.open(export_cog(cube.url, "flags", DAYS[1], tmp_path / "warped.tif", "EPSG:5070")) as file:
        assert set(np.unique(file.read(1))) == {0, 2, 255}
        assert file.nodata == 255


@pytest.mark.parametrize(("largest", "step"), [(1000, 1), (150, 2), (99, 4), (3, 60)])
def test_decimation_averages_what_is_there(mosaic, largest, step):
    cube, field = mosaic
    found, used = decimated(cube, cube.variables["sm_surface"], 1, largest)
    assert used == step
    height, width = field.shape
    blocks = field.reshape(height // step, step, width // step, step)
    with np.errstate(invalid="ignore"):
        expected = np.where(np.isfinite(blocks), blocks, 0).sum((1, 3)) / np.isfinite(blocks).sum((1, 3))
    assert np.allclose(found, expected, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("variable", ["sm_surface", "sm_rootzone_std", "flags"])  # the second holds nothing at all
def test_the_quicklook_is_a_picture(mosaic, tmp_path, variable):
    cube, _ = mosaic
    image = imread(quicklook(cube.url, variable, DAYS[1], tmp_path / "look.png"))
    assert min(image.shape[:2]) > 500
    assert len(np.unique(image[..., :3] @ np.array([1, 300, 90000]))) > 20


def test_what_is_not_there_is_named(mosaic, tmp_path):
    cube, _ = mosaic
    with pytest.raises(CubeError, match="sm_surface, sm_surface_std"):
        export_cog(cube.url, "moisture", DAYS[0], tmp_path / "x.tif")
    with pytest.raises(CubeError, match="2020-05-01, 2020-05-02"):
        quicklook(cube.url, "sm_surface", "2021-01-01", tmp_path / "x.png")
    with pytest.raises(CubeError, match="no date"):
        quicklook(cube.url, "sm_surface", "yesterday", tmp_path / "x.png")
    with pytest.raises(ConfigError, match="EPSG:5070"):
        export_cog(cube.url, "sm_surface", DAYS[1], tmp_path / "x.tif", "EPSG:0")
    assert not list(tmp_path.iterdir())
