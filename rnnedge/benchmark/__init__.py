"""How fast a streaming model is on this machine, and beside whom. Needs no torch."""

from rnnedge.benchmark.bench import bench
from rnnedge.benchmark.errors import BenchError
from rnnedge.benchmark.options import BenchOptions
from rnnedge.benchmark.result import BenchReport

__all__ = ["BenchError", "BenchOptions", "BenchReport", "bench"]
