"""Pass: sums and extremes from the start of the signal to the present frame.

Rules:
    1. ``cumsum``, ``cumprod``, ``cummax`` and ``cummin`` along time go on from a state named
       ``total``, which holds the last frame of the result.
    2. Frames before the signal count for nothing: they are set to the neutral element when the
       argument has a delay.
    3. It starts from the neutral element, or from what is accumulated over padding.
    4. Where the extreme was found (the indices of ``cummax``) counts from the start of the signal,
       and is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.nn import Module

from rnnedge_exporters.capture.arguments import axis_of, operator_name, source_of
from rnnedge_exporters.streaming.clock import Clock, Edges
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.writer import Writer, aten

_INFINITY = float("inf")
_JOIN: Mapping[str, tuple[Any, float]] = {
    "cumsum": (aten.add.Tensor, 0.0),
    "cumprod": (aten.mul.Tensor, 1.0),
    "cummax": (aten.maximum.default, -_INFINITY),
    "cummin": (aten.minimum.default, _INFINITY),
}
ACCUMULATING = frozenset(_JOIN)


@dataclass(frozen=True)
class Accumulate:
    """Goes on from the last chunk's result; a `Plan`."""

    inputs: Clock

    def __str__(self) -> str:
        return "goes on from a running total"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        source, axis = source_of(node), writer.unfolded_axis(node, self.inputs)
        join, neutral = _JOIN[operator_name(node)]
        example = node.meta["val"]
        is_extreme = isinstance(example, (tuple, list))
        value = example[0] if is_extreme else example
        if is_extreme and not value.is_floating_point():
            raise refuse(node, f"it compares {value.dtype}", "convert to float before it")
        chunk = writer.inside(node, source, neutral, left=self.inputs.delay > 0, right=False)
        initial = writer.history.before_start(
            node, _values(node) if is_extreme else node, 1, neutral
        )
        like = value.new_empty([*value.shape[:axis], 1, *value.shape[axis + 1 :]])
        start = writer.state(node, "total", "buffer", like, initial, writer.rows[source])
        if is_extreme:
            total = _scanned(node, chunk, start, axis, join, writer)
        else:
            made = writer.replace_args(node, {"self": chunk})
            total = writer.call(node, join, made, start)
        writer.end_state(start, writer.slice(node, total, axis, -1, None))
        return total


def _scanned(node: Node, chunk: Node, start: Node, axis: int, join: Any, writer: Writer) -> Node:
    """Joins frame after frame to `start`: an ONNX ``Scan``, as ONNX has no ``cummax``."""
    body = Graph()
    carry, frame = body.placeholder("carry"), body.placeholder("frame")
    joined = body.call_function(join, (carry, frame))
    body.output((joined, body.call_function(aten.clone.default, (joined,))))
    step = writer.held(node, GraphModule(Module(), body))
    first = writer.call(node, aten.squeeze.dim, start, axis)
    frames = writer.call(node, aten.movedim.int, chunk, axis, 0)
    scan = writer.call(node, torch.ops.higher_order.scan, step, [first], [frames], ())
    results = writer.call(node, operator.getitem, scan, 1)
    return writer.call(node, aten.movedim.int, results, 0, axis)


@dataclass(frozen=True)
class First:
    """The values of a pair of values and indices; a `Plan`."""

    def __str__(self) -> str:
        return ""

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        return writer.value(source_of(node))


def clock_accumulation(node: Node, inputs: Clock) -> Timed | None:
    """Rules 1 to 4; None when it runs along another axis.

    Args:
        node: accumulates along some axis.
        inputs: the clock of its argument.
    """
    assert inputs.place is not None  # noqa: S101 - it has frames
    if axis_of(node) != inputs.place.axis:
        return None
    if isinstance(inputs.edges, Edges):
        raise refuse(node, "it reads padding with the signal's own frames", SEQUENCE_MODE)
    for user in node.users:
        if user.target is operator.getitem and user.args[1] == 1 and user.users:
            raise refuse(
                node,
                "where it found the extreme is counted from the start of the signal",
                f"use the values only; or {SEQUENCE_MODE}",
            )
    return Timed(replace(inputs, even=False), Accumulate(inputs))


def _values(node: Node) -> Node:
    """The node that takes the values out of the pair."""
    return next(u for u in node.users if u.target is operator.getitem and u.args[1] == 0)
