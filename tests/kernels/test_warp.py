"""The general warp: the same laws as the separable kernels, to which it must come down where axes are aligned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.kernels import axis_weights, resample, warp
from smdown.testing import rasters

SIDE, AROUND = 30, 3
RADIUS = {"cubic": 2, "bilinear": 1, "average": 0.5, "nearest": 0.5, "mode": 0.5}
methods = st.sampled_from(tuple(RADIUS))
scales = st.sampled_from((1.0, 1.3, 2.0, 3.7))


def turned(y, x, *, angle=0.4, step=0.3, size=40):
    """Return source rows and columns of a grid that is turned against the source, its middle on the source's."""
    dy, dx = (y - size / 2) * step, (x - size / 2) * step
    middle = SIDE / 2
    return middle + dy * np.cos(angle) + dx * np.sin(angle), middle + dx * np.cos(angle) - dy * np.sin(angle)


def warped(field, where, corner=(0, 0), shape=(40, 40), *, scale=1.0, method="cubic", node=8, cut=None, clamp=True):
    """Warp to where a function of the target's indices says, with `AROUND` missing pixels about the source."""
    axes = [np.arange(c // node - 1, (c + n - 1) // node + 3) * node for c, n in zip(corner, shape, strict=True)]
    rows, cols = where(*np.meshgrid(*axes, indexing="ij"))
    around = np.pad(field, AROUND, constant_values=np.nan)
    y, x = (slice(None), slice(None)) if cut is None else cut
    y0, x0 = ((s.start or 0) - AROUND for s in (y, x))
    return warp(around[y, x], y0, x0, rows, cols, corner, shape, node, (scale, scale), method, clamp=clamp)


def exact(where, shape=(40, 40)):
    return where(*np.mgrid[: shape[0], : shape[1]].astype(float))


@given(rasters((SIDE, SIDE), 5.0, 5.0), methods, scales)
def test_a_constant_stays(field, method, scale):
    out = warped(field, turned, scale=scale, method=method)
    assert np.all((out == 5.0) | np.isnan(out))


@given(rasters((SIDE, SIDE), -3.0, 4.0), methods, scales, st.floats(0, 3))
def test_valid_where_the_nearest_pixel_is_and_within_extremes(field, method, scale, angle):
    def where(y, x):
        return turned(y, x, angle=angle, step=0.9)

    out = warped(field, where, scale=scale, method=method)
    rows, cols = exact(where)
    y, x = np.floor(rows).astype(int), np.floor(cols).astype(int)
    inside = (y >= 0) & (y < SIDE) & (x >= 0) & (x < SIDE)
    nearest = np.where(inside, field[y.clip(0, SIDE - 1), x.clip(0, SIDE - 1)], np.nan)
    sure = (np.abs(rows - np.round(rows)) > 1e-6) & (np.abs(cols - np.round(cols)) > 1e-6)  # not between two pixels
    np.testing.assert_array_equal(np.isnan(out)[sure], np.isnan(nearest)[sure])
    if method == "nearest":
        np.testing.assert_array_equal(out[sure], nearest[sure])
    if np.isfinite(out).any():
        assert np.nanmin(field) <= np.nanmin(out)
        assert np.nanmax(out) <= np.nanmax(field)


@given(rasters((SIDE, SIDE)), methods, scales, st.floats(0, 3), st.booleans(), st.data())
def test_a_window_is_that_of_the_whole_bit_for_bit(field, method, scale, angle, clamp, data):
    """Whichever part is asked for, and however little of the source is at hand."""

    def where(y, x):
        return turned(y, x, angle=angle, step=0.25)

    whole = warped(field, where, scale=scale, method=method, clamp=clamp)
    corner = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 39))
    shape = tuple(data.draw(st.integers(1, 40 - c)) for c in corner)
    target = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
    reach = int(np.ceil(RADIUS[method] * scale)) + 2
    cut = []
    for p in exact(where):
        low = int(np.floor(p[target].min())) - reach + AROUND
        cut.append(slice(max(0, low), int(np.floor(p[target].max())) + reach + AROUND + 1))
    part = warped(field, where, corner, shape, scale=scale, method=method, cut=cut, clamp=clamp)
    assert part.tobytes() == whole[target].tobytes()


