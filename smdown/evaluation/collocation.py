"""Triple collocation: the errors of three independent data sets, none of which is taken as true.

After Gruber et al. (2016, doi:10.1016/j.jag.2015.09.002; 2020, doi:10.1016/j.rse.2020.111806). The errors of the three
must be independent: a map that was made from a coarse product is never set beside that product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from smdown.evaluation.stations import members_of

F64 = npt.NDArray[np.float64]

SETS = ("estimate", "in_situ", "product")
REFERENCE = 1
"""The set that the others are scaled to: what the stations saw."""
MINIMUM = 100
"""Fewest triplets of a station (Gruber et al. 2020)."""
MEASURES = ("err_std", "snr_db", "beta", "r")
_FILLED = 0.25
"""Least share of a moving average's days that must be there."""


@dataclass(frozen=True)
class CoMoments:
    """Centred second moments of several series, which merge.

    Parameters
    ----------
    n : int
        Times at which all series have a value.
    mean : ndarray
        ``(series,)``.
    m2 : ndarray
        ``(series, series)``, sums of products of the deviations from the means.
    """

    n: int
    mean: F64
    m2: F64

    @classmethod
    def of(cls, *series: npt.ArrayLike) -> CoMoments:
        """Return the moments over the times at which all series are finite."""
        values = np.stack([np.asarray(s, dtype=np.float64) for s in series])
        values = values[:, np.isfinite(values).all(axis=0)]
        n = values.shape[1]
        mean = values.mean(axis=1) if n else np.zeros(len(values))
        deviation = values - mean[:, None]
        return cls(n, mean, deviation @ deviation.T)

    def __add__(self, other: CoMoments) -> CoMoments:
        """Merge by the pairwise formula of Chan, Golub and LeVeque (1983)."""
        n = self.n + other.n
        if n == 0:
            return self
        step = other.mean - self.mean
        share = other.n / n
        return CoMoments(n, self.mean + step * share, self.m2 + other.m2 + self.n * share * np.outer(step, step))

    @property
    def covariance(self) -> F64:
        """Covariance matrix, divisor n - 1; NaN with fewer than two times."""
        return self.m2 / (self.n - 1) if self.n > 1 else np.full_like(self.m2, math.nan)


def triple_collocation(covariance: F64, reference: int = REFERENCE) -> list[dict[str, float]]:
    """Return the figures of each of three sets from their covariances.

    Parameters
    ----------
    covariance : ndarray
        ``(3, 3)``.
    reference : int
        Set that the others are scaled to.

    Returns
    -------
    list of dict
        By set: ``err_var`` and ``err_std`` in the set's own units (the latter NaN where the former, or the variance
        of the signal, is negative: the assumptions do not hold, or the sample is small); ``snr_db``, with absolute
        values after Gruber et al. (2020, eq. 11); ``beta``, which scales the set to the reference; ``r``, the
        correlation with the unknown truth (McColl et al. 2014, doi:10.1002/2014GL061322), NaN where it is imaginary
        or above 1.
    """
    out = []
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        with np.errstate(divide="ignore", invalid="ignore"):
            signal = np.float64(covariance[i, j]) * covariance[i, k] / covariance[j, k]
            variance = covariance[i, i] - signal
            snr = -10 * np.log10(np.abs(np.abs(covariance[i, i] / signal) - 1))
            square = signal / covariance[i, i]
            other = 3 - i - reference
            beta = 1.0 if i == reference else float(np.float64(covariance[reference, other]) / covariance[i, other])
        out.append(
            {
                "err_var": float(variance),
                "err_std": math.sqrt(variance) if variance >= 0 and signal >= 0 else math.nan,
                "snr_db": float(snr),
                "beta": beta,
                "r": math.sqrt(square) if 0 <= square <= 1 else math.nan,
            }
        )
    return out


