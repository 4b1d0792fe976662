"""Pass: positions counted along time.

Rules:
    1. ``arange`` over the number of frames goes on counting from a state: the number of frames run
       so far. One count serves all rows, as ``arange`` has none; so they start together.
    2. It may start at any number and go by any step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.fx import Node

from rnnedge_exporters.capture.arguments import arguments_of
from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.clock import Clock, Flow
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.writer import Writer, aten


@dataclass(frozen=True)
class Count:
    """``start + step * frame``; a `Plan`."""

    start: Any
    step: Any

    def __str__(self) -> str:
        return "counts frames from the start"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        index = writer.call(node, aten.squeeze.dim, writer.index(node, node), 0)
        value = index
        if self.step != 1:
            value = writer.call(node, aten.mul.Tensor, value, self.step)
        if self.start != 0:
            value = writer.call(node, aten.add.Tensor, value, self.start)
        dtype = node.meta["val"].dtype
        return writer.call(node, aten._to_copy.default, value, dtype=dtype)


def clock_positions(node: Node, length: Length) -> Timed:
    """Rules 1 and 2.

    Args:
        node: an ``arange`` whose size depends on time.
        length: of the result, as the tracer has it.
    """
    given = arguments_of(node)
    start, step = given.get("start", 0), given.get("step", 1)
    if isinstance(start, Node) or isinstance(step, Node):
        raise refuse(
            node,
            "it counts from the end of the signal, or by its length",
            f"count from a number, by a number; or {SEQUENCE_MODE}",
        )
    return Timed(Clock(Flow.FRAMES, Place(0), length.rate, 0, length), Count(start, step))
