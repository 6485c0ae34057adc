"""Figures of many pairs of series at once, and how sure they are: pure functions on arrays, ``(series, day)``.

Missing values are NaN; a pair counts where both are finite. Nothing here reads or writes.
"""

from smdown.evaluation.metrics.analytic import analytic_intervals
from smdown.evaluation.metrics.anomalies import moving_anomalies
from smdown.evaluation.metrics.blocks import block_intervals, block_length
from smdown.evaluation.metrics.effective import effective_size, effective_sizes
from smdown.evaluation.metrics.gain import gdown
from smdown.evaluation.metrics.groups import median_intervals
from smdown.evaluation.metrics.intervals import intervals
from smdown.evaluation.metrics.pairs import METRICS, pair_metrics

__all__ = [
    "METRICS",
    "analytic_intervals",
    "block_intervals",
    "block_length",
    "effective_size",
    "effective_sizes",
    "gdown",
    "intervals",
    "median_intervals",
    "moving_anomalies",
    "pair_metrics",
]