def anomalies(values: pd.DataFrame, days: int | None) -> pd.DataFrame:
    """Return series less their mean, or less their moving average over so many days about each.

    Parameters
    ----------
    values : DataFrame
        By day (a `DatetimeIndex`).
    days : int, optional
        Length of the moving average, as in QA4SM 35.
    """
    if days is None:
        return values - values.mean()
    daily = values.sort_index().asfreq("D")
    mean = daily.rolling(days, center=True, min_periods=max(2, math.ceil(_FILLED * days))).mean()
    return (daily - mean).reindex(values.index)


def collocate(table: pd.DataFrame, product: str, member: str, days: int | None) -> pd.DataFrame:
    """Return one row a station with at least `MINIMUM` triplets, and what it adds to the pooled moments.

    Parameters
    ----------
    table : DataFrame
        Matchups of one layer with a column of the product.
    product, member : str
        Columns of the independent product and of the estimate.
    days : int, optional
        Of the moving average that is subtracted.
    """
    rows: list[dict[str, Any]] = []
    for station, group in table.groupby("station", sort=True):
        triplets = group.set_index(pd.DatetimeIndex(group["day"]))[[member, "observed", product]].dropna()
        triplets = triplets[~triplets.index.duplicated()]
        moments = CoMoments.of(*anomalies(triplets, days).to_numpy(dtype=np.float64).T)
        if moments.n < MINIMUM:
            continue
        row = {"station": station, "network": group["network"].iloc[0], "n": moments.n, "moments": moments}
        for name, figures in zip(SETS, triple_collocation(moments.covariance), strict=True):
            row |= {f"{name}_{measure}": figures[measure] for measure in MEASURES}
        rows.append(row)
    return pd.DataFrame(rows)


def triplet_summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the figures of all stations together, and the medians over stations; see `collocate`."""
    whole: CoMoments = rows["moments"].iloc[0]
    for moments in rows["moments"].iloc[1:]:
        whole = whole + moments
    pooled, median = {}, {}
    for name, figures in zip(SETS, triple_collocation(whole.covariance), strict=True):
        pooled[name] = {measure: figures[measure] for measure in MEASURES}
        of_stations = {measure: rows[f"{name}_{measure}"] for measure in MEASURES}
        median[name] = {
            measure: float(np.nanmedian(v)) if v.notna().any() else math.nan for measure, v in of_stations.items()
        }
        median[name]["negative"] = int(of_stations["err_std"].isna().sum())
    return {"n": whole.n, "stations_used": len(rows), "pooled": pooled, "median": median}


def collocations(
    matchups: pd.DataFrame, samples: pd.DataFrame, products: Mapping[str, Sequence[str]], days: int | None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what triple collocation says, by layer, product and member, and a table by station.

    Parameters
    ----------
    matchups : DataFrame
        Estimates and observations by ``station``, ``layer`` and ``day``; only stations that training never saw count.
    samples : DataFrame
        The products at the same places and days, a column each.
    products : mapping
        Layers of each product.
    days : int, optional
        Of the moving average that is subtracted from every series; each one's mean by default.
    """
    out: dict[str, Any] = {}
    tables: list[pd.DataFrame] = []
    unseen = matchups[matchups["held_out"].astype(bool)] if len(matchups) else matchups
    if unseen.empty or samples.empty:
        return out, pd.DataFrame()
    for product, layers in products.items():
        if product not in samples:
            continue
        values = samples[["station", "layer", "day", product]].rename(columns={product: _COLUMN})
        joined = unseen.merge(values, on=["station", "layer", "day"], how="inner")
        for layer in layers:
            own = joined[joined["layer"] == layer]
            for member in members_of(unseen[unseen["layer"] == layer]):
                rows = collocate(own, _COLUMN, member, days)
                if rows.empty:
                    continue
                place = out.setdefault(layer, {}).setdefault(product, {})
                place[member] = {"stations": int(own["station"].nunique()), **triplet_summary(rows)}
                front = {"layer": layer, "product": product, "member": member}
                tables.append(rows.drop(columns="moments").assign(**front)[[*front, *rows.columns.drop("moments")]])
    return out, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


_COLUMN = "independent product"
