"""From an ``nn.Module`` to one graph in which recurrent layers are single operators."""

from rnnedge_exporters.capture.attributes import copied
from rnnedge_exporters.capture.call import Call, StateArgument
from rnnedge_exporters.capture.precision import in_float32, other_precision
from rnnedge_exporters.capture.program import Program, capture
from rnnedge_exporters.capture.states import bind

__all__ = [
    "Call",
    "Program",
    "StateArgument",
    "bind",
    "capture",
    "copied",
    "in_float32",
    "other_precision",
]
