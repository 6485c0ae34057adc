"""Loops that do in one pass what plain NumPy and PyTorch do in several."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smdown.kernels.blend import blend
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
    wanted = scaler.forward(torch.from_numpy(fine.copy())[None], 1)[0].permute(1, 2, 0).numpy()
    out = np.empty((5, 4, 3), np.float32)
    standardise(fine, scaler.mean.numpy(), (1 / scaler.std).numpy(), np.float32(CLIP), out)
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
