"""What training is told: the region, the layers, and whoever can fill a window with drivers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from smdown.grid import EASE2_M09, Lattice, NestedGrid, Window

Field = npt.NDArray[np.float32]
Progress = Callable[[str, int, int], None]


class DriverLoader(Protocol):
    """The part of `smdown.features.Loader` that training uses; shapes and units as stated there."""

    def static(self, grid: NestedGrid, window: Window, names: Sequence[str] | None = None) -> Field:
        """Return static drivers ``(feature, y, x)``, all or those named."""
        ...

    def dynamic(self, grid: NestedGrid, window: Window, day: np.datetime64) -> Field:
        """Return drivers of a day ``(feature, y, x)``."""
        ...

    def sequence(self, cells: Window, day: np.datetime64) -> Field:
        """Return ``(day, feature, Y, X)`` over the cells and one sequence pixel around them."""
        ...

    def coarse(self, source: str, variable: str, cells: Window, day: np.datetime64) -> Field:
        """Return the coarse product ``(y, x)`` on whole cells."""
        ...

    def gridded(self, source: str, variable: str, grid: NestedGrid, window: Window, day: np.datetime64) -> Field:
        """Return another product of the day, resampled, ``(y, x)``; NaN where it has no value or no such day."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """One variable to downscale.

    Parameters
    ----------
    name : str
        Name in the mosaic, and of the stations' variable.
    source, variable : str
        The coarse product.
    units : str
        Units of the coarse product and of the stations.
    valid_range : tuple of float
        Physical limits.
    uncertainty : float
        Standard deviation of the coarse product's error, which the map's is calibrated beside.
    """

    name: str
    source: str
    variable: str
    units: str = "m3 m-3"
    valid_range: tuple[float, float] = (0.0, 0.9)
    uncertainty: float = 0.0


@dataclass(frozen=True)
class TrainContext:
    """Everything that `train` needs beside its configuration.

    Parameters
    ----------
    spec : FeatureSpec
        The drivers.
    cells : Window
        Cells of the region, in lattice indices.
    layers : tuple of Layer
        What to predict.
    days : tuple of str
        ISO days with data.
    sources_url : str
        Folder of source cubes.
    stations_url : str, optional
        Station cube, where a label asks for one.
    out : str
        Folder or URL of the bundle.
    lattice : Lattice
        The coarse grid.
    seed : int, optional
        Overrides the configuration's.
    map_ratio : int
        Pixels of the map along a cell.
    """

    spec: Any
    cells: Window
    layers: tuple[Layer, ...]
    days: tuple[str, ...]
    sources_url: str
    stations_url: str | None
    out: str
    lattice: Lattice = EASE2_M09
    seed: int | None = None
    map_ratio: int = 300

    def grid(self, ratio: int) -> NestedGrid:
        """Return the region's grid of a ratio."""
        return NestedGrid(self.lattice, self.cells, ratio)
