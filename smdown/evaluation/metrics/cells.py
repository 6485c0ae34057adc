"""Skill inside coarse cells: stations of one cell on one day, less their mean. A coarse product has none."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FEWEST = 3
"""Fewest stations of a cell on a day."""


def within_groups(x: npt.ArrayLike, y: npt.ArrayLike, groups: npt.ArrayLike, fewest: int = FEWEST) -> dict[str, float]:
    """Compare the anomalies of two sets of values from the mean of their group.

    Parameters
    ----------
    x, y : array-like
        Estimate and reference, ``(value,)``, all finite.
    groups : array-like of int
        ``(value,)``: the group of each; a cell on a day.
    fewest : int
        Values that a group needs to count.

    Returns
    -------
    dict
        ``r_within_cell``; ``ubrmse_within_cell``, the root mean square difference of the anomalies, in their units;
        ``var_ratio_within``, the variance of the estimate's anomalies over the reference's; ``pairs_within_cell`` and
        ``cell_days``, values and groups that counted. NaN where undefined.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1] if len(a) else np.zeros(0, dtype=np.int64)
    size = np.bincount(codes)
    kept = size[codes] >= fewest
    a, b, codes = a[kept], b[kept], codes[kept]
    with np.errstate(invalid="ignore", divide="ignore"):
        da, db = (v - (np.bincount(codes, v, len(size)) / size)[codes] for v in (a, b))
    xx, yy, xy = float(da @ da), float(db @ db), float(da @ db)
    noise = 1e-24 * float(b @ b)
    known = min(xx, yy) > noise
    return {
        "r_within_cell": max(-1.0, min(1.0, xy / math.sqrt(xx * yy))) if known else math.nan,
        "ubrmse_within_cell": math.sqrt(max(xx + yy - 2 * xy, 0.0) / len(a)) if len(a) else math.nan,
        "var_ratio_within": xx / yy if yy > noise else math.nan,
        "pairs_within_cell": len(a),
        "cell_days": int((size >= fewest).sum()),
    }
