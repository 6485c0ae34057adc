"""What computes a tile, opened once per process: the drivers' loader and the trained ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from smdown.grid import NestedGrid, Window

Field = npt.NDArray[np.float32]


class Drivers(Protocol):
    """The part of `smdown.features.Loader` that prediction uses; shapes and units as stated there."""

    def static(self, grid: NestedGrid, window: Window) -> Field:
        """Return static drivers ``(feature, y, x)``."""
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


class Ensemble(Protocol):
    """The part of a trained ensemble that prediction uses."""

    @property
    def radius(self) -> int:
        """Pixels around its core that a window must have."""
        ...

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the networks."""
        ...

    def predict(self, fine: Field, sequence: Field, core: Window, ratio: int, origin: tuple[int, int]) -> Any:
        """Predict the pixels of `core` from drivers on `core` grown by `radius`; missing ones are imputed."""
        ...

    def combine(self, prediction: Any) -> tuple[Field, Field]:
        """Return mean and standard deviation of the ensemble, each ``(layer, y, x)``."""
        ...

    def alone(self, prediction: Any) -> tuple[Field, Field]:
        """Return mean and standard deviation of every network, ``(member, layer, y, x)``."""
        ...


class Applicability(Protocol):
    """The part of `smdown.training.applicability.Applicability` that prediction uses."""

    threshold: float
    """Index beyond which a value rests on extrapolation."""

    def index(self, fine: Field, margin: int = 0) -> Field:
        """Return the dissimilarity index ``(y, x)`` of drivers ``(feature, y, x)``, `margin` pixels around left out."""
        ...


@dataclass(frozen=True)
class Engine:
    """A loader and an ensemble that fit each other.

    Parameters
    ----------
    drivers : Drivers
        Fills windows.
    ensemble : Ensemble
        Predicts them.
    names : tuple of str
        Drivers, in the order that the ensemble was trained with.
    static_names, dynamic_names : tuple of str
        The same, as the loader's two calls return them.
    required : tuple of bool
        Which of `names` a pixel cannot be without.
    sequence_ratio : int
        Pixels along a cell of the sequence grid; 0 without a sequence.
    sequence_shape : tuple of int
        Days and drivers of the sequence.
    applicability : Applicability, optional
        Says how far drivers lie from those of the training; none where the ensemble does not know.
    provenance : mapping
        Texts that say what it was made from, for the mosaic's attributes.
    """

    drivers: Drivers
    ensemble: Ensemble
    names: tuple[str, ...]
    static_names: tuple[str, ...]
    dynamic_names: tuple[str, ...]
    required: tuple[bool, ...]
    sequence_ratio: int = 0
    sequence_shape: tuple[int, int] = (0, 0)
    applicability: Applicability | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def static_places(self) -> list[int]:
        """Positions of the static drivers among `names`."""
        return [self.names.index(name) for name in self.static_names]

    @property
    def dynamic_places(self) -> list[int]:
        """Positions of the drivers of a day among `names`."""
        return [self.names.index(name) for name in self.dynamic_names]
