"""Training: from labels and drivers to a bundle, and from a bundle to predictions.

What needs PyTorch is imported when it is first asked for: many commands never do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smdown.training.card import BundleCard
from smdown.training.config import TrainingConfig, check_no_leak
from smdown.training.context import Layer, TrainContext

if TYPE_CHECKING:
    from smdown.training.bundle import Bundle
    from smdown.training.fit import train
    from smdown.training.predictor import Prediction, Predictor, combine
    from smdown.training.tabular import Baselines

_HOMES = {
    "Baselines": "tabular", "Bundle": "bundle", "Prediction": "predictor", "Predictor": "predictor",
    "combine": "predictor", "train": "fit",
}  # fmt: skip

__all__ = [
    "Baselines",
    "Bundle",
    "BundleCard",
    "Layer",
    "Prediction",
    "Predictor",
    "TrainContext",
    "TrainingConfig",
    "check_no_leak",
    "combine",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
