"""Training: from labels and drivers to a bundle, and from a bundle to predictions.

What needs PyTorch is imported when it is first asked for: many commands never do.
"""

from typing import TYPE_CHECKING

from smdown.later import imported_later
from smdown.training.card import BundleCard
from smdown.training.config import TrainingConfig, check_no_leak
from smdown.training.context import Layer, TrainContext

if TYPE_CHECKING:
    from smdown.training.bundle import Bundle
    from smdown.training.fit import train
    from smdown.training.predictor import Prediction, Predictor, combine
    from smdown.training.tabular import Baselines

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

__getattr__ = imported_later(
    __name__, bundle="Bundle", fit="train", predictor="Prediction Predictor combine", tabular="Baselines"
)
