from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform
from rio_cogeo import cog_validate

from smdown.cubes import create_cube
from smdown.errors import ConfigError, CubeError, ResourceError
from smdown.export import export_cog
from smdown.export.cog import MADE_FROM
from smdown.export.quicklook import quicklook
from smdown.export.target import target_grid
from smdown.inference.mosaic import mosaic_spec
from tests.inference.fakes import DAYS, job


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
    assert sorted(p.name for p in path.parent.iterdir()) == ["map.qml", "map.tif"]


def test_a_large_map_has_overviews(tmp_path):
    the_job = job(tmp_path, ratio=200, days=DAYS[:1])
    cube = create_cube(the_job.mosaic_url, mosaic_spec(the_job, "f", {}))
    for tile in the_job.grid.tiles(2):
        cube.write("sm_surface", np.full(tile.core.shape, 0.25), tile.core.relative_to(the_job.grid.window), 0)
    cube.finish()
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
    with pytest.raises(ConfigError, match="units of EPSG:5070"):
        export_cog(cube.url, "sm_surface", DAYS[1], tmp_path / "x.tif", "EPSG:5070", 0.0003)
    with pytest.raises(ConfigError, match=r"wider than the map.*degree"):
        export_cog(cube.url, "sm_surface", DAYS[1], tmp_path / "x.tif", "EPSG:4326", 30)
    for bad in (0, -30, float("nan")):
        with pytest.raises(ConfigError, match="resolution"):
            export_cog(cube.url, "sm_surface", DAYS[1], tmp_path / "x.tif", resolution=bad)
    with pytest.raises(ConfigError, match="local"):
        export_cog(cube.url, "sm_surface", DAYS[1], "s3://bucket/x.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("variable", ["sm_surface", "flags"])
@pytest.mark.parametrize("grid", [{}, {"crs": "EPSG:5070"}, {"crs": "EPSG:4326", "resolution": 0.002}])
def test_what_is_written_is_cloud_optimised(mosaic, tmp_path, variable, grid):
    path = export_cog(mosaic[0].url, variable, DAYS[1], tmp_path / "map.tif", **grid)
    assert cog_validate(path, strict=True) == (True, [], [])


def test_another_grid_is_what_gdal_makes_of_the_whole_array(mosaic, tmp_path):
    cube, _ = mosaic
    raster = cube.raster
    with rasterio.open(export_cog(cube.url, "sm_surface", DAYS[1], tmp_path / "map.tif", "EPSG:32613", 200)) as file:
        assert file.res == (200, 200)
        assert [edge % 200 for edge in file.bounds] == [0, 0, 0, 0]
        out = np.full(file.shape, np.nan)
        reproject(
            cube.read("sm_surface", raster.window, 1).astype(np.float64), out, src_crs=raster.crs,
            src_transform=rasterio.Affine.from_gdal(*raster.geotransform), dst_crs=file.crs,
            dst_transform=file.transform, src_nodata=np.nan, dst_nodata=np.nan, resampling=Resampling.bilinear,
        )  # fmt: skip
        found = file.read(1, masked=True).astype(float).filled(np.nan) * 1e-4
    assert np.isfinite(out).mean() > 0.5
    assert np.allclose(found, out, atol=0.6e-4, equal_nan=True)


def test_larger_pixels_hold_the_mean_of_what_they_cover(make_square, tmp_path):
    rng = np.random.default_rng(3)
    values = rng.uniform(0.1, 0.5, (80, 120))
    values[:4, :8] = np.nan
    values[8:10, :] = np.nan
    flags = np.repeat(np.repeat(rng.integers(0, 8, (20, 30)), 4, axis=0), 4, axis=1).astype(np.uint8)
    flags[::4, ::4] = 7  # one of sixteen
    cube = make_square(values, flags)
    with rasterio.open(export_cog(cube.url, "sm", DAYS[0], tmp_path / "sm.tif", resolution=120)) as file:
        assert file.transform.to_gdal() == (600_000, 120, 0, 3_900_000, 0, -120)
        found = file.read(1, masked=True).astype(float).filled(np.nan) * 1e-4
    blocks = values.reshape(20, 4, 30, 4)
    known = np.isfinite(blocks).sum((1, 3))
    with np.errstate(invalid="ignore"):
        means = np.where(np.isfinite(blocks), blocks, 0).sum((1, 3)) / known
    assert np.allclose(found, means, atol=1.1e-4, equal_nan=True)  # rounded twice: each pixel, and their mean
    with rasterio.open(export_cog(cube.url, "flags", DAYS[0], tmp_path / "flags.tif", resolution=120)) as file:
        assert np.array_equal(file.read(1), flags[1::4, 1::4])


@settings(max_examples=15)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.3, 0.6]), st.sampled_from([None, "EPSG:5070", "EPSG:4326"]),
    st.sampled_from([None, 1.4, 7.3]),
)  # fmt: skip
def test_nothing_but_values_goes_into_values(make_square, tmp_path_factory, seed, value, crs, times):
    """Of a constant map with holes, whatever the grid, every pixel is the constant or nothing."""
    holes = np.random.default_rng(seed).random((40, 50)) < 0.3
    flags = np.where(holes, 6, 0).astype(np.uint8)
    cube = make_square(np.where(holes, np.nan, value), flags)
    resolution = None if times is None else times * (30 if crs != "EPSG:4326" else 30 / 111_000)
    folder = tmp_path_factory.mktemp("law")
    with rasterio.open(export_cog(cube.url, "sm", DAYS[0], folder / "sm.tif", crs, resolution)) as file:
        counts = set(np.unique(file.read(1)).tolist())
        assert counts <= {round(value * 1e4), -32768}
        assert round(value * 1e4) in counts
    with rasterio.open(export_cog(cube.url, "flags", DAYS[0], folder / "flags.tif", crs, resolution)) as file:
        assert set(np.unique(file.read(1)).tolist()) <= {0, 6, 255}


