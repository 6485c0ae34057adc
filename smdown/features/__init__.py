"""The drivers of soil moisture: what they are made from, and the one function that fills a window with them."""

from smdown.features.config import FeaturesConfig
from smdown.features.lazy import lazy_dataset, lazy_source
from smdown.features.loader import Loader, get_loader
from smdown.features.materialise import features_plan, run_features, task_bytes
from smdown.features.resampler import Resampler
from smdown.features.spec import FeatureSpec, build_spec

__all__ = [
    "FeatureSpec",
    "FeaturesConfig",
    "Loader",
    "Resampler",
    "build_spec",
    "features_plan",
    "get_loader",
    "lazy_dataset",
    "lazy_source",
    "run_features",
    "task_bytes",
]
