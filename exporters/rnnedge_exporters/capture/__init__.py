"""From an ``nn.Module`` to one graph in which recurrent layers are single operators."""

from rnnedge_exporters.capture.attributes import copied
from rnnedge_exporters.capture.call import Call, StateArgument
from rnnedge_exporters.capture.graph import Program
from rnnedge_exporters.capture.precision import other_precision
from rnnedge_exporters.capture.prepare import prepare
from rnnedge_exporters.capture.program import capture
from rnnedge_exporters.capture.states import bind

__all__ = [
    "Call",
    "Program",
    "StateArgument",
    "bind",
    "capture",
    "copied",
    "other_precision",
    "prepare",
]
