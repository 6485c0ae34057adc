"""Weights along an axis: they sum to one, look alike for every window, and follow the kernels' definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.kernels import axis_weights
from smdown.kernels.axis import keys

METHODS = ("cubic", "average", "bilinear", "nearest", "mode")
methods = st.sampled_from(METHODS)
scales = st.floats(0.01, 40.0)


@given(methods, scales, st.floats(-50, 50), st.booleans())
def test_weights_sum_to_one_and_hold_the_nearest_pixel(method, scale, offset, flipped):
    edges = offset + np.arange(21) * scale * (-1 if flipped else 1)
    axis = axis_weights(edges, method)
    np.testing.assert_allclose(axis.weights.sum(axis=1), 1.0, atol=2e-6)
    assert np.all(axis.start <= axis.nearest)
    assert np.all(axis.nearest < axis.start + axis.count)
    centre = 0.5 * (edges[:-1] + edges[1:])
    np.testing.assert_array_equal(axis.nearest, np.floor(centre))


@given(methods, scales, st.floats(-50, 50), st.integers(0, 19), st.integers(1, 20))
def test_weights_of_a_part_are_those_of_the_whole(method, scale, offset, first, count):
    edges = offset + np.arange(41) * scale
    whole = axis_weights(edges, method)
    part = axis_weights(edges[first : first + count + 1], method)
    cut = slice(first, first + count)
    taps = part.weights.shape[1]
    np.testing.assert_array_equal(part.start, whole.start[cut])
    np.testing.assert_array_equal(part.count, whole.count[cut])
    np.testing.assert_array_equal(part.weights, whole.weights[cut, :taps])
    np.testing.assert_array_equal(whole.weights[cut, taps:], 0.0)


@pytest.mark.parametrize(("method", "taps"), [("cubic", 4), ("bilinear", 2), ("nearest", 1)])
@pytest.mark.parametrize("scale", [0.1, 0.999, 1.0])
def test_a_kernel_that_is_not_widened_has_few_taps(method, taps, scale):
    assert np.all(axis_weights(0.3 + np.arange(40) * scale, method).count == taps)


def test_average_weighs_by_overlap():
    axis = axis_weights(np.array([0.5, 3.0]), "average")
    assert axis.start[0] == 0
    np.testing.assert_allclose(axis.weights[0, :3], [0.2, 0.4, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(axis.weights[0, 3:], 0.0)


def test_cubic_in_the_middle_of_two_pixels():
    axis = axis_weights(np.array([1.5, 2.5]), "cubic")
    assert axis.start[0] == 0
    np.testing.assert_allclose(axis.weights[0], [-0.0625, 0.5625, 0.5625, -0.0625])


def test_keys_kernel_interpolates():
    np.testing.assert_array_equal(keys(np.array([0.0, 1.0, -1.0, 2.0, 3.5])), [1.0, 0.0, 0.0, 0.0, 0.0])
