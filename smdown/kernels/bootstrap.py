"""Block bootstrap of errors: how sure it is that one estimate is better than another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
DRAWS = 1000


def rmse_intervals(
    counts: Array, squares: Array, reference: int, *, share: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> tuple[Array, Array]:
    """Draw whole blocks with replacement; return percentile intervals of every estimate's error, and of its ratio.

    All estimates are drawn from the same blocks, so that what they share does not blur what they differ in.

    Parameters
    ----------
    counts : ndarray
        ``(block,)``: values in each.
    squares : ndarray
        ``(estimate, block)``: sums of squared errors.
    reference : int
        Estimate that the others are compared with.
    share : float
        Of the draws that lie inside the interval.
    draws, seed : int
        How many, and which.

    Returns
    -------
    rmse : ndarray
        ``(estimate, 2)``: lower and upper end of the root mean squared error.
    ratio : ndarray
        ``(estimate, 2)``: of the error over that of the reference.
    """
    blocks = len(counts)
    rng = np.random.default_rng(seed)
    ends = np.array([(1 - share) / 2, (1 + share) / 2])
    sampled = np.empty((draws, len(squares)))
    for n in range(draws):
        times = np.bincount(rng.integers(0, blocks, blocks), minlength=blocks)
        sampled[n] = np.sqrt(squares @ times / float(times @ counts))
    ratio = sampled / np.maximum(sampled[:, [reference]], 1e-300)
    return np.quantile(sampled, ends, axis=0).T, np.quantile(ratio, ends, axis=0).T
