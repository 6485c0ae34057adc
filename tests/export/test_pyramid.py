from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives datasets their .rio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smdown.cubes import open_cube, verify
from smdown.errors import ConfigError, CubeError, ResourceError
from smdown.export import export_pyramid
from smdown.export.pyramid import halved
from tests.inference.fakes import DAYS


@pytest.fixture(scope="module")
def pyramid(mosaic, tmp_path_factory):
    return export_pyramid(mosaic[0].url, str(tmp_path_factory.mktemp("pyramid") / "levels.zarr"), levels=4)


def open_level(url, level):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return xr.open_zarr(url, group=str(level), decode_coords="all")


def coarsened(values):
    """Means over 2 x 2, as plain xarray has them."""
    return values.coarsen(y=2, x=2, boundary="pad").mean()


def test_each_level_is_the_mean_of_the_one_below(pyramid, mosaic):
    first = open_level(pyramid, 0)
    assert np.allclose(first["sm_surface"][1], mosaic[1], atol=0.51e-4, equal_nan=True)
    for level in range(1, 4):
        below, here = open_level(pyramid, level - 1), open_level(pyramid, level)
        for name in ("sm_surface", "sm_surface_std"):
            expected = coarsened(below[name].where(lambda v: v.notnull()))
            assert np.allclose(here[name], expected, atol=0.51e-4, equal_nan=True)
        flags = below["flags"].coarsen(y=2, x=2, boundary="pad").reduce(lambda v, axis: np.nanmax(v, axis=axis))
        assert np.array_equal(here["flags"], flags.fillna(0))  # one bit alone: its union is its maximum


