"""Ridge regression of every layer on the drivers: a baseline, and where the networks start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smdown.training.rows import Rows

PENALTIES = tuple(float(10.0**k) for k in np.arange(-4, 1.01, 0.5))
"""Penalties tried, in parts of the rows' total weight; drivers are standardised."""
_UNCHECKED = 1e-2


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
        Which of `PENALTIES` did best on the held-out rows.
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
    x, y, weight = (values.astype(np.float64) for values in train.of_layer(layer))
    if not len(y):
        return Ridge(np.zeros(train.x.shape[1], np.float32), 0.0, _UNCHECKED, float("inf"))
    share = weight / weight.sum()
    middle, level = share @ x, float(share @ y)
    centred = x - middle
    square, product = (centred * share[:, None]).T @ centred, (centred * share[:, None]).T @ (y - level)
    held_x, held_y, held_weight = held.of_layer(layer)
    found = []
    for penalty in PENALTIES if len(held_y) else (_UNCHECKED,):
        c = np.linalg.solve(square + penalty * np.eye(len(square)), product)
        line = Ridge(c.astype(np.float32), level - float(middle @ c), penalty, float("inf"))
        error = np.average((line.predict(held_x) - held_y) ** 2, weights=held_weight) if len(held_y) else np.inf
        found.append(Ridge(line.coefficient, line.intercept, penalty, float(error)))
    return min(found, key=lambda line: line.error)
