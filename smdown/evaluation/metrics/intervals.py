"""The intervals that are reported: 95 % that hold for series of days that resemble each other.

What is usual (pytesmo, QA4SM) takes days as independent, and covers far less than it says (`benchmarks.intervals`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from smdown.evaluation.metrics.longrun import Spread, memory, spread
from smdown.evaluation.metrics.pairs import METRICS, Array, Pairs, metrics_of

LEVEL = 0.95
MINIMUM = 12
"""Fewest pairs that an interval is given for."""
METHOD = "Student's t with the long-run variance of the metric's influence (prewhitened cosine transforms)"
_CHUNK = 512
_RATIO = 0.7, 2.0
"""Least and largest ratio of the variances of Spearman's and Pearson's correlation, on Fisher's scale."""
Interval = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class _Variance:
    """Logarithm of a variance: its estimate, how far its ends lie at a normal's quantile, its spread and size."""

    middle: Array
    below: Array
    above: Array
    spread: Spread


def intervals(x: npt.ArrayLike, y: npt.ArrayLike, level: float = LEVEL) -> dict[str, Interval]:
    """Return the interval of every metric of every pair of series.

    Each metric is seen as the mean of a series (its influence function), whose variance :func:`longrun.spread` gives
    for autocorrelated values, with Student's t for how well it is known. The distributions of variances are skewed:
    RMSE and ubRMSE get the ends of a chi-squared distribution of as many degrees of freedom as fit the variance,
    widened by t. ubRMSE is corrected for the variance that subtracting the mean removes. The correlation is a function
    of the slope and of two variances, whose intervals are joined by the method of variance estimates recovery (Zou and
    Donner 2008); that of ranks has the ends of r on Fisher's scale, moved to its own value and widened.

    Parameters
    ----------
    x, y : array-like
        Estimate and reference, ``(series, day)``, NaN for missing.
    level : float
        Share of the intervals that hold the metric of the process which the series are a sample of.

    Returns
    -------
    dict of tuple
        Lower and upper ends, ``(series,)``, by metric; NaN below `MINIMUM` pairs.

    Notes
    -----
    In simulations of first-order autoregressive series (`benchmarks.intervals`) 95 % intervals cover 93 to 97 % where
    ``n (1 - phi) / (1 + phi)`` is 9 or more, `phi` the larger of the two series' autocorrelations from day to day: 100
    days with 0.8, a year with 0.95, two and a half years with 0.98 (of 588 cases 576, and all 92.2 to 97.3, at a
    simulation error of 0.35). With less they cover 81 to 99.9 %: too wide for a few independent days, too narrow for
    some weeks in which a slow and a fast error mix.
    """
    a, b = np.broadcast_arrays(np.atleast_2d(np.asarray(x, np.float64)), np.atleast_2d(np.asarray(y, np.float64)))
    parts = [
        _intervals(Pairs.of(a[k : k + _CHUNK], b[k : k + _CHUNK]), level) for k in range(0, max(len(a), 1), _CHUNK)
    ]
    return {m: (np.concatenate([p[m][0] for p in parts]), np.concatenate([p[m][1] for p in parts])) for m in METRICS}


def _intervals(pairs: Pairs, level: float) -> dict[str, Interval]:
    normal = float(stats.norm.ppf((1 + level) / 2))
    found = metrics_of(pairs)
    with np.errstate(all="ignore"):
        slope, spread_slope, residual = _slope(pairs)
        r = _correlation(pairs, slope, spread_slope, residual, normal)
        half = _t(spread_slope.df, level) * np.sqrt(spread_slope.variance)
        ends = {
            "r": r,
            "rho": _ranked(pairs, found, r),
            "bias": _bias(pairs, level),
            "rmse": _root(_square(pairs, normal), level, normal),
            "ubrmse": _root(_variance(pairs, pairs.x - pairs.y, normal), level, normal),
            "slope": (slope - half, slope + half),
        }
    known = {name: (pairs.n >= MINIMUM) & np.isfinite(found[name]) for name in METRICS}
    return {n: (np.where(known[n], ends[n][0], np.nan), np.where(known[n], ends[n][1], np.nan)) for n in METRICS}


def _root(variance: _Variance, level: float, normal: float) -> Interval:
    wider = _t(variance.spread.df, level) / normal
    low, high = variance.middle - wider * variance.below, variance.middle + wider * variance.above
    return np.exp(low / 2), np.exp(high / 2)


def _t(df: Array, level: float) -> Array:
    return np.asarray(stats.t.ppf((1 + level) / 2, df))


def _bias(pairs: Pairs, level: float) -> Interval:
    found = spread(pairs.x - pairs.y, pairs.n, doubt=1.0, fisher=False)
    half = _t(found.df, level) * np.sqrt(found.variance)
    return pairs.bias - half, pairs.bias + half


def _slope(pairs: Pairs) -> tuple[Array, Spread, Array]:
    """Return the slope, its spread, and what is left of the estimate."""
    yy = pairs.mean(pairs.y**2)
    slope = pairs.mean(pairs.x * pairs.y) / yy
    residual = pairs.x - slope[:, None] * pairs.y
    least = memory(pairs.y, pairs.n) * memory(residual, pairs.n)
    found = spread(pairs.y * residual / yy[:, None], pairs.n, least=least, power=pairs.mean(residual**2) / yy)
    return slope, found, residual


def _variance(pairs: Pairs, values: Array, normal: float) -> _Variance:
    """Return the variance of series with mean zero."""
    square = pairs.mean(values**2)
    phi = memory(values, pairs.n)
    found = spread(_relative(pairs, values, square), pairs.n, least=phi**2, power=2.0)
    removed = np.minimum((1 + phi) / ((1 - phi) * pairs.n), 0.5)
    return _skewed(np.log(square / (1 - removed)), found, normal)


