"""Training: from labels and drivers to a bundle, and from a bundle to predictions."""

from smdown.training.bundle import Bundle
from smdown.training.card import BundleCard
from smdown.training.config import TrainingConfig, check_no_leak
from smdown.training.context import Layer, TrainContext
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
