"""What many stations say together: figures over all matchups, medians over stations, and how sure they are."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from smdown.evaluation import metrics
from smdown.evaluation.metrics.cells import within_groups
from smdown.evaluation.metrics.groups import drawn_counts, statistic_interval
from smdown.evaluation.station_summary import FIGURES, drawn_groups, gains, medians, network_means
from smdown.evaluation.station_table import MIN_PAIRS
from smdown.evaluation.stations import comparable, members_of
from smdown.evaluation.stats import Z_90, Moments, gaussian_crps

Array = npt.NDArray[np.float64]


def pooled_metrics(table: pd.DataFrame, figures: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return, by member, the figures over all matchups of one layer and the medians over stations.

    Parameters
    ----------
    table : DataFrame
        Matchups of one layer, of stations that are judged together.
    figures : DataFrame
        Rows of :func:`station_table.station_table` of the same stations and layer.

    Returns
    -------
    dict
        By member: ``n, stations, r, rho, bias, rmse, ubrmse, slope`` over all matchups with ``<figure>_ci``; skill
        inside cells (:func:`within_groups`); ``median_``, ``median_<figure>_ci``, ``iqr_`` and ``network_median_`` of
        every figure of stations; ``gain_`` over the coarse cell with ``_ci`` and ``_share``; ``crps``, ``coverage_90``.
        Correlations and slope need `MIN_PAIRS`.
        Intervals are of 95 %, from drawing cells with all their stations and days (:func:`drawn_groups`).
    """
    rows = comparable(table)
    out: dict[str, dict[str, Any]] = {}
    for member in members_of(table):
        found: dict[str, Any] = _over_all(rows, member)
        found["stations"] = int(rows["station"].nunique())
        found |= within_cells(rows, member)
        for name, one in medians(figures, member).items():
            found |= {f"median_{name}": one["median"], f"iqr_{name}": [one["q25"], one["q75"]]}
            found[f"median_{name}_ci"] = one["ci"]
        networks = network_means(figures, member)
        found |= {"networks": networks["networks"]}
        found |= {f"network_median_{name}": networks[name] for name in FIGURES}
        for name, one in gains(figures, member).items():
            found |= {f"gain_{name}": one["median"], f"gain_{name}_ci": one["ci"], f"gain_{name}_share": one["share"]}
        out[member] = found | _scores(rows, member)
    return out


def within_cells(rows: pd.DataFrame, member: str) -> dict[str, float]:
    """Return the skill inside cells on days on which 3 or more stations share one."""
    return within_groups(rows[member], rows["observed"], rows.groupby(["cell", "day"], sort=True).ngroup())


def _over_all(rows: pd.DataFrame, member: str) -> dict[str, Any]:
    found: dict[str, Any] = Moments.of(rows[member], rows["observed"]).metrics()
    if rows.empty:
        return found | {"rho": math.nan, "slope": math.nan}
    x, y = rows[member].to_numpy(dtype=np.float64), rows["observed"].to_numpy(dtype=np.float64)
    one = metrics.pair_metrics(x, y)
    found |= {"rho": float(one["rho"][0]), "slope": float(one["slope"][0])}
    if len(rows) < MIN_PAIRS:
        found |= dict.fromkeys(("r", "rho", "slope"), math.nan)
    offset, a, b = x.mean() - y.mean(), x - x.mean(), y - y.mean()
    codes, counts = drawn_counts(drawn_groups(rows))
    terms = (np.ones(len(a)), a, b, a * a, b * b, a * b)
    sums = np.stack([np.bincount(codes, t, counts.shape[1]).astype(np.float64) for t in terms], axis=1)
    for k, name in enumerate(("r", "bias", "rmse", "ubrmse", "slope")):
        low, high = statistic_interval(sums, counts, partial(_one_of_sums, offset=offset, which=k))
        found[f"{name}_ci"] = [low, high] if math.isfinite(low) else math.nan
    return found


def _one_of_sums(sums: Array, offset: float, which: int) -> Array:
    return _of_sums(sums, offset)[which]


def _of_sums(sums: Array, offset: float) -> tuple[Array, ...]:
    """Return r, bias, RMSE, ubRMSE and slope from sums of anomalies."""
    n = sums[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = sums[:, 1] / n, sums[:, 2] / n
        xx, yy, xy = sums[:, 3] / n - mean_x**2, sums[:, 4] / n - mean_y**2, sums[:, 5] / n - mean_x * mean_y
        bias, ubmsd = mean_x - mean_y + offset, np.maximum(xx + yy - 2 * xy, 0.0)
        return np.clip(xy / np.sqrt(xx * yy), -1, 1), bias, np.sqrt(bias**2 + ubmsd), np.sqrt(ubmsd), xy / yy


def _scores(rows: pd.DataFrame, member: str) -> dict[str, float]:
    """Return ``crps``, and ``coverage_90`` where a standard deviation is stated; see `smdown.evaluation.stats`."""
    column = "std" if member == "ensemble" else f"{member}_std"
    error = (rows[member] - rows["observed"]).to_numpy(dtype=np.float64)
    std = rows[column].to_numpy(dtype=np.float64) if column in rows else np.full(len(rows), np.nan)
    out = {"crps": float(gaussian_crps(error, std).mean()) if len(rows) else math.nan}
    known = np.isfinite(std)
    if known.any():
        out["coverage_90"] = float((np.abs(error[known]) <= Z_90 * std[known]).mean())
    return out
