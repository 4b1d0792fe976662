"""Pass: what reads a window of time keeps the window's past.

Convolutions, pooling, unfolding and strided slices. With a window that spans K frames beyond its
first, a stride s and p frames of padding before it, frame i of the result reads frames
``s*i - p ... s*i - p + K`` of the argument.

Rules:
    1. The delay is the smallest one at which the window's last frame is there in time:
       ``ceil((K - p + delay - s + 1) / s)``. Padding the past by K makes a causal window.
    2. The frames that a chunk does not hold come from a state named ``context``, as many as the
       window reaches back and no more. At the start it holds the padding, or what the
       whole-sequence program computes from padding alone.
    3. Padding that would be read beside frames that are no part of the signal is put in their
       place: before the signal when the argument has a delay, after it when the padding on the
       right is read at all.
    4. Taps of a convolution that are zero at an end of the window, in all channels, are not read.
    5. Where the argument mirrors or repeats the signal's frames at its ends, the window waits for
       the frames that are mirrored; see `edges.py`.
    6. Not over time, or one frame wide: it stays as it is (`frames.py`).
    7. Windows whose number is rounded up (``ceil_mode``), or whose mean leaves padding out, are
       refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import GraphModule, Node

from rnnedge_exporters.capture.arguments import (
    arguments_of,
    operator_name,
    source_of,
    spatial_rank,
    spread,
)
from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.clock import Clock, Flow
from rnnedge_exporters.streaming.constants import evaluate, is_constant
from rnnedge_exporters.streaming.edges import furthest_ahead, furthest_back, mirrored
from rnnedge_exporters.streaming.length import Length, least_difference
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.writer import Writer, aten

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})
POOLS = frozenset({"max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d"})
_SPATIAL = CONVOLUTIONS | POOLS | {"avg_pool3d"}


@dataclass(frozen=True)
class Shape:
    """A window over time.

    Attributes:
        span: frames beyond the first one, K.
        stride: frames from one window to the next.
        left, right: frames of padding.
        fill: what the padding holds.
        lead: frames at the window's beginning that are not read.
        trail: frames at its end that are not read.
    """

    span: int
    stride: int = 1
    left: int = 0
    right: int = 0
    fill: float = 0.0
    lead: int = 0
    trail: int = 0

    @property
    def read(self) -> int:
        """Frames that are read beyond the first that is."""
        return self.span - self.lead - self.trail


@dataclass(frozen=True)
class Window:
    """How an operator with a window over time runs in a stream; a `Plan`.

    Attributes:
        shape: of the window.
        past: frames before the chunk that it reads; below 0, that it does not read of the chunk.
        unread: frames at the chunk's end that it does not read yet.
        inputs: the argument's clock.
    """

    shape: Shape
    past: int
    unread: int
    inputs: Clock

    @property
    def kept(self) -> int:
        """Frames before the chunk that are kept."""
        # Mirrored frames may lie further back than the window reaches.
        more = max(0, furthest_back(self.inputs.edges) - self.shape.read)
        return max(self.past + more, 0)

    def left_over(self, result: Length, spare: int) -> int:
        """How many frames at the end of the argument are not read.

        Below 0, so many frames of padding are read there.

        Args:
            result: the length of the result.
            spare: how many frames at its end are not read.
        """
        shape = self.shape
        rest = least_difference(self.inputs.length, result, shape.stride) + shape.stride * spare
        return rest + shape.stride - 1 - shape.span + shape.trail + shape.left

    def __str__(self) -> str:
        past = self.kept
        return f"context of {past}" if past else "no context"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        source, shape = source_of(node), self.shape
        axis = writer.unfolded_axis(node, self.inputs)
        chunk = writer.inside(
            node,
            source,
            shape.fill,
            left=shape.left > 0 and self.inputs.delay > 0,
            right=shape.right > 0
            and self.left_over(writer.clocks[node].length, writer.spare[node]) < 0,
        )
        kept = self.kept
        extended = writer.extended(node, source, kept, fill=shape.fill, chunk=chunk)
        extended = mirrored(node, source, extended, kept, writer)
        first = kept - self.past
        extended = writer.slice(node, extended, axis, first, -self.unread if self.unread else None)
        return _write_operator(node, writer, extended, shape, axis)


def window_over_time(node: Node, graph_module: GraphModule, place: Place) -> Shape | None:
    """The window of `node` over the axis of time; None when it has none."""
    name = operator_name(node)
    ndim = source_of(node).meta["val"].ndim
    given = arguments_of(node)
    if name == "unfold":
        if int(given["dimension"]) % ndim != place.axis:
            return None
        return Shape(int(given["size"]) - 1, int(given["step"]))
    if name not in _SPATIAL:
        return None
    rank = spatial_rank(node)
    spatial = place.axis - (ndim - rank)
    if spatial < 0:
        return None
    shape = _spatial_shape(node, given, rank, spatial)
    if shape == Shape(0):
        return None
    _refuse_odd_pools(node, given)
    if name in CONVOLUTIONS:
        lead, trail = _zero_taps(graph_module, given["weight"], spatial)
        dilation = spread(given["dilation"], rank)[spatial]
        shape = replace(shape, lead=lead * dilation, trail=trail * dilation)
    return shape


def clock_window(node: Node, shape: Shape, inputs: Clock, length: Length) -> Timed:
    """Rules 1, 2 and 5.

    Args:
        node: gives the result.
        shape: of its window.
        inputs: the clock of its first argument.
        length: of the result, as the tracer has it.
    """
    if inputs.flow is not Flow.FRAMES or inputs.place is None:
        raise refuse(node, "it reads a window of what has no frames", SEQUENCE_MODE)
    stride, edges = shape.stride, inputs.edges
    delay = inputs.delay - shape.left + shape.lead
    reach = max(shape.read, furthest_ahead(edges, shape.lead))
    if edges is not None and (shape.left or shape.right):
        raise refuse(node, "it pads what is padded with the signal's own frames", SEQUENCE_MODE)
    later = -((stride - 1 - reach - delay) // stride)  # rounded up
    past = stride * later - delay
    clock = Clock(Flow.FRAMES, inputs.place, inputs.rate / stride, later, length)
    return Timed(clock, Window(shape, past, past - shape.read + stride - 1, inputs))


def _spatial_shape(node: Node, given: dict[str, Any], rank: int, spatial: int) -> Shape:
    weight = given.get("weight")
    is_convolution = isinstance(weight, Node)
    if isinstance(weight, Node):
        width = list(weight.meta["val"].shape[2:])
    else:
        width = spread(given["kernel_size"], rank)
    dilation = spread(given.get("dilation", 1), rank)[spatial]
    stride = spread(given.get("stride") or width, rank)[spatial]
    span = int((width[spatial] - 1) * dilation)
    padding = given.get("padding", 0)
    if padding == "same":
        return Shape(span, int(stride), span // 2, span - span // 2)
    sides = 0 if padding == "valid" else int(spread(padding, rank)[spatial])
    is_max = not is_convolution and operator_name(node).startswith("max")
    return Shape(span, int(stride), sides, sides, -float("inf") if is_max else 0.0)


def _refuse_odd_pools(node: Node, given: dict[str, Any]) -> None:
    """Rule 7."""
    if given.get("ceil_mode"):
        raise refuse(node, "the number of its windows is rounded up", "set ceil_mode=False")
    if given.get("count_include_pad") is False and any(spread(given["padding"], 1)):
        raise refuse(
            node,
            "its mean leaves the padding out, so that it differs at the ends",
            "set count_include_pad=True, or pad before it",
        )


def _zero_taps(graph_module: GraphModule, weight: Node, spatial: int) -> tuple[int, int]:
    """Rule 4: how many taps at the two ends of a kernel are zero."""
    if not is_constant(weight):
        return 0, 0
    taps = evaluate(graph_module, weight).movedim(2 + spatial, 0).flatten(1).abs().amax(1)
    read = torch.nonzero(taps).flatten()
    if not len(read):
        return 0, 0
    return int(read[0]), len(taps) - 1 - int(read[-1])


def _write_operator(node: Node, writer: Writer, extended: Node, shape: Shape, axis: int) -> Node:
    name, given = operator_name(node), arguments_of(node)
    if name == "unfold":
        return _write_unfold(node, writer, extended, axis)
    rank = spatial_rank(node)
    spatial = axis - (extended_ndim(node) - rank)
    changed: dict[str, Any] = {"input" if name in CONVOLUTIONS else "self": extended}
    changed["padding"] = _padding_elsewhere(node, given, rank, spatial)
    if shape.lead or shape.trail:
        dilation = spread(given["dilation"], rank)[spatial]
        first, last = shape.lead // dilation, -(shape.trail // dilation) or None
        weight = writer.value(given["weight"])
        changed["weight"] = writer.slice(node, weight, 2 + spatial, first, last)
    overload = None
    if isinstance(given.get("padding"), str):
        overload = getattr(aten, name).default  # this one takes numbers
    return writer.replace_args(node, changed, overload)


def extended_ndim(node: Node) -> int:
    """How many axes the argument of `node` has."""
    return int(source_of(node).meta["val"].ndim)


def _padding_elsewhere(node: Node, given: dict[str, Any], rank: int, spatial: int) -> list[int]:
    """The padding of the other axes, as numbers."""
    padding = given.get("padding", 0)
    if padding == "valid":
        return [0] * rank
    if padding == "same":
        weight = given["weight"].meta["val"]
        dilation = spread(given["dilation"], rank)
        spans = [(weight.shape[2 + i] - 1) * dilation[i] for i in range(rank)]
        if any(span % 2 for i, span in enumerate(spans) if i != spatial):
            raise refuse(
                node,
                "padding='same' pads its other axis by one more on one side",
                "pad that axis with F.pad, and set padding as numbers",
            )
        numbers = [span // 2 for span in spans]
    else:
        numbers = [int(value) for value in spread(padding, rank)]
    return [0 if i == spatial else number for i, number in enumerate(numbers)]


def _write_unfold(node: Node, writer: Writer, extended: Node, axis: int) -> Node:
    """[.., frames, ..] -> [.., windows, .., size]."""
    given = arguments_of(node)
    size, step = int(given["size"]), int(given["step"])
    ndim = extended_ndim(node)
    if size != step:
        count = writer.frames(writer.clocks[node].rate)
        firsts = writer.call(node, aten.arange.default, count)
        firsts = writer.call(node, aten.mul.Tensor, firsts, step)
        firsts = writer.call(node, aten.unsqueeze.default, firsts, 1)
        places = writer.call(node, aten.arange.default, size)
        places = writer.call(node, aten.add.Tensor, firsts, places)
        places = writer.call(node, aten.flatten.using_ints, places, 0, 1)
        extended = writer.call(node, aten.index_select.default, extended, axis, places)
    split = writer.call(node, aten.unflatten.int, extended, axis, [-1, size])
    order = [i for i in range(ndim + 1) if i != axis + 1]
    return writer.call(node, aten.permute.default, split, [*order, axis + 1])
