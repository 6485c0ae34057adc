import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.sources import check
from smdown.sources.composite import median
from smdown.sources.config import ReflectanceConfig
from smdown.sources.context import transform_bounds
from tests.sources.fabricate import ingest, write_tif

BANDS = {"red": "*.B04.tif", "nir": "*.B05.tif"}
PIXEL = 300.0
CRS = "EPSG:32614"


@pytest.fixture
def corner(context):
    x0, _, _, y1 = transform_bounds("EPSG:4326", CRS, context.lonlat)
    return round(x0 / PIXEL) * PIXEL - 40 * PIXEL, round(y1 / PIXEL) * PIXEL + 40 * PIXEL


def config(folder, **options):
    return ReflectanceConfig(path=str(folder), bands=BANDS, mask="*.Fmask.tif", composite_days=2, **options)


def scene(folder, day, corner, counts, mask, shift=(0, 0), crs=CRS):
    """Write one scene; `shift` moves it by whole pixels (down, right)."""
    x, y = corner[0] + shift[1] * PIXEL, corner[1] - shift[0] * PIXEL
    name = f"HLS.L30.T14SNE.2020{day:03d}T170000.v2.0"
    for band, values in zip(("B04", "B05"), counts, strict=True):
        write_tif(folder / name / f"{name}.{band}.tif", values.astype("i2"), x, y, PIXEL, PIXEL, crs, nodata=-9999)
    write_tif(folder / name / f"{name}.Fmask.tif", mask.astype("u1"), x, y, PIXEL, PIXEL, crs, nodata=255)


def numpys(stack):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.nanmedian(stack, axis=0) if len(stack) else np.full(stack.shape[1:], np.nan)


@given(st.lists(st.lists(st.one_of(st.just(np.nan), st.floats(0, 1, width=32)), min_size=4, max_size=4), max_size=15))
def test_median_is_numpys(rows):
    stack = np.array(rows, "f4").reshape(-1, 2, 2)
    np.testing.assert_allclose(median(stack), numpys(stack), rtol=1e-6)


def test_composites_of_clear_pixels(tmp_path, context, corner):
    rng = np.random.default_rng(0)
    shape = (240, 250)
    days, shifts = (92, 92, 93, 95), ((0, 0), (0, 0), (3, -5), (0, 2))  # 2020-04-01 is day 92
    pool = []
    for n, (day, shift) in enumerate(zip(days, shifts, strict=True)):
        counts = rng.integers(-200, 6000, (2, *shape))
        counts[:, 100, 100:110] = -9999
        mask = rng.choice([0, 1, 2, 4, 8, 16, 32, 64, 192, 255], shape)
        folder = tmp_path / "in" / f"granule{n}"
        scene(folder, day, corner, counts, mask, shift)
        pool.append((day, shift, counts, mask))
    receipt, url = ingest(config(tmp_path / "in"), context)
    cube = open_cube(url)
    assert cube.spec.times == ("2020-04-01", "2020-04-03")
    y0 = round((corner[1] - cube.raster.y0) / PIXEL)
    x0 = round((cube.raster.x0 - corner[0]) / PIXEL)
    height, width = cube.raster.shape
    for time, chosen in enumerate(((92, 93), (95,))):
        planes = {day: np.full((2, 600, 600), np.nan) for day in chosen}
        for day, (dy, dx), counts, mask in pool:
            if day not in chosen:
                continue
            clear = ((mask & 0b1110) == 0) & (mask != 255) & (counts > 0).all(axis=0)
            part = planes[day][:, 100 + dy : 340 + dy, 100 + dx : 350 + dx]
            np.copyto(part, np.where(clear, counts * 1e-4, np.nan), where=np.isnan(part))  # the day's first clear one
        wanted = numpys(
            np.stack([p[:, 100 + y0 : 100 + y0 + height, 100 + x0 : 100 + x0 + width] for p in planes.values()])
        )
        for n, band in enumerate(BANDS):
            out = cube.read(band, cube.raster.window, time)
            np.testing.assert_allclose(out, wanted[n], atol=5.1e-5)
            assert np.isfinite(out).mean() > 0.1
    assert any("2 days, 2020-04-01 to 2020-04-03" in note for note in receipt.notes)


def test_incomplete_scenes_are_set_aside(tmp_path, context, corner):
    clear = np.full((2, 240, 250), 1000), np.zeros((240, 250))
    for day in (92, 93):
        scene(tmp_path, day, corner, *clear)
    next(tmp_path.rglob("*2020093*.B05.tif")).unlink()
    receipt, url = ingest(config(tmp_path), context)
    assert any("1 scenes without all bands" in note for note in receipt.notes)
    assert open_cube(url).spec.times == ("2020-04-01",)


def test_no_scene_in_time_or_place(tmp_path, context, corner):
    clear = np.full((2, 240, 250), 1000), np.zeros((240, 250))
    scene(tmp_path / "late", 300, corner, *clear)
    with pytest.raises(InputError, match="none in the period"):
        check({"optical": config(tmp_path / "late")}, context)
    scene(tmp_path / "far", 92, (corner[0] + 3e5, corner[1]), *clear)
    with pytest.raises(InputError, match="empty extent"):
        check({"optical": config(tmp_path / "far")}, context)
    with pytest.raises(InputError, match="no file matches"):
        check({"optical": config(tmp_path / "nothing")}, context)
    with pytest.raises(ValueError, match="exactly one"):
        ReflectanceConfig(path="x", bands={"red": "B04.tif"})
    with pytest.raises(ValueError, match="name bands, or a product"):
        ReflectanceConfig(path="x")
