"""Loops over errors and the standard deviations that were stated for them: scores, and sums by bin."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

PIT_BINS = 20
SPREAD_BINS = 40
PER_OCTAVE = 4
"""Bins of the standard deviation in an octave."""


@compiled
def count_scores(estimate: F32, reference: F32, std: F32, span: float, widths: F64) -> tuple[F64, F64, F64, F64]:
    """Score normal distributions where all three fields are finite and the standard deviation is above 0.

    Parameters
    ----------
    estimate, reference, std : ndarray
        float32 ``(y, x)``.
    span : float
        Upper edge of the highest bin of the standard deviation; the outermost bins take what is beyond.
    widths : ndarray
        Half widths of central intervals, in standard deviations.

    Returns
    -------
    tuple of ndarray
        Number, and sums of the score (Gneiting and Raftery 2007, eq. 21), of the errors over the standard deviation
        and of their squares; hits of each interval; histogram of the probability integral transform; and ``(3, bin)``
        number, sum of variances and sum of squared errors by bin of the standard deviation.
    """
    n, crps, sum_z, sum_zz = 0, 0.0, 0.0, 0.0
    hits = np.zeros(len(widths))
    pit, spread = np.zeros(PIT_BINS), np.zeros((3, SPREAD_BINS))
    root = math.sqrt(2.0)
    for i in range(estimate.shape[0]):
        for j in range(estimate.shape[1]):
            sigma = np.float64(std[i, j])
            error = np.float64(estimate[i, j]) - np.float64(reference[i, j])
            if not (math.isfinite(error) and sigma > 0 and sigma < math.inf):
                continue
            z = error / sigma
            turned = math.erf(z / root)
            density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
            n += 1
            crps += sigma * (z * turned + 2 * density - 1 / math.sqrt(math.pi))
            sum_z += z
            sum_zz += z * z
            for k in range(len(widths)):
                hits[k] += abs(z) <= widths[k]
            pit[min(PIT_BINS - 1, int((0.5 - 0.5 * turned) * PIT_BINS))] += 1
            place = int(np.floor(math.log2(sigma / span) * PER_OCTAVE)) + SPREAD_BINS
            place = min(SPREAD_BINS - 1, max(0, place))
            spread[0, place] += 1
            spread[1, place] += sigma * sigma
            spread[2, place] += error * error
    return np.array((float(n), crps, sum_z, sum_zz)), hits, pit, spread


@compiled
def sort_errors(estimate: F32, reference: F32, std: F32, index: F32, edges: F32, width: float) -> F64:
    """Sum errors by bin of an index; a bin holds its upper edge.

    Parameters
    ----------
    estimate, reference, index : ndarray
        float32, of one length, NaN for missing.
    std : ndarray
        float32, of that length too; of another where none is stated.
    edges : ndarray
        float32, rising: between the bins.
    width : float
        Half width of the interval whose hits are counted, in standard deviations.

    Returns
    -------
    ndarray
        ``(5, bin)``: number, sum of errors, of their squares, number with a standard deviation, hits of the interval.
    """
    out = np.zeros((5, len(edges) + 1))
    stated = std.size == estimate.size
    k = 0  # the bin of the pixel before: neighbours are alike
    for i in range(estimate.size):
        error = np.float64(estimate[i]) - np.float64(reference[i])
        if not (math.isfinite(error) and math.isfinite(index[i])):
            continue
        while k > 0 and index[i] <= edges[k - 1]:
            k -= 1
        while k < len(edges) and index[i] > edges[k]:
            k += 1
        out[0, k] += 1
        out[1, k] += error
        out[2, k] += error * error
        if stated and math.isfinite(std[i]):
            out[3, k] += 1
            out[4, k] += abs(error) <= width * std[i]
    return out
