"""Models of single pixels that others would pick, as plain numbers: stored and applied without running code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from smdown import cubes
from smdown.errors import BundleError
from smdown.kernels.trees import add_trees
from smdown.training.standardise import CLIP

Array = npt.NDArray[np.float32]
CARD, ARRAYS = "baselines.json", "baselines.safetensors"


@dataclass(frozen=True, eq=False)
class Linear:
    """``intercept + x . coefficient``.

    Parameters
    ----------
    coefficient : ndarray
        float32, ``(driver,)``.
    intercept : float
        Value at the drivers' means.
    """

    coefficient: Array
    intercept: float

    def predict(self, x: Array) -> Array:
        """Return ``(n,)`` for standardised drivers ``(n, driver)``."""
        return x @ self.coefficient + np.float32(self.intercept)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what to store."""
        return {"coefficient": self.coefficient, "intercept": np.array([self.intercept], dtype=np.float32)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> Linear:
        """Return what :meth:`arrays` stored."""
        return cls(arrays["coefficient"], float(arrays["intercept"][0]))


@dataclass(frozen=True, eq=False)
class Boosted:
    """``intercept`` and a sum of complete binary trees; see `smdown.kernels.trees.add_trees`.

    Parameters
    ----------
    feature, threshold, leaf : ndarray
        int32, float32, float32.
    intercept : float
        What the trees add to.
    """

    feature: npt.NDArray[np.int32]
    threshold: Array
    leaf: Array
    intercept: float

    def predict(self, x: Array) -> Array:
        """Return ``(n,)`` for standardised drivers ``(n, driver)``."""
        return add_trees(x, self.feature, self.threshold, self.leaf) + np.float32(self.intercept)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what to store."""
        trees = {"feature": self.feature, "threshold": self.threshold, "leaf": self.leaf}
        return trees | {"intercept": np.array([self.intercept], dtype=np.float32)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> Boosted:
        """Return what :meth:`arrays` stored."""
        return cls(arrays["feature"], arrays["threshold"], arrays["leaf"], float(arrays["intercept"][0]))


KINDS: dict[str, type[Linear | Boosted]] = {"linear": Linear, "gradient_boosting": Boosted}
"""Models by the name that they bear in tables."""


@dataclass(frozen=True, eq=False)
class Baselines:
    """Fitted models of every kind and layer.

    Parameters
    ----------
    models : dict
        By kind and layer.
    drivers : tuple of str
        In channel order.
    driver_mean, driver_std : ndarray
        float32, what drivers are standardised with.
    target_mean, target_std : dict
        By layer: what values are restored with.
    std : dict
        By kind and layer: root mean squared error on held-out rows, in physical units.
    settings : dict
        By kind and layer: what was chosen, and the error that it was chosen by.
    """

    models: dict[str, dict[str, Linear | Boosted]]
    drivers: tuple[str, ...]
    driver_mean: Array
    driver_std: Array
    target_mean: dict[str, float]
    target_std: dict[str, float]
    std: dict[str, dict[str, float]]
    settings: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.models)

    def standardised(self, fine: Array) -> Array:
        """Return drivers ``(driver, ...)`` as rows ``(n, driver)`` in standard deviations, 0 where missing."""
        rows = fine.reshape(len(fine), -1).T
        out = (rows - self.driver_mean) * (1 / self.driver_std)
        return np.clip(np.nan_to_num(out, nan=0.0), -CLIP, CLIP).astype(np.float32)

    def predict(self, kind: str, layer: str, rows: Array) -> Array:
        """Return a layer in its own units, ``(n,)``, for standardised rows."""
        found = self.models[kind][layer].predict(rows)
        return (found * self.target_std[layer] + self.target_mean[layer]).astype(np.float32)

    def save(self, url: str) -> None:
        """Write into a bundle's folder; the card comes last."""
        arrays = {
            f"{kind}/{layer}/{name}": np.ascontiguousarray(array)
            for kind, layers in self.models.items()
            for layer, model in layers.items()
            for name, array in model.arrays().items()
        }
        arrays |= {"driver_mean": self.driver_mean, "driver_std": self.driver_std}
        card = {
            "models": {kind: list(layers) for kind, layers in self.models.items()},
            "drivers": list(self.drivers),
            "target_mean": self.target_mean,
            "target_std": self.target_std,
            "std": self.std,
            "settings": self.settings,
        }
        cubes.put(cubes.join(url, ARRAYS), save_arrays(arrays))
        cubes.put(cubes.join(url, CARD), (json.dumps(card, indent=1) + "\n").encode())

    @classmethod
    def load(cls, url: str) -> Baselines:
        """Read what :meth:`save` wrote; no code in the files runs.

        Raises
        ------
        BundleError
            If they are not there, or not what their names say.
        """
        text, data = cubes.get(cubes.join(url, CARD)), cubes.get(cubes.join(url, ARRAYS))
        if text is None or data is None:
            raise BundleError(f"{url} holds no baselines; run evaluate with evaluation.baselines: true")
        try:
            card, arrays = json.loads(text), load_arrays(data)
            models = {
                kind: {layer: _model(kind, layer, arrays) for layer in layers}
                for kind, layers in card["models"].items()
            }
            return cls(
                models, tuple(card["drivers"]), arrays["driver_mean"], arrays["driver_std"], card["target_mean"],
                card["target_std"], card["std"], card["settings"],
            )  # fmt: skip
        except (SafetensorError, ValueError, KeyError, TypeError, IndexError) as error:
            raise BundleError(
                f"{url}/{CARD} or {ARRAYS} cannot be read ({error}); remove both, evaluate again"
            ) from error


def _model(kind: str, layer: str, arrays: dict[str, npt.NDArray[Any]]) -> Linear | Boosted:
    head = f"{kind}/{layer}/"
    return KINDS[kind].from_arrays({k.removeprefix(head): v for k, v in arrays.items() if k.startswith(head)})
