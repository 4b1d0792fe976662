"""Pass: transposed convolutions and repetition over time.

A transposed convolution with stride u writes frame i of its argument to frames ``u*i ... u*i + K``
of its result, where K is the kernel's span.

Rules:
    1. It gives u frames for each: those that no later frame of the argument adds to. The
       ``floor(K / u)`` frames before, which reach into them, come from a state named ``context``;
       before the signal they are zero.
    2. Frames that are no part of the signal add nothing: they are set to zero before the signal
       when the argument has a delay, and after it when the end of the result is read.
    3. Padding on the left of a transposed convolution cuts frames off, so it is a delay; what is
       cut off or added on the right changes the length only.
    4. Frames repeated u times each (``interpolate`` with mode nearest, ``repeat_interleave``):
       as in the whole sequence.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

from torch.fx import Node

from rnnedge_exporters.capture.arguments import (
    arguments_of,
    operator_name,
    source_of,
    spatial_rank,
    spread,
)
from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.writer import Writer

TRANSPOSED = frozenset({"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
REPEATING = frozenset({"upsample_nearest1d", "upsample_nearest2d", "repeat_interleave"})


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution over time; a `Plan`.

    Attributes:
        span: of the kernel, in frames of the result.
        stride: frames of the result per frame of the argument.
        cut: frames that the whole-sequence program cuts off at the start.
        tail: frames that it gives beyond `stride` per frame, nothing cut off.
        inputs: the argument's clock.
    """

    span: int
    stride: int
    cut: int
    tail: int
    inputs: Clock

    def __str__(self) -> str:
        past = self.span // self.stride
        from_each = f"{self.stride} for each"
        return f"{from_each}, context of {past}" if past else from_each

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        source, given = source_of(node), arguments_of(node)
        axis = writer.unfolded_axis(node, self.inputs)
        past = self.span // self.stride
        ends_read = self.tail - self.cut > writer.spare[node]
        chunk = writer.inside(
            node, source, 0.0, left=past > 0 and self.inputs.delay > 0, right=ends_read
        )
        extended = writer.extended(node, source, past, chunk=chunk)
        rank = spatial_rank(node)
        spatial = axis - (source.meta["val"].ndim - rank)
        # A kernel shorter than the stride leaves a gap after the last frame, which is to be there.
        gap = max(0, self.stride - self.span - 1)
        made = writer.replace_args(
            node,
            {
                "input": extended,
                "padding": _at(spread(given["padding"], rank), spatial, 0),
                "output_padding": _at(spread(given["output_padding"], rank), spatial, gap),
            },
        )
        first = past * self.stride
        count = writer.frames(writer.clocks[node].rate)
        if self.span + 1 <= self.stride:
            return made  # nothing overlaps
        end = writer.call(node, operator.add, count, first) if first else count
        return writer.slice(node, made, axis, first, end)


@dataclass(frozen=True)
class Repeated:
    """Each frame several times; a `Plan`. The size of the result, if it is given, is a chunk's."""

    factor: int

    def __str__(self) -> str:
        return f"each {self.factor} times"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        if operator_name(node) == "repeat_interleave":
            return writer.replace_args(node, {"output_size": None})
        return writer.copy(node)


def transposed_over_time(node: Node, place: Place) -> int | None:
    """The spatial axis that is time; None when time is not among them, or nothing is done to it."""
    if operator_name(node) not in TRANSPOSED:
        return None
    rank, ndim = spatial_rank(node), source_of(node).meta["val"].ndim
    spatial = place.axis - (ndim - rank)
    if spatial < 0:
        return None
    given = arguments_of(node)
    width = given["weight"].meta["val"].shape[2 + spatial]
    stride, padding = (spread(given[k], rank)[spatial] for k in ("stride", "padding"))
    return None if (width, stride, padding) == (1, 1, 0) else spatial


def clock_transposed(node: Node, spatial: int, inputs: Clock, length: Length) -> Timed:
    """Rules 1 and 3.

    Args:
        node: a transposed convolution.
        spatial: its spatial axis that is time.
        inputs: the clock of its argument.
        length: of the result, as the tracer has it.
    """
    if inputs.edges is not None:
        raise refuse(node, "it reads padding with the signal's own frames", SEQUENCE_MODE)
    given, rank = arguments_of(node), spatial_rank(node)
    width = int(given["weight"].meta["val"].shape[2 + spatial])
    stride, dilation, cut, more = (
        int(spread(given[key], rank)[spatial])
        for key in ("stride", "dilation", "padding", "output_padding")
    )
    span = (width - 1) * dilation
    delay = inputs.delay * stride + cut
    clock = replace(inputs, rate=inputs.rate * stride, delay=delay, length=length, even=False)
    tail = span + 1 - stride + more
    return Timed(clock, Transposed(span, stride, cut, tail, inputs))


def clock_repeated(node: Node, inputs: Clock, length: Length) -> Timed:
    """Rule 4.

    Args:
        node: gives each frame of its argument several times.
        inputs: the clock of its argument.
        length: of the result, as the tracer has it.
    """
    factor = length.rate / inputs.length.rate
    if factor.denominator != 1 or inputs.edges is not None:
        raise refuse(
            node,
            f"it gives {factor} frames for each",
            f"use a whole factor; or {SEQUENCE_MODE}",
        )
    factor_ = int(factor)
    clock = replace(inputs, rate=inputs.rate * factor_, delay=inputs.delay * factor_, length=length)
    return Timed(clock, Repeated(factor_))


def _at(values: list[Any], index: int, value: int) -> list[Any]:
    return [value if i == index else old for i, old in enumerate(values)]
