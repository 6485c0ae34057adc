"""Agreement with the coarse product: the mean over a coarse cell equals the coarse value, inside physical bounds."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from smdown.errors import ConfigError, GridError
from smdown.inference import solve

Kind = Literal["logit", "smooth", "additive", "multiplicative", "none"]
"""How the pixels of a cell give way; every kind keeps them inside their bounds.

To this module `smooth` is `logit`: what makes it smooth has been done before, see `smdown.inference.smooth`.
"""

_CODES = {
    "none": solve.NONE, "logit": solve.LOGIT, "smooth": solve.LOGIT, "additive": solve.ADDITIVE,
    "multiplicative": solve.MULTIPLICATIVE,
}  # fmt: skip

LEAST_VALID = 0.01
"""Share of a cell that must be valid: fewer pixels cannot stand for the coarse value, and the cell is flagged."""


def constrain(
    mean: npt.NDArray[np.floating[Any]],
    coarse: npt.NDArray[np.floating[Any]],
    ratio: int,
    lo: float | npt.NDArray[np.floating[Any]],
    hi: float | npt.NDArray[np.floating[Any]],
    kind: Kind = "logit",
    *,
    least_valid: float = LEAST_VALID,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the field whose mean over each coarse cell is the coarse value.

    One number per cell is found, by safeguarded Newton in float64, such that the mean over the valid pixels *i* meets
    the coarse value:

    - ``logit``: ``y_i = lo_i + (hi_i - lo_i) sigmoid(z_i + b)``, `z` being the logit of the prediction in its range;
    - ``additive``: ``y_i = clip(mean_i + d, lo_i, hi_i)``;
    - ``multiplicative``: ``y_i = clip(mean_i * k, lo_i, hi_i)``, predictions below zero taken as zero;
    - ``none``: ``y_i = clip(mean_i, lo_i, hi_i)``.

    The bounds are part of what is solved, so mean and bounds hold together (after Harder et al. 2023, JMLR 24, whose
    additive and multiplicative layers have no bounds).

    Parameters
    ----------
    mean : ndarray
        Prediction ``(y, x)``, NaN where there is none; whole cells.
    coarse : ndarray
        Coarse values ``(y / ratio, x / ratio)``, in the same units, NaN for missing.
    ratio : int
        Pixels along one side of a cell.
    lo, hi : float or ndarray
        Bounds: numbers, or ``(y, x)``. A pixel without finite bounds is missing.
    kind : str
        ``logit``, ``smooth``, ``additive``, ``multiplicative`` or ``none``.
    least_valid : float
        Share of the cell's pixels that must be valid for the mean to be imposed.

    Returns
    -------
    field : ndarray
        float32 ``(y, x)``. All missing in a cell whose coarse value is missing.
    unmet : ndarray
        bool, one a cell: True where no field inside the bounds has that mean, or too few pixels are valid. Such a
        cell keeps its prediction, clipped.

    Raises
    ------
    GridError
        If the shapes do not fit.
    ConfigError
        If a lower bound exceeds an upper one, or the kind is unknown.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"got the constraint {kind!r}; use one of {', '.join(get_args(Kind))}")
    if mean.shape != (coarse.shape[0] * ratio, coarse.shape[1] * ratio):
        raise GridError(
            f"got a field of {mean.shape} pixels for {coarse.shape} cells of {ratio} x {ratio}; give whole cells"
        )
    lows, highs = _bounds(lo, mean.shape), _bounds(hi, mean.shape)
    if bool(np.any(np.asarray(lo) > np.asarray(hi))):
        raise ConfigError("got a lower bound above an upper one; give valid_range as lowest, highest")
    out = np.full(mean.shape, np.nan, dtype=np.float32)
    unmet = np.zeros(coarse.shape, dtype=bool)
    field = np.ascontiguousarray(mean, dtype=np.float32)
    least = least_valid * ratio * ratio
    solve.constrain_cells(_CODES[kind], field, coarse.astype(np.float64), ratio, lows, highs, least, out, unmet)
    return out, unmet


def _bounds(value: float | npt.NDArray[np.floating[Any]], shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    bounds = np.asarray(value, dtype=np.float64)
    if bounds.ndim and bounds.shape != shape:
        raise GridError(f"got bounds of shape {bounds.shape} for a field of {shape}; give numbers or one a pixel")
    return np.broadcast_to(bounds, shape)


def whole_counts(valid_range: tuple[float, float], scale: float) -> tuple[float, float]:
    """Return the bounds moved inwards to whole counts of `scale`, so that packing cannot leave them."""
    lo, hi = valid_range
    return float(np.ceil(lo / scale - 1e-6) * scale), float(np.floor(hi / scale + 1e-6) * scale)