def test_each_level_lies_where_the_map_lies(pyramid, mosaic):
    raster = mosaic[0].raster
    for level in range(4):
        here = open_level(pyramid, level)
        assert here.rio.crs.to_epsg() == 6933
        step = raster.dx * 2**level
        assert here.rio.transform().to_gdal() == pytest.approx((raster.x0, step, 0, raster.y0, 0, -step))
        assert here.sizes["y"] == -(-raster.height // 2**level)
        assert float(here.y[0]) == pytest.approx(raster.y0 - step / 2)
        assert list(here.time.dt.strftime("%Y-%m-%d").values) == list(DAYS[:2])


def test_the_group_names_its_levels(pyramid, mosaic):
    tree = xr.open_datatree(pyramid, engine="zarr")
    assert sorted(tree.children) == ["0", "1", "2", "3"]
    attrs = json.loads((open(f"{pyramid}/zarr.json")).read())["attributes"]  # noqa: PTH123, SIM115
    layout = attrs["multiscales"]["layout"]
    assert [level["asset"] for level in layout] == ["0", "1", "2", "3"]
    assert [level.get("derived_from") for level in layout] == [None, "0", "1", "2"]
    assert [c["name"] for c in attrs["zarr_conventions"]] == ["multiscales", "proj:", "spatial"]
    assert attrs["proj:code"] == "EPSG:6933"
    for level in layout:
        assert level["spatial:shape"] == [tree[level["asset"]].sizes[axis] for axis in ("y", "x")]
        assert level["spatial:transform"][0] == pytest.approx(mosaic[0].raster.dx * 2 ** int(level["asset"]))


def test_every_level_is_a_sound_cube(pyramid):
    for level in range(4):
        assert open_cube(f"{pyramid}/{level}", complete=True)
        assert not verify(f"{pyramid}/{level}").faults


def test_a_stopped_pyramid_is_taken_up_to_the_same_bytes(mosaic, tmp_path, pyramid):
    class StoppedError(Exception):
        pass

    def stop_at(limit):
        def tell(text, done, total):
            if done == limit:
                raise StoppedError

        return tell

    url = str(tmp_path / "levels.zarr")
    for limit in (1, 3, 8):
        with pytest.raises(StoppedError):
            export_pyramid(mosaic[0].url, url, levels=4, tell=stop_at(limit))
    export_pyramid(mosaic[0].url, url, levels=4)
    assert files(url) == files(pyramid)
    times = {path: Path(url, path).stat().st_mtime_ns for path in files(url) if "/c/" in path}
    export_pyramid(mosaic[0].url, url, levels=4)
    assert times == {path: Path(url, path).stat().st_mtime_ns for path in times}


def files(url):
    found = {}
    for folder, _, names in os.walk(url):
        for name in names:
            with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123
                found[os.path.relpath(f"{folder}/{name}", url)] = file.read()
    return found


def test_it_ends_with_a_small_level(make_square, tmp_path):
    cube = make_square(np.full((1030, 70), 0.3), shard=256, chunk=64)
    url = export_pyramid(cube.url, str(tmp_path / "p.zarr"))
    assert [open_level(url, n).sizes["y"] for n in range(3)] == [1030, 515, 258]
    assert not Path(url, "3").exists()
    assert (open_level(url, 2)["sm"] == 0.3).all()


def test_a_pyramid_lies_anywhere(make_square):
    cube = make_square(np.full((60, 60), 0.3))
    url = export_pyramid(cube.url, "memory://pyramid/p.zarr", levels=2)
    assert (open_level(url, 1)["sm"] == 0.3).all()
    assert xr.open_datatree(url, engine="zarr")["1"].sizes["y"] == 30


def test_some_layers_of_some_days(mosaic, tmp_path):
    url = export_pyramid(mosaic[0].url, str(tmp_path / "p.zarr"), layers=["sm_surface"], days=[DAYS[1]], levels=2)
    level = open_level(url, 1)
    assert {"sm_surface"} == set(level.data_vars) - {"receipts"}
    assert np.isfinite(level["sm_surface"]).any()
    with pytest.raises(CubeError, match="another configuration"):
        export_pyramid(mosaic[0].url, url, layers=["sm_surface"], days=[DAYS[0]], levels=2)


def test_days_that_were_appended_to_the_mosaic_join(growing, tmp_path):
    url = export_pyramid(growing(DAYS[:1]), str(tmp_path / "p.zarr"), levels=2)
    old = {p: p.stat().st_mtime_ns for p in Path(url).glob("*/sm_*/c/0/*/*")}
    mosaic = growing(DAYS[:2])
    export_pyramid(mosaic, url, levels=2)
    assert old
    assert {p: p.stat().st_mtime_ns for p in old} == old
    whole = export_pyramid(mosaic, str(tmp_path / "whole.zarr"), levels=2)
    for level in (0, 1):
        xr.testing.assert_equal(open_level(url, level).sm_surface, open_level(whole, level).sm_surface)
    with pytest.raises(CubeError, match=r"layers was .*; name a new place, or remove it$"):
        export_pyramid(mosaic, url, layers=["flags"], levels=2)


def test_bad_requests(mosaic, make_square, tmp_path):
    with pytest.raises(ConfigError, match="levels"):
        export_pyramid(mosaic[0].url, str(tmp_path / "p.zarr"), levels=0)
    with pytest.raises(CubeError, match="0 of 1 tiles"):
        export_pyramid(make_square(np.full((40, 40), 0.2), finish=False).url, str(tmp_path / "p.zarr"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "own.txt").write_text("mine")
    with pytest.raises(CubeError, match="no pyramid"):
        export_pyramid(mosaic[0].url, str(tmp_path))
    with pytest.raises((CubeError, ResourceError), match="own"):
        export_pyramid(mosaic[0].url, str(tmp_path / "own.txt"))
    shutil.copytree(mosaic[0].url, tmp_path / "mosaic.zarr")
    with pytest.raises(CubeError, match="no pyramid"):
        export_pyramid(mosaic[0].url, str(tmp_path / "mosaic.zarr"))


VALUES = arrays(np.float32, (8, 12), elements=st.one_of(st.just(np.nan), st.floats(0, 0.5, width=32)))


@given(VALUES)
def test_halving_keeps_the_mean_where_all_is_known_and_never_leaves_the_range(values):
    half = halved(values)
    blocks = values.reshape(4, 2, 6, 2)
    known = np.isfinite(blocks).sum((1, 3))
    assert np.array_equal(np.isfinite(half), known > 0)
    some = known > 0
    low, high = (
        f(blocks, axis=(1, 3), initial=end, where=np.isfinite(blocks)) for f, end in ((np.min, 9), (np.max, -9))
    )
    assert (half[some] >= low[some] - 1e-6).all()
    assert (half[some] <= high[some] + 1e-6).all()
    if np.isfinite(values).all():
        assert half.mean() == pytest.approx(values.mean(), rel=1e-5, abs=1e-7)


@given(arrays(np.uint8, (8, 16)))
def test_flags_are_joined_whatever_the_steps(flags):
    twice = halved(halved(flags))
    assert np.array_equal(twice, np.bitwise_or.reduce(np.bitwise_or.reduce(flags.reshape(2, 4, 4, 4), axis=3), axis=1))
