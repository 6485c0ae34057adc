"""A synthetic region with known 30 m truth, written as the real input files that a user would have."""

from smdown.twin.make import make_twin
from smdown.twin.summary import TwinSummary, load_summary

__all__ = ["TwinSummary", "load_summary", "make_twin"]
