"""What a place can do: the throughput of every stage on generated data, how it scales, and what bounds it."""

from smdown.bench.measure import Bench, Row
from smdown.bench.region import Size, make_project
from smdown.bench.run import run_bench

__all__ = ["Bench", "Row", "Size", "make_project", "run_bench"]