def test_flags_have_colours_and_names_that_gdal_reads(mosaic, tmp_path):
    for name, grid in (("plain", {}), ("warped", {"crs": "EPSG:5070"})):
        path = export_cog(mosaic[0].url, "flags", DAYS[1], tmp_path / f"{name}.tif", **grid)
        with rasterio.open(path) as file:
            colours = file.colormap(1)
        assert len({colours[n] for n in (0, 1, 2, 4, 8)}) == 5
        assert colours[2] == colours[6]  # the lowest flag gives the colour
        rasterio.shutil.copy(path, tmp_path / "names.vrt", driver="VRT")
        names = [node.text for node in ET.parse(tmp_path / "names.vrt").iter("Category")]
        assert names[:4] == [
            "nothing to say", "coarse value missing", "required driver missing",
            "coarse value missing + required driver missing",
        ]  # fmt: skip
        entries = ET.parse(path.with_suffix(".qml")).findall(".//paletteEntry")
        assert [entry.get("label") for entry in entries] == names
        assert entries[2].get("color") == "#{:02x}{:02x}{:02x}".format(*colours[2][:3])


def test_a_layer_has_a_style_over_its_valid_range(mosaic, tmp_path):
    path = export_cog(mosaic[0].url, "sm_surface", DAYS[1], tmp_path / "map.tif")
    style = ET.parse(path.with_suffix(".qml"))
    values = [float(item.get("value")) for item in style.findall(".//colorrampshader/item")]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (0.02, 0.6)
    std = export_cog(mosaic[0].url, "sm_surface_std", DAYS[1], tmp_path / "std.tif")
    top = float(ET.parse(std.with_suffix(".qml")).findall(".//colorrampshader/item")[-1].get("value"))
    assert 0.03 < top < 0.06  # in units, as QGIS shows them, not in counts


def test_statistics_are_those_of_the_file(mosaic, tmp_path):
    for grid in ({}, {"crs": "EPSG:5070", "resolution": 400}):
        with rasterio.open(export_cog(mosaic[0].url, "sm_surface", DAYS[1], tmp_path / "map.tif", **grid)) as file:
            values = file.read(1, masked=True).astype(float)
            tags = {k.removeprefix("STATISTICS_"): float(v) for k, v in file.tags(1).items() if "STATISTICS" in k}
        assert tags["MINIMUM"] == values.min()
        assert tags["MAXIMUM"] == values.max()
        assert tags["MEAN"] == pytest.approx(values.mean())
        assert tags["STDDEV"] == pytest.approx(values.std())
        assert tags["VALID_PERCENT"] == pytest.approx(100 * values.count() / values.size, abs=1e-3)


