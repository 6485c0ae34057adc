"""Is the map right, and why: mergeable statistics, truth and stations, sensitivity, and a report for people.

What draws is imported when it is first asked for: a run that finds all its work done needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smdown.evaluation.job import EvaluateJob, LayerInput
from smdown.evaluation.summary import evaluate_plan, summarise, task_bytes
from smdown.evaluation.tile import run_evaluate

if TYPE_CHECKING:
    from smdown.evaluation.importance import sensitivity
    from smdown.evaluation.report import write_report

_HOMES = {"sensitivity": "importance", "write_report": "report"}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
