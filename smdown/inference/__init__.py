"""Prediction: tiles with halos, agreement with the coarse product, the mosaic, and its export."""

from smdown.inference.baselines import baselines_plan
from smdown.inference.constraint import constrain
from smdown.inference.export import export_cog
from smdown.inference.job import LayerJob, PredictJob, PredictTask
from smdown.inference.mosaic import Flag
from smdown.inference.predict import predict_plan, run_predict
from smdown.inference.quicklook import quicklook

__all__ = [
    "Flag",
    "LayerJob",
    "PredictJob",
    "PredictTask",
    "baselines_plan",
    "constrain",
    "export_cog",
    "predict_plan",
    "quicklook",
    "run_predict",
]
