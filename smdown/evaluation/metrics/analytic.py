"""The usual intervals, as pytesmo and QA4SM give them, for a stated number of independent pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import stats

from smdown.evaluation.metrics.pairs import Array, pair_metrics

Interval = tuple[Array, Array]


def analytic_intervals(
    x: npt.ArrayLike, y: npt.ArrayLike, size: Mapping[str, Array] | None = None, level: float = 0.95
) -> dict[str, Interval]:
    """Return intervals from closed formulas, for normal and independent values.

    With m the number of independent pairs and d = x - y: bias, ``t_(m-1) sd(d) / sqrt(m)``; ubRMSE,
    ``sqrt(m ubMSD / chi2_(m-1))``; r, ``tanh(atanh r +- z / sqrt(m - 3))``, and rho with ``z sqrt(1 + rho^2 / 2)``
    (Bonett and Wright 2000). With ``m = n`` they are pytesmo's; with the effective size, its intervals corrected
    for autocorrelation.

    Parameters
    ----------
    x, y : array-like
        Estimate and reference, ``(series, day)``, NaN for missing.
    size : mapping, optional
        Independent pairs by metric, ``(series,)``, as :func:`effective_sizes` gives them; all of them by default.
    level : float
        Nominal coverage.

    Returns
    -------
    dict of tuple
        Ends by metric (``r``, ``rho``, ``bias``, ``ubrmse``), ``(series,)``; NaN where `size` is too small for them.
    """
    found = pair_metrics(x, y)
    n = found["n"]
    m = {name: n if size is None else np.minimum(size[name], n) for name in ("r", "rho", "bias", "ubrmse")}
    high, low = (1 + level) / 2, (1 - level) / 2
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        z = {name: stats.norm.ppf(high) / np.sqrt(np.where(m[name] > 3, m[name] - 3, np.nan)) for name in ("r", "rho")}
        one, many = (np.where(m[name] > 1, m[name], np.nan) for name in ("bias", "ubrmse"))
        half = stats.t.ppf(high, one - 1) * found["ubrmse"] * np.sqrt(n / (n - 1)) / np.sqrt(one)
        ubmsd = many * found["ubrmse"] ** 2
        ends = (np.sqrt(ubmsd / stats.chi2.ppf(share, many - 1)) for share in (high, low))
        return {
            "r": _fisher(found["r"], z["r"]),
            "rho": _fisher(found["rho"], z["rho"] * np.sqrt(1 + found["rho"] ** 2 / 2)),
            "bias": (found["bias"] - half, found["bias"] + half),
            "ubrmse": (next(ends), next(ends)),
        }


def _fisher(r: Array, half: Array) -> Interval:
    z = np.arctanh(r)
    return np.tanh(z - half), np.tanh(z + half)
