"""Stations by network, climate and layer: medians with their spread, and the gain over the coarse product.

Networks differ in size by a hundred times; the mean of their medians stands beside the median of all stations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from smdown.evaluation.metrics import median_intervals
from smdown.evaluation.metrics.groups import MINIMUM as MIN_GROUPS
from smdown.evaluation.metrics.intervals import LEVEL, METHOD
from smdown.evaluation.metrics.intervals import MINIMUM as MIN_INTERVAL
from smdown.evaluation.station_table import BASELINE, MIN_PAIRS
from smdown.evaluation.station_table import FIGURES as WITH_INTERVAL

FIGURES = (*WITH_INTERVAL, "gdown")
_GAINS = {"rmse": -1.0, "ubrmse": -1.0, "r": 1.0}
"""Figures whose gain is given, and whether more is better."""


def members_in(figures: pd.DataFrame) -> list[str]:
    """Return the estimates that a table of stations has figures of, in order."""
    known = [str(c) for c in figures.columns if str(c).endswith("_ubrmse") and figures[c].notna().any()]
    return [name.removesuffix("_ubrmse") for name in known]


def station_summary(figures: pd.DataFrame) -> dict[str, Any]:
    """Return the summaries that ``station_summary.json`` holds.

    Parameters
    ----------
    figures : DataFrame
        As :func:`station_table.station_table` returns it.

    Returns
    -------
    dict
        ``interval`` (what the stations' intervals are), ``metrics``, and under ``layers``, by layer and reference (held
        out, or of the training): ``all``, ``network`` and ``climate``, each by name: ``stations``, ``pairs``, what is
        ``drawn`` for intervals, and the figures of every member (median, its 95 % interval, quartiles, stations that
        have it, gains); and ``network_mean``, the mean of the networks' medians.
    """
    layers: dict[str, Any] = {}
    if len(figures):
        figures = figures.astype({"held_out": bool})
        for layer, own in figures.groupby("layer", sort=True):
            kinds = (("stations", own[own["held_out"]]), ("stations_training", own[~own["held_out"]]))
            layers[str(layer)] = {reference: _views(rows) for reference, rows in kinds if len(rows)}
    about = {"level": LEVEL, "method": METHOD, "minimum_pairs": MIN_PAIRS, "minimum_pairs_interval": MIN_INTERVAL}
    return {"interval": about, "metrics": list(FIGURES), "layers": layers}


def _views(rows: pd.DataFrame) -> dict[str, Any]:
    members = members_in(rows)
    return {
        "all": {"": _view(rows, members)},
        "network": {str(n): _view(some, members) for n, some in rows.groupby("network", sort=True)},
        "climate": {str(n): _view(some, members) for n, some in rows.groupby("climate", sort=True)},
        "network_mean": {
            "networks": int(rows["network"].nunique()),
            "members": {m: {k: v for k, v in network_means(rows, m).items() if k != "networks"} for m in members},
        },
    }


def drawn_groups(rows: pd.DataFrame) -> npt.NDArray[Any]:
    """Return what is drawn for intervals: the coarse cells, or the stations themselves where cells are too few.

    Stations of one cell share its error; drawing them one by one leaves that out, and is the best that is left then.

    Parameters
    ----------
    rows : DataFrame
        With ``cell`` and ``station``.
    """
    enough = rows["cell"].nunique() >= MIN_GROUPS
    return rows["cell" if enough else "station"].to_numpy()


def _view(rows: pd.DataFrame, members: list[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {m: medians(rows, m) for m in members}
    for member in members:
        if found := gains(rows, member):
            figures[member]["gain"] = found
    drawn = "cells" if rows["cell"].nunique() >= MIN_GROUPS else "stations"
    return {"stations": len(rows), "pairs": int(rows["n"].sum()), "drawn": drawn, "members": figures}


def medians(rows: pd.DataFrame, member: str) -> dict[str, dict[str, Any]]:
    """Return the median over stations of every figure, its interval, quartiles, and how many."""
    values = np.stack([column(rows, f"{member}_{name}") for name in FIGURES], axis=1)
    ends = median_intervals(values, drawn_groups(rows)) if len(rows) else np.full((len(FIGURES), 2), np.nan)
    return {name: _spread(values[:, k], ends[k]) for k, name in enumerate(FIGURES)}


def gains(rows: pd.DataFrame, member: str) -> dict[str, dict[str, Any]]:
    """Return by how much a member is better than the coarse cell at the same stations; nothing of that cell itself.

    The median of the stations' differences (above 0: better), its interval, and the share of stations that gain.
    """
    if member == BASELINE or f"{BASELINE}_rmse" not in rows:
        return {}
    parts = [s * (column(rows, f"{member}_{n}") - column(rows, f"{BASELINE}_{n}")) for n, s in _GAINS.items()]
    values = np.stack(parts, axis=1)
    ends = median_intervals(values, drawn_groups(rows)) if len(rows) else np.full((len(_GAINS), 2), np.nan)
    out = {}
    for k, name in enumerate(_GAINS):
        known = values[np.isfinite(values[:, k]), k]
        share = float((known > 0).mean()) if known.size else math.nan
        found = _spread(values[:, k], ends[k])
        out[name] = {"median": found["median"], "ci": found["ci"], "share": share, "stations": found["stations"]}
    return out


def network_means(rows: pd.DataFrame, member: str) -> dict[str, float]:
    """Return the mean over networks of their medians, and the number of networks."""
    out: dict[str, float] = {"networks": int(rows["network"].nunique()) if len(rows) else 0}
    for name in FIGURES:
        own = pd.Series(column(rows, f"{member}_{name}"))
        by_network = own.groupby(rows["network"].to_numpy()).median() if len(rows) else own
        out[name] = float(by_network.mean()) if by_network.notna().any() else math.nan
    return out


def column(rows: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """Return a column as floats, NaN where there is none."""
    return rows[name].to_numpy(dtype=np.float64) if name in rows else np.full(len(rows), np.nan)


def _spread(values: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]) if known.size else (math.nan,) * 3
    interval = [float(v) for v in ends] if np.isfinite(ends).all() else math.nan
    return {
        "median": float(middle), "ci": interval, "q25": float(low), "q75": float(high), "stations": int(known.size),
    }  # fmt: skip