@given(rasters((SIDE, SIDE)), st.sampled_from(("cubic", "bilinear", "average")), scales, st.floats(0.05, 0.95))
def test_on_aligned_axes_it_is_the_separable_kernel(field, method, scale, offset):
    """Where pixels are missing too: both leave them out, normalise and clamp alike."""
    margin = int(2 * scale) + 2
    edges = margin + offset + np.arange(int((SIDE - 2 * margin - 1) / scale) + 1) * scale
    axis = axis_weights(edges, method)
    first, n = 0.5 * (edges[0] + edges[1]), len(axis.start)
    out = warped(field, lambda y, x: (first + y * scale, first + x * scale), shape=(n, n), scale=scale, method=method)
    close = np.isclose(out, resample(field, 0, 0, axis, axis), atol=1e-4, equal_nan=True)
    assert close.mean() > (0.9 if np.isnan(field).any() else 0.999)  # little weight left: rounding shows


def test_a_ramp_is_reproduced():
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    out = warped((3 * y - 2 * x).astype(np.float32), turned)
    rows, cols = exact(turned)
    np.testing.assert_allclose(out, 3 * rows - 2 * cols, atol=1e-4)


def test_it_is_the_kernel_written_out():
    """Four taps along each axis, Keys' polynomials in float64, at every pixel of a turned grid."""
    field = np.random.default_rng(2).uniform(size=(SIDE, SIDE)).astype(np.float32)
    rows, cols = exact(turned)

    def weights(p):
        t = np.abs(np.floor(p - 0.5)[..., None] + np.arange(-1, 3) - (p[..., None] - 0.5))
        near = 1.5 * t**3 - 2.5 * t**2 + 1
        return np.where(t < 1, near, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))

    y, x = (np.floor(p - 0.5).astype(int)[..., None] + np.arange(-1, 3) for p in (rows, cols))
    want = np.einsum("ijm,ijn,ijmn->ij", weights(rows), weights(cols), field[y[..., :, None], x[..., None, :]])
    np.testing.assert_allclose(warped(field, turned, clamp=False), want, atol=5e-7)


@pytest.mark.parametrize("scale", [1.0, 1.7, 2.5])
@pytest.mark.parametrize("method", ["cubic", "bilinear", "average"])
def test_a_hole_reaches_no_further_than_the_kernel(method, scale):
    field = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    holed = field.copy()
    holed[15, 14] = np.nan
    rows, cols = exact(turned)
    changed = warped(field, turned, scale=scale, method=method) != warped(holed, turned, scale=scale, method=method)
    reach = RADIUS[method] * scale + 0.5 * (method == "average") + 1e-9
    near = (np.abs(rows - 15.5) <= reach) & (np.abs(cols - 14.5) <= reach)
    assert changed.any()
    assert not changed[~near].any()


def test_positions_that_no_projection_reaches_are_missing():
    def where(y, x):
        odd = np.select([x == 0, x == 1, x == 2], [5.0, np.inf, np.nan], -400.0)
        return odd, odd

    for method in RADIUS:
        out = warped(np.ones((SIDE, SIDE), np.float32), where, shape=(1, 4), method=method, node=1)
        np.testing.assert_array_equal(out, [[1.0, np.nan, np.nan, np.nan]])


@pytest.mark.parametrize("node", [1, 2, 8, 64])
@pytest.mark.parametrize("corner", [(0, 0), (-37, 11), (129, -300)])
def test_a_lattice_gives_positions_from_global_indices(corner, node):
    """Exact for positions of the third degree in the index, whatever window they are asked for."""
    y, x = np.mgrid[corner[0] : corner[0] + 20, corner[1] : corner[1] + 20]

    def where(y, x):
        return 15 + 1e-7 * (y - 3.0) ** 3, 15 + 0.01 * x - 1e-6 * (x * 1.0) ** 2 + 0.001 * y

    field = np.add.outer(np.arange(SIDE), 100 * np.arange(SIDE)).astype(np.float32)
    out = warped(field, where, corner, (20, 20), node=node, clamp=False)
    rows, cols = where(y, x)
    np.testing.assert_allclose(out, rows - 0.5 + 100 * (cols - 0.5), rtol=1e-5)


@pytest.mark.parametrize("method", ["cubic", "bilinear"])
def test_where_holes_leave_no_weight_the_nearest_pixel_is_taken(method):
    field = np.full((SIDE, SIDE), np.nan, np.float32)
    field[15, 15] = 2.0
    out = warped(field, lambda y, x: (y * 0 + 15.2, x * 0 + 15.9), shape=(1, 1), scale=3.0, method=method)
    assert out[0, 0] == 2.0