def _square(pairs: Pairs, normal: float) -> _Variance:
    """Return the mean square of the differences."""
    d, bias = pairs.x - pairs.y, pairs.bias[:, None]
    variance, square = pairs.mean(d**2), pairs.mean(d**2) + pairs.bias**2
    power = (4 * pairs.bias**2 * variance + 2 * variance**2) / square**2  # of a normal distribution
    whole = np.where(pairs.there, d + bias, 0.0)
    found = spread(_relative(pairs, whole, square), pairs.n, least=memory(d, pairs.n) ** 2, power=power, doubt=1.0)
    return _skewed(np.log(square), found, normal)


def _relative(pairs: Pairs, values: Array, square: Array) -> Array:
    return np.where(pairs.there, values**2 / square[:, None] - 1, 0.0)


def _skewed(middle: Array, found: Spread, normal: float) -> _Variance:
    """Return the ends of a chi-squared distribution with the same relative variance."""
    nu = 2 / found.variance
    share = float(stats.norm.cdf(normal))
    low, high = (stats.chi2.ppf(q, nu) / nu for q in (share, 1 - share))
    return _Variance(middle, np.log(low), -np.log(np.maximum(high, 1e-12)), found)


def _correlation(pairs: Pairs, slope: Array, slopes: Spread, residual: Array, normal: float) -> Interval:
    """Return the interval of Pearson's r: ``r / sqrt(1 - r^2) = slope * sd(y) / sd(residual)``, part by part."""
    y, left = _variance(pairs, pairs.y, normal), _variance(pairs, residual, normal)
    ratio = np.exp((y.middle - left.middle) / 2)
    q = slope * ratio
    below, above = (np.hypot(a, b) / 2 for a, b in ((y.below, left.above), (y.above, left.below)))
    inner, outer = np.abs(q) * -np.expm1(-below), np.abs(q) * np.expm1(above)
    own = normal * ratio * np.sqrt(slopes.variance)
    wider = _t(_joint_df(slopes, ratio, q, y, left), 2 * float(stats.norm.cdf(normal)) - 1) / normal
    down, up = np.where(q >= 0, inner, outer), np.where(q >= 0, outer, inner)
    low, high = q - wider * np.hypot(own, down), q + wider * np.hypot(own, up)
    return low / np.sqrt(1 + low**2), high / np.sqrt(1 + high**2)


def _joint_df(slopes: Spread, ratio: Array, q: Array, y: _Variance, left: _Variance) -> Array:
    """Return the degrees of freedom of a sum of three variances (Satterthwaite 1946)."""
    parts = (
        (ratio**2 * slopes.variance, slopes.df),
        (q**2 * y.spread.variance / 4, y.spread.df),
        (q**2 * left.spread.variance / 4, left.spread.df),
    )
    total = parts[0][0] + parts[1][0] + parts[2][0]
    return np.asarray(total**2 / sum(variance**2 / df for variance, df in parts))


def _ranked(pairs: Pairs, found: dict[str, Array], r: Interval) -> Interval:
    """Return the interval of the correlation of ranks from that of r, both on Fisher's scale.

    Its width is that of r times the ratio of the two influence functions' long-run standard deviations.
    """
    own = rank_influence(pairs.ranks(), found["rho"]) / (1 - found["rho"] ** 2)[:, None]
    sd_x, sd_y = (np.sqrt(pairs.mean(v**2))[:, None] for v in (pairs.x, pairs.y))
    x, y = pairs.x / sd_x, pairs.y / sd_y
    plain = (x * y - found["r"][:, None] * (x**2 + y**2) / 2) / (1 - found["r"] ** 2)[:, None]
    plain = np.where(pairs.there, plain, 0.0)
    wider = np.sqrt(np.clip(spread(own, pairs.n).variance / spread(plain, pairs.n).variance, *_RATIO))
    centre, there = np.arctanh(found["r"]), np.arctanh(found["rho"])
    low, high = (there + wider * (np.arctanh(np.clip(e, -1 + 1e-12, 1 - 1e-12)) - centre) for e in r)
    return np.tanh(low), np.tanh(high)


def rank_influence(ranks: Pairs, rho: Array) -> Array:
    """Return what each pair adds to Spearman's rho (Croux and Dehon 2010): their mean is zero.

    Parameters
    ----------
    ranks : Pairs
        Ranks divided by their number.
    rho : ndarray
        ``(series,)``.
    """
    u, v = (np.where(ranks.there, a + m[:, None], 0.0) for a, m in ((ranks.x, ranks.mean_x), (ranks.y, ranks.mean_y)))
    n = np.maximum(ranks.n, 1)[:, None]
    out = 12 * (u * v + _above(u, v, ranks.there) / n + _above(v, u, ranks.there) / n)
    out = np.where(ranks.there, out - ranks.mean(np.where(ranks.there, out, 0.0))[:, None], 0.0)
    return np.where(np.isfinite(rho)[:, None], out, np.nan)


def _above(by: Array, values: Array, there: npt.NDArray[np.bool_]) -> Array:
    """Return, at each place, the sum of the values at places where `by` is not below that at the place."""
    order = np.argsort(np.where(there, by, -np.inf), axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    sums = np.cumsum(ordered[:, ::-1], axis=1)[:, ::-1]
    out = np.empty_like(sums)
    np.put_along_axis(out, order, sums, axis=1)
    return out
