"""What a run will do and need, said before anything starts: tasks, bytes, memory, disk and time."""

from smdown.planning.model import RunPlan, StagePlan
from smdown.planning.run import make_plan, make_plans, preflight

__all__ = ["RunPlan", "StagePlan", "make_plan", "make_plans", "preflight"]
