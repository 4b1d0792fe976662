"""What is done with a module before it is traced: its precision, its state, its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from rnnedge_exporters.capture.call import Call
from rnnedge_exporters.capture.cells import (
    over_time,
    repeated,
    sees_one_frame,
    states_of_cell,
)
from rnnedge_exporters.capture.held import explicit
from rnnedge_exporters.capture.precision import in_float32
from rnnedge_exporters.capture.states import bind
from rnnedge_exporters.specs import TensorSpec
from rnnedge_runtime.contract import Mode


def prepare(
    module: nn.Module,
    inputs: Mapping[str, TensorSpec],
    hints: Sequence[str] = (),
    mode: Mode = "stream",
) -> tuple[nn.Module, Call]:
    """The module in float32, without state that hides in it, and how its forward is called.

    Args:
        module: not changed; copied where it has to be.
        inputs: the data arguments of forward.
        hints: what the user says of states.
        mode: in a stream, a module that sees one frame runs over a sequence.

    Raises:
        SpecError: an input is no argument of forward, or an argument is neither input nor state.
        CaptureError: forward raises, or holds something that cannot be a state.
    """
    module, inputs = in_float32(module, inputs)
    module = explicit(module, inputs)
    is_cell = mode == "stream" and sees_one_frame(inputs)
    if is_cell and (states := states_of_cell(module, inputs, hints)):
        module, inputs = repeated(module, inputs, states), over_time(inputs)
    return module, bind(module, inputs, hints)
