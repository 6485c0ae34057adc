"""Helpers of tests and benchmarks: Hypothesis strategies, ways to damage what is on disk, tasks that fail."""

from smdown.testing.faults import data_objects, flip_bit, truncate
from smdown.testing.strategies import halos, nested_grids, raster_grids, rasters, windows
from smdown.testing.tasks import TrialTask, run_trial

__all__ = [
    "TrialTask", "data_objects", "flip_bit", "halos", "nested_grids", "raster_grids", "rasters", "run_trial",
    "truncate", "windows",
]  # fmt: skip
