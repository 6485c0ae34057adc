"""Any window equals the same window of the whole, for every kind of source; and the edges of the map."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from smdown.errors import GridError
from smdown.features import Resampler
from smdown.features.resampler import PLAIN_UP_TO
from smdown.grid import EASE2_M09, NestedGrid, RasterGrid, Window

METHODS = ("cubic", "average", "bilinear", "nearest", "mode")
SOURCES = {  # metres or degrees a pixel, from much finer to much coarser than the targets
    "EPSG:4326": (1 / 3600, 1 / 120, 0.1),
    "EPSG:6933": (EASE2_M09.cell / 90, EASE2_M09.cell / 9, EASE2_M09.cell),
    "EPSG:32614": (30.0, 250.0, 1000.0),
    "EPSG:5070": (30.0, 1000.0),
    "EPSG:3413": (500.0, 9000.0),
}
RATIOS = (9, 90, 180, 300)
CELLS = Window(345, 347, 878, 880)
many = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def raster_over(crs, step, grid, window, margin, *, flipped=False):
    """Return a raster that covers a window and `margin` pixels around, with its first pixel anywhere."""
    x = grid.lattice.x0 + np.linspace(window.x0, window.x1, 9) * grid.pixel
    y = grid.lattice.y0 - np.linspace(window.y0, window.y1, 9) * grid.pixel
    sx, sy = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(*np.meshgrid(x, y))
    width, height = (int(np.ceil(np.ptp(s) / step)) + 2 * margin for s in (sx, sy))
    x0, y0 = sx.min() - (margin - 0.37) * step, sy.max() + (margin - 0.21) * step
    if flipped:
        return RasterGrid(crs, float(x0), float(y0 - height * step), step, step, height, width)
    return RasterGrid(crs, float(x0), float(y0), step, -step, height, width)


def field_of(raster, seed, pattern, dtype):
    """Return values with holes, cast there and back as a cube of that type would hold them."""
    random = np.random.default_rng(seed)
    values = random.uniform(1, 200, raster.shape).astype(dtype).astype(np.float32)
    if pattern == "points":
        values[random.random(raster.shape) < 0.05] = np.nan
    elif pattern == "block":
        y, x = (int(random.integers(0, n)) for n in raster.shape)
        values[y : y + raster.height // 3 + 1, x : x + raster.width // 3 + 1] = np.nan
    elif pattern == "all":
        values[:] = np.nan
    return values


def cut(field, need):
    """Return the needed pixels, missing beyond the source."""
    out = np.full(need.shape, np.nan, np.float32)
    inside = need.intersect(Window(0, field.shape[0], 0, field.shape[1]))
    if inside is not None:
        out[inside.relative_to(need).slices] = field[inside.slices]
    return out


def made(resampler, field, ratio, window, method):
    job = resampler.job(ratio, window, method)
    return job(cut(field, job.need))


@st.composite
def cases(draw):
    """Draw a source, a target window of it, and how the window is cut into tiles."""
    crs = draw(st.sampled_from(tuple(SOURCES)))
    step, ratio = draw(st.sampled_from(SOURCES[crs])), draw(st.sampled_from(RATIOS))
    grid = NestedGrid(EASE2_M09, CELLS, ratio)
    metres = step * (111_000 if crs == "EPSG:4326" else 1)
    most = int(min(1500, max(8, 700 * metres / grid.pixel)))  # at most some 700 source pixels across
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    y0 = grid.window.y0 + draw(st.integers(-most, grid.window.height))
    x0 = grid.window.x0 + draw(st.integers(-most, grid.window.width))
    tile = draw(st.integers(64, 1024)) if max(height, width) > 64 else draw(st.integers(1, 64))
    return crs, step, grid, Window(y0, y0 + height, x0, x0 + width), tile, draw(st.integers(-3, 5))


@pytest.mark.parametrize("method", METHODS)
@many
@given(cases(), st.sampled_from(("none", "points", "block", "all")), st.sampled_from(("f4", "u1", "i2")),
       st.booleans(), st.integers(0, 2**16))  # fmt: skip
def test_any_window_equals_that_of_the_whole(method, case, pattern, dtype, flipped, seed):
    """Bit for bit, whatever the tiles, and wherever the source ends."""
    crs, step, grid, window, tile, margin = case
    raster = raster_over(crs, step, grid, window, max(margin, 1 - margin), flipped=flipped)
    resampler, field = Resampler(raster, grid), field_of(raster, seed, pattern, dtype)
    whole = made(resampler, field, grid.ratio, window, method)
    random = np.random.default_rng(seed)
    first = random.integers(0, tile, 2)
    for y in range(window.y0 - int(first[0]), window.y1, tile):
        for x in range(window.x0 - int(first[1]), window.x1, tile):
            part = Window(y, y + tile, x, x + tile).intersect(window)
            if part is None or random.random() > 4 / max(1, window.size / tile**2):
                continue
            assert made(resampler, field, grid.ratio, part, method).tobytes() == whole[
                part.relative_to(window).slices
            ].tobytes()  # fmt: skip


@pytest.mark.parametrize("crs", SOURCES)
@pytest.mark.parametrize("method", METHODS)
def test_valid_where_the_nearest_pixel_is(crs, method):
    grid = NestedGrid(EASE2_M09, CELLS, 30)
    raster = raster_over(crs, SOURCES[crs][-1] / 3, grid, grid.window, 2)
    resampler, field = Resampler(raster, grid), field_of(raster, 1, "points", "f4")
    w = grid.window
    rows, cols = resampler.geometry.positions(30, np.arange(w.y0, w.y1), np.arange(w.x0, w.x1))
    nearest = field[np.floor(rows).astype(int), np.floor(cols).astype(int)]
    np.testing.assert_array_equal(np.isnan(made(resampler, field, 30, w, method)), np.isnan(nearest))


def kernel(t):
    t = np.abs(t)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def written_out(field, rows, cols, scale_y, scale_x):
    """Return Keys' cubic in float64 at exact places, widened where it coarsens, over all of the field."""
    out = np.empty(rows.shape)
    y, x = (np.arange(n) + 0.5 for n in field.shape)
    for i, j in np.ndindex(rows.shape):
        wy, wx = kernel((y - rows[i, j]) / scale_y[i]), kernel((x - cols[i, j]) / scale_x[j])
        out[i, j] = wy @ field.astype(float) @ wx / (wy.sum() * wx.sum())
    return out


