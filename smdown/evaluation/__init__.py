"""Is the map right, and why: mergeable statistics, truth and stations, sensitivity, and a report for people.

What draws is imported when it is first asked for: a run that finds all its work done needs none of it.
"""

from typing import TYPE_CHECKING

from smdown.evaluation.footprint import Footprint
from smdown.evaluation.job import EvaluateJob, LayerInput, ProductInput
from smdown.evaluation.summary import evaluate_plan, summarise, task_bytes
from smdown.evaluation.tile import run_evaluate
from smdown.later import imported_later

if TYPE_CHECKING:
    from smdown.evaluation.importance import sensitivity
    from smdown.evaluation.report import write_report

__all__ = [
    "EvaluateJob",
    "Footprint",
    "LayerInput",
    "ProductInput",
    "evaluate_plan",
    "run_evaluate",
    "sensitivity",
    "summarise",
    "task_bytes",
    "write_report",
]

__getattr__ = imported_later(__name__, importance="sensitivity", report="write_report")
