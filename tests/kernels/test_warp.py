"""The general warp: the same laws as the separable kernels, to which it must come down where axes are aligned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.kernels import axis_weights, interpolate_lattice, resample, warp
from smdown.testing import rasters

SIDE = 30
radii = st.sampled_from((0, 1, 2))
scales = st.sampled_from((1.0, 1.3, 2.0, 3.7))


def turned(n=40, *, angle=0.4, step=0.3, centre=SIDE / 2):
    """Return source rows and columns of a grid that is turned against the source."""
    y, x = (np.mgrid[:n, :n] - n / 2) * step
    return centre + y * np.cos(angle) + x * np.sin(angle), centre + x * np.cos(angle) - y * np.sin(angle)


@given(rasters((SIDE, SIDE), 5.0, 5.0), radii, scales, scales)
def test_a_constant_stays(field, radius, scale_y, scale_x):
    out = warp(field, 0, 0, *turned(), scale_y, scale_x, radius)
    assert np.all((out == 5.0) | np.isnan(out))


@given(rasters((SIDE, SIDE), -3.0, 4.0), radii, scales, scales, st.floats(0, 3))
def test_valid_where_the_nearest_pixel_is_and_within_extremes(field, radius, scale_y, scale_x, angle):
    rows, cols = turned(angle=angle, step=0.9)
    out = warp(field, 0, 0, rows, cols, scale_y, scale_x, radius)
    y, x = np.floor(rows).astype(int), np.floor(cols).astype(int)
    inside = (y >= 0) & (y < SIDE) & (x >= 0) & (x < SIDE)
    nearest = np.where(inside, field[y.clip(0, SIDE - 1), x.clip(0, SIDE - 1)], np.nan)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(nearest))
    if radius == 0:
        np.testing.assert_array_equal(out, nearest)
    if np.isfinite(out).any():
        assert np.nanmin(field) <= np.nanmin(out)
        assert np.nanmax(out) <= np.nanmax(field)


@given(rasters((SIDE, SIDE)), radii, scales, st.floats(0, 3), st.data())
def test_a_window_is_that_of_the_whole_bit_for_bit(field, radius, scale, angle, data):
    """Whichever part of the positions is asked for, and however little of the source is at hand."""
    rows, cols = turned(angle=angle, step=0.25)
    whole = warp(field, 0, 0, rows, cols, scale, scale, radius)
    y, x = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 39))
    cut = slice(y, data.draw(st.integers(y + 1, 40))), slice(x, data.draw(st.integers(x + 1, 40)))
    reach = int(np.ceil(2 * scale)) + 1
    y0, x0 = (max(0, int(np.floor(p[cut].min())) - reach) for p in (rows, cols))
    y1, x1 = (int(np.floor(p[cut].max())) + 1 + reach for p in (rows, cols))
    part = warp(np.ascontiguousarray(field[y0:y1, x0:x1]), y0, x0, rows[cut], cols[cut], scale, scale, radius)
    assert part.tobytes() == whole[cut].tobytes()


@given(rasters((SIDE, SIDE)), st.sampled_from(("cubic", "bilinear")), scales, st.floats(0.05, 0.95))
def test_on_aligned_axes_it_is_the_separable_kernel(field, method, scale, offset):
    """Where pixels are missing too: both leave them out, normalise and clamp alike."""
    margin = int(2 * scale) + 2
    edges = margin + offset + np.arange(int((SIDE - 2 * margin - 1) / scale) + 1) * scale
    centre = 0.5 * (edges[:-1] + edges[1:])
    axis = axis_weights(edges, method)
    rows, cols = np.meshgrid(centre, centre, indexing="ij")
    out = warp(field, 0, 0, rows, cols, scale, scale, {"cubic": 2, "bilinear": 1}[method])
    want = resample(field, 0, 0, axis, axis)
    close = np.isclose(out, want, atol=1e-4, equal_nan=True)
    assert close.mean() > (
        0.9 if np.isnan(field).any() else 0.999
    )  # little weight left: rounding shows, or the nearest


def test_a_ramp_is_reproduced():
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    rows, cols = turned(30)
    out = warp((3 * y - 2 * x).astype(np.float32), 0, 0, rows, cols, 1.0, 1.0, 2)
    np.testing.assert_allclose(out, 3 * rows - 2 * cols, atol=1e-4)


def test_a_hole_reaches_no_further_than_the_kernel():
    field = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    holed = field.copy()
    holed[15, 14] = np.nan
    rows, cols = turned()
    for radius, scale in ((2, 1.0), (1, 1.0), (2, 1.7), (1, 2.5)):
        changed = warp(field, 0, 0, rows, cols, scale, scale, radius) != warp(
            holed, 0, 0, rows, cols, scale, scale, radius
        )
        near = (np.abs(rows - 15.5) <= radius * scale) & (np.abs(cols - 14.5) <= radius * scale)
        assert changed.any()
        assert not changed[~near].any()


def test_positions_that_no_projection_reaches_are_missing():
    rows, cols = (np.array([[5.0, np.inf, np.nan, -400.0]]) for _ in range(2))
    out = warp(np.ones((SIDE, SIDE), np.float32), 0, 0, rows, cols, 1.0, 1.0, 2)
    np.testing.assert_array_equal(out, [[1.0, np.nan, np.nan, np.nan]])


@given(st.integers(-300, 300), st.integers(-300, 300), st.sampled_from((1, 2, 8, 64)))
def test_a_lattice_gives_positions_from_global_indices(y0, x0, step):
    """Exact for positions that are linear in the index, whatever window they are asked for."""
    ny, nx = ((first + 20) // step + 2 - first // step for first in (y0, x0))
    y, x = np.meshgrid(
        (y0 // step + np.arange(ny)) * step, (x0 // step + np.arange(nx)) * step, indexing="ij"
    )  # fmt: skip
    out = interpolate_lattice(0.5 * y - 0.25 * x, y0, x0, 20, 20, step)
    want = 0.5 * np.arange(y0, y0 + 20)[:, None] - 0.25 * np.arange(x0, x0 + 20)
    np.testing.assert_allclose(out, want, atol=1e-9)


@pytest.mark.parametrize("radius", [1, 2])
def test_where_holes_leave_no_weight_the_nearest_pixel_is_taken(radius):
    field = np.full((SIDE, SIDE), np.nan, np.float32)
    field[15, 15] = 2.0
    out = warp(field, 0, 0, np.array([[15.2]]), np.array([[15.9]]), 3.0, 3.0, radius)
    assert out[0, 0] == 2.0
