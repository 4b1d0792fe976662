"""From a streaming program to an ONNX graph with explicit recurrent operators."""

from rnnedge_exporters.lowering.lower import lower, quiet
from rnnedge_exporters.lowering.origins import Origin, read_origins

__all__ = ["Origin", "lower", "quiet", "read_origins"]
