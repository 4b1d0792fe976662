"""ONNX to ONNX, one pass per file."""

from rnnedge_exporters.optimize.causal_convolutions import use_causal_convolutions
from rnnedge_exporters.optimize.group_recurrent import group_recurrent
from rnnedge_exporters.optimize.linear_attention import use_linear_attention
from rnnedge_exporters.optimize.names import name_graph
from rnnedge_exporters.optimize.one_frame import unroll_scans
from rnnedge_exporters.optimize.pack_contexts import Part, pack_contexts
from rnnedge_exporters.optimize.simplify import simplify
from rnnedge_exporters.optimize.sizes import fix_sizes
from rnnedge_exporters.optimize.skip_norms import use_skip_norms
from rnnedge_exporters.optimize.strip import strip_notes
from rnnedge_exporters.optimize.transposes import join_transposes
from rnnedge_exporters.optimize.unit_axes import drop_unit_axes

__all__ = [
    "Part",
    "drop_unit_axes",
    "fix_sizes",
    "group_recurrent",
    "join_transposes",
    "name_graph",
    "pack_contexts",
    "simplify",
    "strip_notes",
    "unroll_scans",
    "use_causal_convolutions",
    "use_linear_attention",
    "use_skip_norms",
]
