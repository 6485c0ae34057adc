"""What a station sees of the map: the pixel that holds it, or an average around it.

A probe in the ground stands for a point; a cosmic-ray probe hears some hundred metres around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from smdown.features.ground import row_distances
from smdown.grid import NestedGrid, Window

SHARE = 0.5
"""Share of the weights that must lie on pixels with a value."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The support of stations.

    Parameters
    ----------
    radius_m : float
        Radius of the average, m; 0 for the pixel that holds the station.
    weights : {"gaussian", "uniform"}
        How pixels count: ``exp(-2 (d / radius)^2)`` up to the radius, or all alike.
    networks : tuple of (str, float)
        Networks with another radius.
    """

    radius_m: float = 0.0
    weights: Literal["gaussian", "uniform"] = "gaussian"
    networks: tuple[tuple[str, float], ...] = ()

    def radius(self, network: str) -> float:
        """Return the radius of a network's stations, m."""
        return dict(self.networks).get(network, self.radius_m)

    def around(self, grid: NestedGrid, network: str, y: int, x: int) -> tuple[Window, npt.NDArray[np.float64]]:
        """Return the pixels that a station sees, and their weights.

        Distances are those on the ground, from the centre of the pixel that holds the station.

        Parameters
        ----------
        grid : NestedGrid
            Grid of the map.
        network : str
            The station's.
        y, x : int
            The pixel that holds it, in global indices.

        Returns
        -------
        window : Window
            Around that pixel; it may reach beyond the map.
        weights : ndarray
            ``(y, x)``, their sum is 1.
        """
        radius = self.radius(network)
        width, height = (float(v[0]) for v in row_distances(grid, y, y + 1))
        rows, cols = int(radius // height), int(radius // width)
        dy, dx = np.arange(-rows, rows + 1)[:, None] * height, np.arange(-cols, cols + 1) * width
        away = np.hypot(dy, dx) / max(radius, 1e-9)
        inside = away <= 1
        weights = inside * (np.exp(-2 * away**2) if self.weights == "gaussian" else 1.0)
        return Window(y - rows, y + rows + 1, x - cols, x + cols + 1), weights / weights.sum()


def weighted(values: npt.NDArray[np.floating], weights: npt.NDArray[np.float64]) -> float:
    """Return the weighted mean of the values that are there; NaN where they carry less than `SHARE` of the weights.

    Parameters
    ----------
    values, weights : ndarray
        Of one shape; the weights' sum is 1.
    """
    known = np.isfinite(values)
    total = float(weights[known].sum())
    if total < SHARE:
        return float("nan")
    return float(values[known].astype(np.float64) @ weights[known] / total)