def test_a_finished_file_is_kept_and_another_is_made_anew(mosaic, tmp_path):
    url, path = mosaic[0].url, tmp_path / "map.tif"
    before = export_cog(url, "sm_surface", DAYS[1], path).stat()
    assert export_cog(url, "sm_surface", DAYS[1], path).stat() == before
    for changed in ({"variable": "flags"}, {"day": DAYS[0]}, {"crs": "EPSG:5070"}, {"resolution": 500}):
        asked = {"variable": "sm_surface", "day": DAYS[1], **changed}
        old = rasterio.open(path).tags()
        new = rasterio.open(export_cog(url, path=path, **asked)).tags()
        keys = (MADE_FROM, "variable", "TIFFTAG_DATETIME")
        assert [old[k] for k in keys] != [new[k] for k in keys]
    path.write_bytes(b"no map")
    with pytest.raises(ConfigError, match="is there and is no map of ours; name another file, or remove it"):
        export_cog(url, "sm_surface", DAYS[1], path)
    assert path.read_bytes() == b"no map"


def test_an_unfinished_map_is_refused(make_square, tmp_path):
    cube = make_square(np.full((80, 80), 0.2), finish=False)
    cube.commit(0, 1)
    with pytest.raises(CubeError, match="1 of 4 tiles"):
        export_cog(cube.url, "sm", DAYS[0], tmp_path / "map.tif")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_export_left_is_removed(mosaic, tmp_path):
    (tmp_path / ".export-map").mkdir()
    (tmp_path / ".export-map" / "plain.tif").write_bytes(b"half")
    export_cog(mosaic[0].url, "sm_surface", DAYS[1], tmp_path / "map.tif")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.qml", "map.tif"]


def test_a_disk_that_fills_up_leaves_nothing(mosaic, tmp_path):
    """A limit on the size of files stands in for the disk: it strikes in the plain copy or in the finished file."""
    code = (
        "import resource, signal, sys; from smdown.export import export_cog; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2); "
        f"export_cog(sys.argv[1], 'sm_surface', '{DAYS[1]}', sys.argv[2])"
    )
    root = Path(__file__).parents[2]
    for limit in (5_000, 30_000, 60_000):
        call = [sys.executable, "-c", code, mosaic[0].url, str(tmp_path / "map.tif"), str(limit)]
        ran = subprocess.run(
            call, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(root)}, check=False
        )
        assert ran.returncode == 1
        assert ResourceError.__name__ in ran.stderr.splitlines()[-1]
        assert not list(tmp_path.iterdir())


def test_a_file_that_comes_out_changed_is_not_kept(mosaic, tmp_path, monkeypatch):
    copy = rasterio.shutil.copy

    def careless(source, target, **options):
        with rasterio.open(source, "r+") as file:
            file.write(file.read(1) + 1, 1)
        copy(source, target, **options)

    monkeypatch.setattr(rasterio.shutil, "copy", careless)
    with pytest.raises(ResourceError, match="came back"):
        export_cog(mosaic[0].url, "sm_surface", DAYS[1], tmp_path / "map.tif")
    assert not list(tmp_path.iterdir())


def test_a_grid_lies_on_multiples_of_its_resolution(mosaic):
    raster = mosaic[0].raster
    assert target_grid(raster) is raster
    grid = target_grid(raster, None, 500)
    assert grid.crs == raster.crs
    assert {abs(v) % 500 for v in (grid.x0, grid.y0)} == {0}
    assert grid.x0 <= raster.x0
    assert grid.y0 >= raster.y0
    assert grid.x0 + grid.width * 500 >= raster.x0 + raster.width * raster.dx
    with pytest.raises(ConfigError, match="cannot show"):
        target_grid(raster, "+proj=ortho +lat_0=-30 +lon_0=75")
    for no_map in ("EPSG:4978", "EPSG:5703"):
        with pytest.raises(ConfigError, match="no flat map"):
            target_grid(raster, no_map)
