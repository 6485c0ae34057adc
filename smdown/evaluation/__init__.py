"""Is the map right, and why: mergeable statistics, truth and stations, sensitivity, and a report for people."""

from smdown.evaluation.importance import sensitivity
from smdown.evaluation.job import EvaluateJob, LayerInput
from smdown.evaluation.report import write_report
from smdown.evaluation.summary import evaluate_plan, summarise, task_bytes
from smdown.evaluation.tile import run_evaluate

__all__ = [
    "EvaluateJob",
    "LayerInput",
    "evaluate_plan",
    "run_evaluate",
    "sensitivity",
    "summarise",
    "task_bytes",
    "write_report",
]
