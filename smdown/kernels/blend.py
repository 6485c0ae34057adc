"""What networks say, in physical units, and their mixture: each in one pass over the pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

F32 = npt.NDArray[np.float32]
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is ln 2
_HALF = np.float32(0.5)


@compiled
def exponential(values: F32, whole: npt.NDArray[np.int32]) -> None:
    """Turn values between -80 and 80 into their exponentials, to 2e-7 of each, in wide instructions.

    ``exp(x) = 2^n exp(r)`` with ``|r| <= ln(2) / 2``, whose polynomial is that of Cephes (Moshier 1992).

    Parameters
    ----------
    values : ndarray
        float32, ``(n,)``, contiguous.
    whole : ndarray
        int32, ``(n,)``, overwritten.
    """
    for i in range(values.size):
        n = np.floor(values[i] * _LOG2_E + _HALF)
        r = (values[i] - n * _LN2_HIGH) - n * _LN2_LOW
        p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        values[i] = p * r * r + r + np.float32(1)
        whole[i] = (np.int32(n) + np.int32(127)) << 23
    powers = whole.view(np.float32)
    for i in range(values.size):
        values[i] *= powers[i]


@compiled
def physical(
    hidden: F32,
    linear: F32,
    first: int,
    extra: F32,
    limits: tuple[float, float],
    bias: F32,
    centre: F32,
    std: F32,
    mean: F32,
    variance: F32,
) -> None:
    """Add up the terms of a network's mean, bound its log-variance, and fill both in physical units.

    Parameters
    ----------
    hidden : ndarray
        float32 ``(pixel, 2 layer)``: a part of the means, and the log-variances.
    linear : ndarray
        float32 ``(pixel, layer or more)``: another part of the means, in columns from `first` on.
    first : int
        Column.
    extra : ndarray
        float32 ``(pixel, layer)``: a third part; may have no pixels.
    limits : (float, float)
        Least and largest log-variance.
    bias : ndarray
        float32 ``(2 layer,)``: added to means and log-variances.
    centre, std : ndarray
        float32 ``(layer,)``: mean and standard deviation of the layers.
    mean, variance : ndarray
        float32 ``(layer, pixel)``, filled.
    """
    layers, count = mean.shape
    low, high = np.float32(limits[0]), np.float32(limits[1])
    whole = np.empty(count, np.int32)
    for k in range(layers):
        of_mean, of_variance = bias[k], bias[layers + k]
        for j in range(count):
            mean[k, j] = hidden[j, k] + of_mean + linear[j, first + k]
            variance[k, j] = min(max(hidden[j, layers + k] + of_variance, low), high)
        if extra.size:
            for j in range(count):
                mean[k, j] += extra[j, k]
        exponential(variance[k], whole)
        square = std[k] * std[k]
        for j in range(count):
            mean[k, j] = centre[k] + mean[k, j] * std[k]
            variance[k, j] *= square


@compiled
def blend(mean: F32, variance: F32, weights: F32, scale: np.float32, out_mean: F32, out_std: F32) -> None:
    """Fill mean and standard deviation of the mixture, its variance scaled.

    ``mu = sum_k w_k mu_k``, ``std^2 = scale sum_k w_k (var_k + (mu_k - mu)^2)`` (Lakshminarayanan et al. 2017, with
    weights).

    Parameters
    ----------
    mean, variance : ndarray
        float32 ``(network, y, x)``.
    weights : ndarray
        float32 ``(network,)``; they sum to one.
    scale : float32
        What the variance is multiplied by.
    out_mean, out_std : ndarray
        float32 ``(y, x)``, filled.
    """
    count, height, width = mean.shape
    for i in range(height):
        for j in range(width):
            mu = np.float32(0)
            for k in range(count):
                mu += weights[k] * mean[k, i, j]
            total = np.float32(0)
            for k in range(count):
                off = mean[k, i, j] - mu
                total += weights[k] * (variance[k, i, j] + off * off)
            out_mean[i, j] = mu
            out_std[i, j] = np.sqrt(total * scale)
