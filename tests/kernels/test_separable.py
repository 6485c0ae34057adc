"""Separable resampling: laws that hold for any field, and agreement with GDAL."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

from smdown.kernels import axis_weights, resample
from smdown.testing import rasters

SIDE = 40
REACH = {"cubic": 2.0, "bilinear": 1.0, "average": 0.5, "nearest": 0.5, "mode": 0.5}
methods = st.sampled_from(tuple(REACH))
scales = st.sampled_from((0.07, 0.3, 0.9, 1.0, 1.01, 2.0, 2.7, 5.0))


def axis(scale, method, offset=0.0, side=SIDE, *, flipped=False):
    """Return an axis of as many target pixels as keep their taps inside `side` source pixels."""
    margin = int(2 * max(1.0, scale)) + 2
    edges = margin + offset + np.arange(int((side - 2 * margin - 1) / scale) + 1) * scale
    return axis_weights(side - edges if flipped else edges, method)


@given(rasters((SIDE, SIDE), 5.0, 5.0), methods, scales, scales, st.floats(0, 0.99), st.booleans())
def test_a_constant_stays(field, method, rows, cols, offset, coarsen):
    out = resample(field, 0, 0, axis(rows, method, offset), axis(cols, method), coarsen=coarsen)
    assert np.all((out == 5.0) | np.isnan(out))


@given(rasters((SIDE, SIDE), -3.0, 4.0), methods, scales, scales, st.floats(0, 0.99), st.booleans(), st.booleans())
def test_valid_where_the_nearest_pixel_is_and_within_extremes(
    field, method, scale_y, scale_x, offset, flipped, coarsen
):
    rows, cols = axis(scale_y, method, offset, flipped=flipped), axis(scale_x, method)
    out = resample(field, 0, 0, rows, cols, coarsen=coarsen)
    nearest = field[np.ix_(rows.nearest, cols.nearest)]
    np.testing.assert_array_equal(np.isnan(out), np.isnan(nearest))
    for i, j in np.ndindex(*(min(n, 12) for n in out.shape)):
        y, x = rows.start[i], cols.start[j]
        used = field[y : y + rows.count[i], x : x + cols.count[j]]
        if np.isfinite(out[i, j]):
            assert np.nanmin(used) <= out[i, j] <= np.nanmax(used)


@given(rasters((SIDE, SIDE)), methods, scales, scales, st.booleans(), st.booleans(), st.data())
def test_a_window_is_that_of_the_whole_bit_for_bit(field, method, scale_y, scale_x, coarsen, clamp, data):
    rows, cols = axis(scale_y, method, 0.3), axis(scale_x, method, 0.1)
    whole = resample(field, 0, 0, rows, cols, coarsen=coarsen, clamp=clamp)
    cuts = []
    for size in whole.shape:
        first = data.draw(st.integers(0, size - 1))
        cuts.append(slice(first, data.draw(st.integers(first + 1, size))))
    parts = [a.cut(c) for a, c in zip((rows, cols), cuts, strict=True)]
    (y0, y1), (x0, x1) = parts[0].reach, parts[1].reach
    part = resample(field[y0:y1, x0:x1], y0, x0, *parts, coarsen=coarsen, clamp=clamp)
    assert part.tobytes() == whole[tuple(cuts)].tobytes()


@given(st.sampled_from(("cubic", "bilinear", "average")), scales, st.integers(13, 25), st.integers(13, 25))
def test_a_hole_reaches_no_further_than_the_kernel(method, scale, y, x):
    field = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    holed = field.copy()
    holed[y, x] = np.nan
    rows = cols = axis(scale, method)
    changed = resample(field, 0, 0, rows, cols) != resample(holed, 0, 0, rows, cols)
    reach = REACH[method] * max(1.0, scale) + 0.5 * (method == "average")
    centre = int(2 * max(1.0, scale)) + 2 + (np.arange(changed.shape[0]) + 0.5) * scale
    far_y, far_x = (np.abs(centre - place - 0.5) > reach + 1e-6 for place in (y, x))
    assert not changed[far_y].any()
    assert not changed[:, far_x].any()
    assert changed.any()


def plainly(field, rows, cols):
    """Return the definition, written out: valid taps over their weight, within their extremes."""
    out = np.empty((len(rows.start), len(cols.start)))
    for i, j in np.ndindex(out.shape):
        y, x = rows.start[i], cols.start[j]
        taps = field[y : y + rows.count[i], x : x + cols.count[j]].astype(float)
        weights = np.outer(rows.weights[i, : rows.count[i]], cols.weights[j, : cols.count[j]]).astype(float)
        known = np.isfinite(taps)
        near, share = field[rows.nearest[i], cols.nearest[j]], weights[known].sum()
        out[i, j] = near
        if np.isfinite(near) and share > 1e-3:
            out[i, j] = np.clip((weights[known] * taps[known]).sum() / share, taps[known].min(), taps[known].max())
    return out


@pytest.mark.parametrize("missing", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("coarsen", [False, True])
@pytest.mark.parametrize(
    ("method", "scale"),
    [("cubic", 0.3), ("cubic", 1.2), ("cubic", 3.4), ("bilinear", 2.2), ("average", 0.8), ("average", 5.3)],
)
def test_it_is_what_is_defined(method, scale, coarsen, missing):
    random = np.random.default_rng(3)
    field = random.uniform(1, 2, (60, 60)).astype(np.float32)
    field[random.random(field.shape) < missing] = np.nan
    rows, cols = axis(scale, method, 0.37, 60), axis(0.9 * scale, method, side=60)
    want = plainly(field, rows, cols)
    close = np.isclose(resample(field, 0, 0, rows, cols, coarsen=coarsen), want, atol=2e-5, equal_nan=True)
    assert close.mean() > (0.98 if missing > 0.1 else 0.9999)  # where little weight is left, rounding shows


@given(rasters((SIDE, SIDE), 0, 4), st.sampled_from((1.0, 2.0, 2.6, 5.0)), st.floats(0, 0.99))
def test_the_mode_is_the_class_that_covers_most(field, scale, offset):
    field = np.floor(field)
    rows, cols = axis(scale, "mode", offset), axis(scale, "mode")
    out = resample(field, 0, 0, rows, cols)
    for i, j in np.ndindex(*(min(n, 8) for n in out.shape)):
        if np.isnan(out[i, j]):
            assert np.isnan(field[rows.nearest[i], cols.nearest[j]])
            continue
        y, x = rows.start[i], cols.start[j]
        taps = field[y : y + rows.count[i], x : x + cols.count[j]]
        weights = np.outer(rows.weights[i, : rows.count[i]], cols.weights[j, : cols.count[j]])
        area = {c: weights[taps == c].sum() for c in np.unique(taps[np.isfinite(taps)])}
        assert area[out[i, j]] >= max(area.values()) - 1e-5


@given(st.sampled_from(("cubic", "bilinear")), st.sampled_from((0.05, 0.3, 0.77, 1.0)), st.floats(0, 0.99))
def test_a_ramp_is_reproduced(method, scale, offset):
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    field = (3 * y - 2 * x + 7).astype(np.float32)
    rows, cols = axis(scale, method, offset), axis(scale, method)
    margin = int(2 * max(1.0, scale)) + 2
    steps = margin + (np.arange(len(cols.start)) + 0.5) * scale
    want = 3 * (steps[: len(rows.start), None] + offset) - 2 * steps[None, :] + 7
    np.testing.assert_allclose(resample(field, 0, 0, rows, cols), want, atol=2e-4)


@pytest.mark.parametrize("method", ["cubic", "bilinear", "average", "nearest", "mode"])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_checkerboard_stays_in_place(method, flipped):
    """On the source's own grid nothing moves by half a pixel, and a flipped axis turns the rows round."""
    board = (np.indices((16, 16)).sum(axis=0) % 2).astype(np.float32)
    board[3, 5] = 7.0
    edges = np.arange(2, 15.0)
    rows = axis_weights(edges[::-1] if flipped else edges, method)
    out = resample(np.pad(board, 2, mode="edge"), -2, -2, rows, axis_weights(edges, method))
    np.testing.assert_allclose(out, board[2:14, 2:14][:: -1 if flipped else 1], atol=1e-6)


