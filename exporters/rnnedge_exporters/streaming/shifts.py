"""Pass: slices of time.

Rules:
    1. Frames cut off at the start (``x[:, 3:]``): nothing is written; the result has more delay.
    2. Frames cut off at the end (``x[:, :-3]``, ``y[..., :x.shape[-1]]``), or none: nothing is
       written; the result ends earlier, and waits for its end (`clocks.py`). How many are cut off
       may not grow with the signal.
    3. Every so-manieth frame (``x[:, ::2]``): a window of one frame with a stride.
    4. Frames counted from the start (``x[:, :3]``, ``x[:, 0]``) have no place in a stream: their
       values may not be used.
    5. The last frame (``x[:, -1]``) is *latest*; see `clocks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sympy
from torch import SymInt
from torch.fx import Node

from rnnedge_exporters.capture.arguments import arguments_of, source_of
from rnnedge_exporters.streaming.axes import size
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.padding import cut_edges
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.windows import Shape, Window, clock_window
from rnnedge_exporters.streaming.writer import Writer


@dataclass(frozen=True)
class Cut:
    """The argument itself; a `Plan`.

    Attributes:
        first: so many frames are cut off at the start.
    """

    first: int

    def __str__(self) -> str:
        return "frames cut off"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        return writer.value(source_of(node))


@dataclass(frozen=True)
class Strided:
    """Every so-manieth frame; a `Plan`."""

    window: Window

    def __str__(self) -> str:
        every = f"every {self.window.shape.stride} frames"
        past = self.window.past
        return f"one of {every}, context of {past}" if past > 0 else f"one of {every}"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        source, window = source_of(node), self.window
        axis = writer.unfolded_axis(node, window.inputs)
        extended = writer.extended(node, source, window.past)
        first = max(-window.past, 0)
        return writer.slice(node, extended, axis, first, None, window.shape.stride)


def clock_slice(node: Node, inputs: Clock, length: Length, frames: sympy.Expr) -> Timed:
    """Rules 1 to 3.

    Args:
        node: a ``slice`` along time that has frames.
        inputs: the clock of its argument.
        length: of the result, as the tracer has it.
        frames: of the argument, as the tracer has it.
    """
    given = arguments_of(node)
    first = _first(node, given.get("start"), frames)
    step = int(given.get("step", 1))
    if length.rate * step != inputs.length.rate:
        raise refuse(
            node,
            f"it keeps {length} frames of {inputs.length}: a part of the signal that grows with it",
            f"keep all frames but a number of them; or {SEQUENCE_MODE}",
        )
    if step > 1:
        if inputs.edges is not None:
            raise refuse(node, "it leaves out frames of what is padded", SEQUENCE_MODE)
        clock, plan = clock_window(
            node, Shape(0, step), replace(inputs, delay=inputs.delay + first), length
        )
        assert isinstance(plan, Window)  # noqa: S101 - of the same pass
        past = step * clock.delay - inputs.delay - first
        return Timed(clock, Strided(replace(plan, inputs=inputs, past=past)))
    cut = _cut_at_end(inputs.length, first, length) if inputs.edges is not None else 0
    edges = cut_edges(node, inputs, first, cut)
    clock = replace(inputs, delay=inputs.delay + first, length=length, edges=edges)
    return Timed(clock, Cut(first))


def _first(node: Node, start: Any, frames: sympy.Expr) -> int:
    """The first frame that is kept, counted from the start."""
    if start is None:
        return 0
    value = start.meta["val"] if isinstance(start, Node) else start
    first = size(value) if isinstance(value, SymInt) else sympy.Integer(value)
    if first.is_negative:
        first = sympy.expand(frames + first)
    if not first.is_Integer:
        raise refuse(
            node,
            "it keeps frames counted from the end of the signal, which a stream does not know",
            SEQUENCE_MODE,
        )
    return int(first)


def _cut_at_end(before: Length, first: int, after: Length) -> int:
    frames = 10_000
    return before(frames) - first - after(frames)
