"""Does downscaling bring anything: GDOWN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from smdown.evaluation.metrics.pairs import Array


def gdown(fine: Mapping[str, Array], coarse: Mapping[str, Array]) -> Array:
    """Return the gain of downscaling over none (Merlin et al. 2015, Remote Sensing 7(4), 3783-3807).

    The mean of three gains, of the slope, of the correlation and of the bias, each ``(c - f) / (c + f)`` with c and f
    the coarse and the fine product's distance from the best: ``|1 - slope|``, ``|1 - r|`` and ``|bias|`` at the
    station. It lies in [-1, 1]; above 0 the fine product is nearer to the station.

    What could be checked is the paper's abstract: it names the metric, the comparison with the case without
    disaggregation, the meaning of its sign, and the gains in correlation, mean bias and slope. The equations themselves
    could not be compared with the paper.

    Parameters
    ----------
    fine, coarse : mapping
        ``slope``, ``r`` and ``bias`` of both products at the same pairs, arrays of one shape.

    Returns
    -------
    ndarray
        NaN where any of the three is undefined. A part in which both are perfect counts as 0.
    """
    best = {"slope": 1.0, "r": 1.0, "bias": 0.0}
    parts = [_gain(np.abs(b - fine[key]), np.abs(b - coarse[key])) for key, b in best.items()]
    return np.asarray(sum(parts) / len(parts), dtype=np.float64)


def _gain(fine: Array, coarse: Array) -> Array:
    total = fine + coarse
    return np.asarray(np.where(total == 0, 0.0, (coarse - fine) / np.where(total == 0, 1.0, total)))