def test_half_a_pixel_off_is_the_mean_of_four():
    board = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
    off = axis_weights(np.arange(2.5, 6.0), "average")
    want = (board[2:5, 2:5] + board[3:6, 2:5] + board[2:5, 3:6] + board[3:6, 3:6]) / 4
    np.testing.assert_allclose(resample(board, 0, 0, off, off), want, atol=1e-6)


def test_where_holes_leave_no_weight_the_nearest_pixel_is_taken():
    """Only pixels under a widened cubic's negative lobes are left beside the nearest: their share would be below 0."""
    rows = cols = axis_weights(np.array([12.0, 20.0]), "cubic")
    field = np.full((32, 32), np.nan, np.float32)
    field[4:6] = 100.0
    field[16, 16] = 1.0
    assert resample(field, 0, 0, rows, cols)[0, 0] == 1.0


def test_a_source_that_is_too_small_is_refused():
    rows = axis_weights(np.arange(3.0), "cubic")
    with pytest.raises(AssertionError, match="begin at -1"):
        resample(np.zeros((9, 9), np.float32), 0, 0, rows, rows)


def gdal(field, scale, size, method, margin):
    out = np.full((size, size), np.nan)
    reproject(
        field, out, src_transform=Affine(1e3, 0, 2e5, 0, -1e3, 3e6),
        dst_transform=Affine(scale * 1e3, 0, 2e5 + margin * 1e3, 0, -scale * 1e3, 3e6 - margin * 1e3),
        src_crs="EPSG:6933", dst_crs="EPSG:6933", resampling=method, tolerance=0, num_threads=1,
    )  # fmt: skip
    return out


@pytest.mark.parametrize(
    ("method", "scale", "tolerance"),
    [("cubic", 0.13, 1e-4), ("cubic", 0.5, 1e-4), ("cubic", 1.0, 1e-4), ("bilinear", 0.3, 1e-4), ("average", 3.0, 1e-4),
     ("average", 2.6, 1e-2), ("cubic", 2.5, 1e-3), ("cubic", 4.0, 1e-3)],
)  # fmt: skip
def test_agrees_with_gdal(method, scale, tolerance):
    """GDAL's average drops or doubles edge pixels by rounding, hence its looser bound at a broken ratio."""
    y, x = np.mgrid[:SIDE, :SIDE]
    field = (np.sin(y / 2) + np.cos(x / 3) + 0.01 * x * y / SIDE).astype(np.float32)
    rows = cols = axis(scale, method)
    out = resample(field, 0, 0, rows, cols, clamp=False)
    want = gdal(field, scale, len(rows.start), Resampling[method], int(2 * max(1.0, scale)) + 2)
    assert np.abs(out - want).max() < tolerance * np.ptp(field)
