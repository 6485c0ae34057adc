"""Terrain that drains: no pits, valleys that gather water, slopes that face where they should."""

import numpy as np
import pytest

from smdown.twin.drainage import erode, flood, upslope_area, wetness_index
from smdown.twin.terrain import slopes


def _has_lower_neighbour(z):
    lowest = np.full(z.shape, np.inf)
    padded = np.pad(z, 1, constant_values=np.inf)
    for dy in range(3):
        for dx in range(3):
            if (dy, dx) != (1, 1):
                lowest = np.minimum(lowest, padded[dy : dy + z.shape[0], dx : dx + z.shape[1]])
    return lowest < z


def test_a_filled_terrain_drains_everywhere_and_is_raised_only_in_pits(rng):
    z = rng.normal(0, 5, (40, 50)).astype(np.float32)
    filled, order = flood(z)
    assert (filled >= z).all()
    assert _has_lower_neighbour(filled)[1:-1, 1:-1].all()
    assert sorted(order) == list(range(z.size))
    assert (np.diff(filled.reshape(-1)[order]) >= 0).all()
    free = _has_lower_neighbour(z.astype(np.float64))
    np.testing.assert_array_equal(flood(filled.astype(np.float32))[0] >= filled - 1e-3, True)
    assert (filled == z)[0].all()
    assert free.any()


def test_all_water_that_falls_leaves_over_the_edge(rng):
    z = rng.normal(0, 5, (30, 35)).astype(np.float32)
    filled, order = flood(z)
    area = upslope_area(filled, order, 30.0, 30.0) * 30.0
    outlets = ~_has_lower_neighbour(filled)
    np.testing.assert_allclose(area[outlets].sum(), z.size * 900.0, rtol=1e-4)
    assert area.min() >= 900.0


def test_a_valley_is_wetter_than_its_sides():
    y, x = np.mgrid[0:60, 0:61].astype(np.float32)
    index = wetness_index((np.abs(x - 30) * 2 - y * 0.3).astype(np.float32), 30.0, 30.0)
    assert index[50, 30] == index[50].max()
    assert index[50, 30] > index[5, 30]
    assert index[50, 30] - np.median(index[50]) > 2


def test_rivers_cut_valleys_and_leave_no_lakes(rng):
    z = rng.normal(0, 2, (60, 60)).astype(np.float32)
    erode(z, np.full(z.shape, 5.0, dtype=np.float32), 30, 250.0, 250.0, 0.3, 5000.0)
    filled, _ = flood(z)
    assert np.isfinite(z).all()
    assert (filled - z > 0.5).mean() < 0.02
    index = wetness_index(z, 250.0, 250.0)
    inner = slice(5, -5)
    assert np.corrcoef(index[inner, inner].ravel(), z[inner, inner].ravel())[0, 1] < -0.2


@pytest.mark.parametrize(("rise_y", "rise_x"), [(0.1, 0.0), (-0.1, 0.0), (0.0, 0.2), (0.05, -0.1)])
def test_slopes_of_a_plane(rise_y, rise_x):
    y, x = np.mgrid[0:20, 0:20]
    z = (y * 32.0 * rise_y + x * 28.0 * rise_x).astype(np.float32)
    gradient, southness = slopes(z, np.full(20, 32.0), np.full(20, 28.0))
    steep = np.hypot(rise_y, rise_x)
    np.testing.assert_allclose(gradient, steep, rtol=1e-3)
    np.testing.assert_allclose(southness, -rise_y / np.sqrt(1 + steep**2), atol=1e-4)


def test_the_region_has_relief_of_a_plausible_size(region):
    terrain = region.terrain
    assert 10 < terrain.elevation.std() < 200
    assert 0.005 < np.median(terrain.gradient) < 0.15
    assert np.quantile(terrain.gradient, 0.999) < 0.8
    for field in (terrain.wetness, terrain.hollow):
        assert abs(field.mean()) < 1e-3
        assert abs(field.std() - 1) < 1e-3
