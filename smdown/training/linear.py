"""Ridge regression of every layer on the drivers: a baseline, and where the networks start from.

The baseline chooses its penalty on held-out rows, as a user would. The start does not: held-out rows are of the
training resolutions, where drivers vary less than on the map, and most of their error is that of whole cells, which the
constraint takes away later. A driver that hardly varies in training (curvature at 1000 m) could get any coefficient,
and make any pattern at 30 m. So the start's penalty is fixed, and counts coefficients by what they do on the map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from smdown.training.rows import Rows

PENALTIES = tuple(float(10.0**k) for k in np.arange(-4, 1.01, 0.5))
"""Penalties tried, in parts of the rows' total weight; drivers are standardised."""
_UNCHECKED = 1e-2
START_PENALTY = 0.1
"""Of the networks' start: on a driver that varies in training as on the map it takes a tenth off a coefficient, on one
that varies a tenth as much nine tenths. Between 0.03 and 0.3 it makes little difference at any resolution."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """One layer as ``intercept + x . coefficient``, all standardised.

    Parameters
    ----------
    coefficient : ndarray
        float32, ``(driver,)``.
    intercept : float
        Value at the drivers' means.
    penalty : float
        Which of `PENALTIES` did best on the held-out rows, or `START_PENALTY`.
    error : float
        Mean squared error there, infinite where there are none.
    """

    coefficient: npt.NDArray[np.float32]
    intercept: float
    penalty: float
    error: float

    def predict(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``(n,)`` for drivers ``(n, driver)``."""
        return x @ self.coefficient + np.float32(self.intercept)


def fit_ridge(train: Rows, held: Rows, layer: int) -> Ridge:
    """Minimise ``sum w (y - b - x . c)^2 + penalty sum(w) |c|^2`` (Hoerl and Kennard 1970, Technometrics 12).

    Parameters
    ----------
    train, held : Rows
        What is fitted to, and what the penalty is chosen by.
    layer : int
        Number of the layer.

    Returns
    -------
    Ridge
        All zeros where no row has the layer.
    """
    normal = _normal(train, layer)
    if normal is None:
        return _nothing(train)
    held_x, held_y, held_weight = held.of_layer(layer)
    found = []
    for penalty in PENALTIES if len(held_y) else (_UNCHECKED,):
        line = _solved(normal, penalty, np.ones(train.x.shape[1]))
        error = np.average((line.predict(held_x) - held_y) ** 2, weights=held_weight) if len(held_y) else np.inf
        found.append(replace(line, error=float(error)))
    return min(found, key=lambda line: line.error)


def fit_start(train: Rows, layer: int, spread: npt.NDArray[np.float64]) -> Ridge:
    """Minimise ``sum w (y - b - x . c)^2 + START_PENALTY sum(w) sum_j (spread_j c_j)^2``.

    Parameters
    ----------
    train : Rows
        What is fitted to.
    layer : int
        Number of the layer.
    spread : ndarray
        ``(driver,)``: standard deviation on the map, in standard deviations of the training.

    Returns
    -------
    Ridge
        All zeros where no row has the layer.
    """
    normal = _normal(train, layer)
    return _nothing(train) if normal is None else _solved(normal, START_PENALTY, spread)


@dataclass(frozen=True, eq=False)
class _Normal:
    """Means of drivers and layer, and what the normal equations are made of."""

    middle: npt.NDArray[np.float64]
    level: float
    square: npt.NDArray[np.float64]
    product: npt.NDArray[np.float64]


def _normal(train: Rows, layer: int) -> _Normal | None:
    x, y, weight = (values.astype(np.float64) for values in train.of_layer(layer))
    if not len(y):
        return None
    share = weight / weight.sum()
    middle, level = share @ x, float(share @ y)
    centred = x - middle
    weighted = (centred * share[:, None]).T
    return _Normal(middle, level, weighted @ centred, weighted @ (y - level))


def _solved(normal: _Normal, penalty: float, spread: npt.NDArray[np.float64]) -> Ridge:
    c = np.linalg.solve(normal.square + penalty * np.diag(spread**2), normal.product)
    return Ridge(c.astype(np.float32), normal.level - float(normal.middle @ c), penalty, float("inf"))


def _nothing(train: Rows) -> Ridge:
    return Ridge(np.zeros(train.x.shape[1], np.float32), 0.0, _UNCHECKED, float("inf"))
