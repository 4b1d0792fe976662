"""ONNX to ONNX, one pass per file."""

from rnnedge_exporters.optimize.directions import join_directions
from rnnedge_exporters.optimize.names import name_graph
from rnnedge_exporters.optimize.simplify import simplify
from rnnedge_exporters.optimize.strip import strip_notes

__all__ = ["join_directions", "name_graph", "simplify", "strip_notes"]
