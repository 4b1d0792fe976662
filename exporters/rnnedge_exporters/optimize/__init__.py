"""ONNX to ONNX, one pass per file."""

from rnnedge_exporters.optimize.linear_attention import use_linear_attention
from rnnedge_exporters.optimize.names import name_graph
from rnnedge_exporters.optimize.one_frame import unroll_scans
from rnnedge_exporters.optimize.simplify import simplify
from rnnedge_exporters.optimize.strip import strip_notes
from rnnedge_exporters.optimize.transposes import join_transposes

__all__ = [
    "join_transposes",
    "name_graph",
    "simplify",
    "strip_notes",
    "unroll_scans",
    "use_linear_attention",
]
