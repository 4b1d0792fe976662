"""How fast a streaming model is on this machine, and beside whom. Needs no torch."""

from rnnedge.benchmark.bench import bench
from rnnedge.benchmark.errors import BenchError
from rnnedge.benchmark.options import BenchOptions
from rnnedge.benchmark.peers.torch_module import Against
from rnnedge.benchmark.result import BenchReport

__all__ = ["Against", "BenchError", "BenchOptions", "BenchReport", "bench"]