@pytest.mark.parametrize(
    ("crs", "step", "ratio"),
    [("EPSG:4326", 1 / 3600, 300), ("EPSG:4326", 1 / 120, 300), ("EPSG:4326", 1 / 1200, 9), ("EPSG:6933", None, 300),
     ("EPSG:6933", None, 9), ("EPSG:32614", 30.0, 300), ("EPSG:32614", 250.0, 300), ("EPSG:32614", 250.0, 9),
     ("EPSG:5070", 30.0, 300), ("EPSG:3413", 500.0, 90)],
)  # fmt: skip
def test_it_is_the_kernel_at_exact_places(crs, step, ratio):
    """Refining and coarsening, axis by axis and turned: within two millionths of the field's range."""
    grid = NestedGrid(EASE2_M09, CELLS, ratio)
    w = grid.window
    window = Window(w.y0 + w.height // 3, w.y0 + w.height // 3 + 12, w.x0 + 3, w.x0 + 14)
    raster = raster_over(crs, step or EASE2_M09.cell / 90, grid, window, 12 if ratio > 9 else 40)
    field = np.random.default_rng(5).uniform(0.1, 0.5, raster.shape).astype(np.float32)
    resampler = Resampler(raster, grid)
    rows, cols = resampler.geometry.positions(
        ratio, np.arange(window.y0, window.y1), np.arange(window.x0, window.x1)
    )  # fmt: skip
    if resampler.geometry.separable:
        scale_y, scale_x = (np.maximum(1, np.abs(np.diff(e))) for e in resampler.geometry.edges(ratio, window))
    else:
        scale_y, scale_x = (
            np.full(n, s if s > PLAIN_UP_TO else 1.0)
            for n, s in zip(window.shape, resampler.scales(ratio), strict=True)
        )
    job = resampler.job(ratio, window, "cubic", clamp=False)
    want = written_out(field, rows, cols, scale_y, scale_x)
    assert np.abs(job(cut(field, job.need)) - want).max() < 2e-6 * np.ptp(field)


@pytest.mark.parametrize("crs", ["EPSG:6933", "EPSG:3410", "EPSG:4326", "EPSG:32614"])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_checkerboard_lies_where_its_coordinates_say(crs, flipped):
    """By way of longitudes and latitudes: half a pixel, a flipped axis, or EASE-Grid 1 taken for 2 would be seen."""
    grid = NestedGrid(EASE2_M09, CELLS, 30)
    w, step = grid.window, 0.02 if crs == "EPSG:4326" else 1000.0
    raster = raster_over(crs, step, grid, w, 4, flipped=flipped)
    board = (np.indices(raster.shape).sum(axis=0) % 2).astype(np.float32)
    x = grid.lattice.x0 + (np.arange(w.x0, w.x1) + 0.5) * grid.pixel
    y = grid.lattice.y0 - (np.arange(w.y0, w.y1) + 0.5) * grid.pixel
    ground = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True).transform(*np.meshgrid(x, y))

    def expected(of):
        sx, sy = Transformer.from_crs("EPSG:4326", of.crs, always_xy=True).transform(*ground)
        rows, cols = np.floor((sy - of.y0) / of.dy), np.floor((sx - of.x0) / of.dx)
        return (rows + cols) % 2

    out = made(Resampler(raster, grid), board, 30, w, "nearest")
    np.testing.assert_array_equal(out, expected(raster))
    for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
        moved = RasterGrid(crs, raster.x0 + dx * raster.dx, raster.y0 + dy * raster.dy, raster.dx, raster.dy,
                           *raster.shape)  # fmt: skip
        assert np.mean(out != expected(moved)) > 0.3
    if crs == "EPSG:3410":
        first_for_second = RasterGrid("EPSG:6933", raster.x0, raster.y0, raster.dx, raster.dy, *raster.shape)
        assert np.mean(out != expected(first_for_second)) > 0.2


def test_longitudes_run_on_across_the_180th_meridian():
    """The same ground from a source on 0 to 360 degrees, where the region ends at the lattice's edge."""
    grid = NestedGrid(EASE2_M09, Window(600, 602, 3853, 3856), 30)
    west = RasterGrid("EPSG:4326", 178.0, 20.0, 0.05, -0.05, 200, 80)
    y, x = np.meshgrid(np.arange(200), np.arange(80), indexing="ij")
    field = np.sin(y / 9 + x / 7).astype(np.float32)
    window = grid.window.expand(0, 3)  # three pixels beyond the edge
    out = made(Resampler(west, grid), field, 30, window, "cubic")
    assert np.isfinite(out).all()
    assert np.abs(np.diff(out, axis=1)).max() < 0.05


def test_a_source_that_the_region_is_not_on_the_map_of_is_refused():
    pole = RasterGrid("ESRI:102035", 0.0, 0.0, 1000.0, -1000.0, 10, 10)  # the northern hemisphere, orthographic
    south = NestedGrid(EASE2_M09, Window(1500, 1502, 800, 802), 9)
    with pytest.raises(GridError, match="cannot be projected"):
        Resampler(pole, south).scales(9)
