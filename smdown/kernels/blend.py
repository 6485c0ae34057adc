"""Mean and standard deviation of a mixture of Gaussian maps, in one pass over the pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

F32 = npt.NDArray[np.float32]


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
