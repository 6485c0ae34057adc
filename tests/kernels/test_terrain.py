"""Shape of the ground: planes, bowls and bumps whose measures are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.kernels import terrain

H, W = 12, 15
slopes = st.floats(-0.8, 0.8)
DX, DY = np.linspace(20.0, 25.0, H), np.linspace(40.0, 36.0, H)


def plane(east, north):
    """Return a plane that rises `east` and `north`, over rows that lie 40 m and columns that lie 20 m apart."""
    y, x = np.mgrid[: H + 2, : W + 2]
    return (1000 + east * 20.0 * x - north * 40.0 * y).astype(np.float32)


@given(slopes, slopes)
def test_gradient_of_a_plane(east, north):
    found = terrain.gradient(plane(east, north), np.full(H, 20.0), np.full(H, 40.0))
    np.testing.assert_allclose(found[0], east, atol=1e-4)
    np.testing.assert_allclose(found[1], north, atol=1e-4)
    np.testing.assert_allclose(terrain.slope(*found), np.hypot(east, north), atol=1e-4)


def test_gradient_takes_the_distances_of_each_row():
    east, north = terrain.gradient(plane(0.5, 0.25), DX, DY)
    np.testing.assert_allclose(east[:, 0], 0.5 * 20 / DX, rtol=1e-4)
    np.testing.assert_allclose(north[:, 0], 0.25 * 40 / DY, rtol=1e-4)


@given(slopes, slopes)
def test_northness_and_eastness_are_of_the_side_that_it_falls_to(east, north):
    """The surface's unit normal points up and downhill: its northern and eastern parts are these two."""
    rise_east, rise_north = terrain.gradient(plane(east, north), np.full(H, 20.0), np.full(H, 40.0))
    length = np.sqrt(1 + east**2 + north**2)
    np.testing.assert_allclose(terrain.fall(rise_north, rise_east), -north / length, atol=1e-4)
    np.testing.assert_allclose(terrain.fall(rise_east, rise_north), -east / length, atol=1e-4)


def test_ground_that_falls_to_the_north_has_northness():
    rise_east, rise_north = terrain.gradient(plane(0.0, -0.3), np.full(H, 20.0), np.full(H, 40.0))
    assert np.all(terrain.fall(rise_north, rise_east) > 0.28)
    np.testing.assert_allclose(terrain.fall(rise_east, rise_north), 0.0, atol=1e-6)


def test_laplacian_of_a_bowl():
    """``z = a x^2 + b y^2`` has the curvature ``2 a + 2 b`` everywhere; hollows are positive."""
    y, x = np.mgrid[: H + 2, : W + 2]
    bowl = (1e-3 * (20.0 * x) ** 2 + 2e-3 * (40.0 * y) ** 2).astype(np.float32)
    np.testing.assert_allclose(terrain.laplacian(bowl, np.full(H, 20.0), np.full(H, 40.0)), 6e-3, atol=1e-5)
    np.testing.assert_allclose(terrain.laplacian(plane(0.5, 0.1), DX, DY), 0.0, atol=1e-5)


@pytest.mark.parametrize("measure", ["slope", "laplacian"])
def test_a_missing_elevation_reaches_its_neighbours_only(measure):
    field = plane(0.1, 0.2)
    field[6, 7] = np.nan
    found = terrain.slope(*terrain.gradient(field, DX, DY)) if measure == "slope" else terrain.laplacian(field, DX, DY)
    y, x = np.mgrid[:H, :W]
    near = (abs(y - 5) <= 1) & (abs(x - 6) <= 1)
    assert not np.isnan(found[~near]).any()
    assert np.isnan(found[[4, 5, 5, 5, 6], [6, 5, 6, 7, 6]]).all()


def box_means(field, ry, rx):
    out = np.empty((field.shape[0] - 2 * ry, field.shape[1] - 2 * rx))
    for i, j in np.ndindex(*out.shape):
        out[i, j] = np.nanmean(field[i : i + 2 * ry + 1, j : j + 2 * rx + 1].astype(np.float64))
    return out


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**16), st.sampled_from((0.0, 0.1, 0.6)))
def test_tpi_is_elevation_above_the_mean_around(ry, rx, seed, missing):
    random = np.random.default_rng(seed)
    field = random.uniform(-400, 8800, (20, 23)).astype(np.float32)
    field[random.random(field.shape) < missing] = np.nan
    core = field[ry : 20 - ry, rx : 23 - rx]
    with np.errstate(invalid="ignore"):
        want = np.where(np.isnan(core), np.nan, core - np.nan_to_num(_quiet_means(field, ry, rx)))
    np.testing.assert_allclose(terrain.tpi(field, ry, rx), want, atol=2e-3)


def _quiet_means(field, ry, rx):
    known = np.isfinite(field)
    filled = np.where(known, field, 0.0)
    total, count = box_means(filled, ry, rx), box_means(known.astype(float), ry, rx)
    return total / np.maximum(count, 1e-9)


@given(st.integers(0, 2**16), st.integers(0, 20), st.integers(0, 20))
def test_tpi_of_a_window_is_that_of_the_whole_bit_for_bit(seed, y, x):
    field = np.random.default_rng(seed).uniform(-400, 8800, (40, 41)).astype(np.float32)
    field[::7, ::5] = np.nan
    whole = terrain.tpi(field, 3, 4)
    part = terrain.tpi(field[y : y + 18, x : x + 20], 3, 4)
    assert part.tobytes() == whole[y : y + 12, x : x + 12].tobytes()


def test_tpi_of_a_plane_is_nothing_and_of_a_bump_positive():
    np.testing.assert_allclose(terrain.tpi(plane(0.5, -0.3), 2, 3), 0.0, atol=1e-3)
    y, x = np.mgrid[:21, :21] - 10.0
    bump = (50 * np.exp(-(y**2 + x**2) / 8)).astype(np.float32)
    assert terrain.tpi(bump, 3, 3)[7, 7] > 10
    assert terrain.tpi(-bump, 3, 3)[7, 7] < -10
