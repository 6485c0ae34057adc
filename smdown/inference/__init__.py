"""Prediction: tiles with halos, agreement with the coarse product, and the mosaic."""

from smdown.inference.baselines import baselines_plan
from smdown.inference.constraint import constrain
from smdown.inference.job import LayerJob, PredictJob, PredictTask
from smdown.inference.mosaic import Flag
from smdown.inference.predict import predict_plan, run_predict

__all__ = [
    "Flag",
    "LayerJob",
    "PredictJob",
    "PredictTask",
    "baselines_plan",
    "constrain",
    "predict_plan",
    "run_predict",
]
