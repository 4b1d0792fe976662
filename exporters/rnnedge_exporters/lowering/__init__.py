"""From a streaming program to an ONNX graph with explicit recurrent operators."""

from rnnedge_exporters.lowering.lower import lower, quiet

__all__ = ["lower", "quiet"]
