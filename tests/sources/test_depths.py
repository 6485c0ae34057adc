import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.sources.config import StationLayer
from smdown.sources.depths import layer_mean, trapezoid_weights

DEPTHS = st.lists(st.integers(1, 99), min_size=1, max_size=7, unique=True).map(lambda v: np.array(sorted(v)) / 100)


@given(DEPTHS)
def test_weights_sum_to_one_and_none_is_negative(depths):
    weights = trapezoid_weights(depths, 0.0, 1.0)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()


@given(DEPTHS, st.floats(0, 1), st.floats(-0.5, 0.5))
def test_weighted_mean_is_the_integral_of_the_profile(depths, start, slope):
    values = start + slope * depths
    z = np.linspace(0, 1, 20001)
    wanted = np.trapezoid(np.interp(z, depths, values), z)
    assert trapezoid_weights(depths, 0.0, 1.0) @ values == pytest.approx(wanted, abs=1e-6)


def test_five_sensors_of_a_usual_station():
    weights = trapezoid_weights(np.array([0.05, 0.10, 0.20, 0.50, 1.00]), 0.0, 1.0)
    np.testing.assert_allclose(weights, [0.075, 0.075, 0.20, 0.40, 0.25])


def test_root_zone_needs_the_surface_and_two_deeper():
    layer = StationLayer(depth=(0.0, 1.0), minimum_sensors=3)
    series = np.array(
        [[0.1, 0.1, np.nan, 0.1], [0.2, np.nan, 0.2, 0.2], [0.3, 0.3, 0.3, 0.3], [np.nan, np.nan, 0.4, np.nan]], "f4"
    )
    depths = [0.05, 0.2, 0.5, 1.0]
    out = layer_mean(series, depths, depths, layer)
    assert np.isnan(out[1])  # two depths only
    assert np.isnan(out[2])  # three, none of them near the surface
    wanted = trapezoid_weights(np.array([0.05, 0.2, 0.5]), 0, 1) @ np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(out[[0, 3]], wanted, rtol=1e-6)


def test_sensors_at_one_depth_count_once():
    layer = StationLayer(depth=(0.0, 0.06))
    series = np.array([[0.1, 0.1], [0.3, np.nan], [0.9, 0.9]], "f4")
    out = layer_mean(series, [0.05, 0.05, 0.1], [0.05, 0.05, 0.1], layer)
    np.testing.assert_allclose(out, [0.2, 0.1], rtol=1e-6)
    assert np.isnan(layer_mean(series, [0.2] * 3, [0.2] * 3, layer)).all()
