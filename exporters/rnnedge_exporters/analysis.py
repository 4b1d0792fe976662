"""The clocks of a module, whether it can stream or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from rnnedge_exporters.capture import capture, prepare
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.specs import parse_inputs
from rnnedge_exporters.streaming import to_stream
from rnnedge_exporters.streaming.clocks import Clocks
from rnnedge_exporters.streaming.dump import Row, rows_of


@dataclass(frozen=True)
class Analysis:
    """What is known of how a module's tensors run with time.

    Attributes:
        rows: of all tensors with time; up to the one that is refused.
        refusal: why the module cannot stream; None when it can.
    """

    rows: tuple[Row, ...]
    refusal: StreamingError | None


def analyse(
    module: nn.Module, inputs: Mapping[str, str] | Sequence[str], *, states: Sequence[str] = ()
) -> Analysis:
    """Captures a module and gives each of its tensors a clock.

    Args:
        module: not changed.
        inputs: as `convert` takes them.
        states: as `convert` takes them.

    Raises:
        SpecError, CaptureError: there is no graph to analyse.
        StreamingError: no input has time.
    """
    program = capture(*prepare(module, parse_inputs(inputs), states))
    program.graph_module.graph.eliminate_dead_code()
    found, refusal = Clocks.as_far_as_known(program)
    rows = rows_of(program, found)
    if refusal is None:
        try:
            to_stream(program)
        except StreamingError as error:
            refusal = error
    return Analysis(rows, refusal)
