"""Loops that do in one pass what plain NumPy and PyTorch do in several."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import cKDTree

from smdown.kernels.blend import blend, exponential, physical
from smdown.kernels.layers import add_relu, bias_relu, relu_add
from smdown.kernels.nearest import coordinates, distances
from smdown.kernels.packing import pack
from smdown.kernels.standard import standardise
from smdown.training.stacking import mixture
from smdown.training.standardise import CLIP, Scaler

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0]


@given(
    arrays(np.float64, 40, elements=st.floats(-3.3, 3.3) | st.sampled_from([*SPECIAL, 0.00005, 0.00015, -0.00025])),
    st.sampled_from([np.float32, np.float64]),
)
def test_counts_are_those_of_plain_rounding(values, dtype):
    values = values.astype(dtype)
    out = np.empty(40, np.int16)
    fits = pack(values, 1e-4, -32767.0, 32767.0, -32768, out)
    counts = np.rint(np.divide(values, 1e-4, dtype=np.float64))
    known = np.isfinite(counts)
    inside = known & (np.abs(np.where(known, counts, 0)) <= 32767)
    assert fits == (inside == known).all()
    np.testing.assert_array_equal(out[inside], counts[inside].astype(np.int16))
    assert (out[~known] == -32768).all()


@given(arrays(np.float32, (3, 5, 4), elements=st.floats(-100, 100, width=32) | st.sampled_from(SPECIAL)))
def test_drivers_are_standardised_as_in_training(fine):
    scaler = Scaler.of([1.0, -2.0, 0.3], [0.7, 3.0, 0.01])
    wanted = scaler.forward(torch.from_numpy(fine.copy())[None], 1)[0].permute(1, 2, 0).numpy()[1:, 2:]
    out = np.empty((4, 2, 3), np.float32)
    standardise(fine, 1, 2, scaler.mean.numpy(), (1 / scaler.std).numpy(), np.float32(CLIP), out)
    np.testing.assert_array_equal(out, wanted)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_a_blend_is_the_mixture(seed, count):
    rng = np.random.default_rng(seed)
    mean, variance = (rng.random((count, 4, 6), dtype=np.float32) for _ in range(2))
    weights = rng.dirichlet(np.ones(count)).astype(np.float32)
    out = np.empty((2, 4, 6), np.float32)
    blend(mean, variance, weights, np.float32(1.7), *out)
    mu, var = mixture(mean.astype(float), variance.astype(float), weights[:, None, None].astype(float))
    np.testing.assert_allclose(out[0], mu, rtol=1e-5)
    assert out[1] == pytest.approx(np.sqrt(1.7 * np.asarray(var)), rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 70))
def test_distances_are_those_of_a_tree(seed, count, centres):
    rng = np.random.default_rng(seed)
    fine, mean = rng.normal(3, 2, (count, 5, 7)).astype(np.float32), rng.normal(3, 1, count).astype(np.float32)
    factor, places = rng.uniform(0.1, 2, count).astype(np.float32), rng.normal(0, 1, (centres, count))
    fine[rng.random(fine.shape) < 0.1] = np.nan
    fine[rng.random(fine.shape) < 0.02] = np.inf
    x, out = np.ones((count, 5, 7), np.float32), np.empty((5, 7), np.float32)
    coordinates(fine, 0, 0, mean, factor, np.float32(50), x, out)
    scores = places @ x.reshape(count, -1).astype(float) - (places**2).sum(axis=1, keepdims=True) / 2
    distances(scores.astype(np.float32), out.reshape(-1))
    rows = np.moveaxis((fine.astype(float) - mean[:, None, None]) * factor[:, None, None], 0, -1).reshape(-1, count)
    rows = np.clip(np.nan_to_num(rows, nan=0.0, posinf=50), -50, 50)
    np.testing.assert_allclose(out.ravel(), cKDTree(places).query(rows)[0], rtol=1e-3, atol=0.05)


def test_exponentials_are_those_of_numpy():
    values = np.linspace(-80, 80, 100_001).astype(np.float32)
    found = values.copy()
    exponential(found, np.empty(values.size, np.int32))
    np.testing.assert_allclose(found, np.exp(values.astype(float)), rtol=2e-7)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_what_a_network_says_in_physical_units(seed, sequence):
    rng = np.random.default_rng(seed)
    hidden, wide = rng.normal(0, 4, (30, 4)).astype(np.float32), rng.normal(size=(30, 5)).astype(np.float32)
    bias, linear = rng.normal(size=4).astype(np.float32), wide[:, 2:4]
    extra = rng.normal(size=(30 if sequence else 0, 2)).astype(np.float32)
    centre, std = np.array([0.2, 0.3], np.float32), np.array([0.05, 0.04], np.float32)
    mean, variance = np.empty((2, 30), np.float32), np.empty((2, 30), np.float32)
    physical(hidden, wide, 2, extra, (-8.0, 4.0), bias, centre, std, mean, variance)
    total = hidden[:, :2] + bias[:2] + linear + (extra if sequence else 0)
    np.testing.assert_allclose(mean, (centre + total * std).T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, (np.exp(np.clip(hidden[:, 2:] + bias[2:], -8, 4)) * std**2).T, rtol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 12))
def test_passes_between_layers(seed, pixels, units):
    rng = np.random.default_rng(seed)
    values, bias = rng.normal(size=(pixels, units)).astype(np.float32), rng.normal(size=units).astype(np.float32)
    found = values.copy()
    bias_relu(found, bias)
    np.testing.assert_array_equal(found, np.maximum(values + bias, 0))
    found, others = values.ravel().copy(), rng.normal(size=values.size).astype(np.float32)
    add_relu(found, others)
    np.testing.assert_array_equal(found, np.maximum(values.ravel() + others, 0))


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2))
def test_what_a_convolution_adds_to_its_input(seed, height, width, units, radius):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(height, width, units)).astype(np.float32)
    around = rng.normal(size=(height + 2 * radius, width + 2 * radius, units)).astype(np.float32)
    found = values.copy()
    relu_add(found.reshape(height, -1), around.reshape(len(around), -1))
    inner = around[radius : radius + height, radius : radius + width]
    np.testing.assert_array_equal(found, np.maximum(values, 0) + inner)
