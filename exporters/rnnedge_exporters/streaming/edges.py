"""Frames beyond the ends of the signal that repeat or mirror the signal's own.

``F.pad(x, (p, q), mode="replicate")`` or ``"reflect"`` needs frames of the signal that come later
(at the start) or came before (at the end). In a stream the padding is not written. The tensor is
handed on as it is, its clock says what stands at its ends (`Edges`), and a window that reads it
fetches each frame beyond an end from where it is in the window's own context.

Rules:
    1. A window waits until the frames that are mirrored at the start are there.
    2. The context reaches back to the frames that are mirrored at the end.
"""

from __future__ import annotations

import operator

from torch.fx import Node

from rnnedge_exporters.streaming.clock import Edges
from rnnedge_exporters.streaming.writer import Writer, aten


def furthest_back(edges: Edges | None) -> int:
    """How far before the last padded frame the frame lies that stands there."""
    if edges is None:
        return 0
    return edges.right * (2 if edges.mode == "reflect" else 1)


def furthest_ahead(edges: Edges | None, first: int) -> int:
    """How far after frame `first` of the padded tensor the frame lies that stands there."""
    if edges is None or edges.left <= first:
        return 0
    return (edges.left - first) * (2 if edges.mode == "reflect" else 1)


def mirrored(node: Node, source: Node, extended: Node, past: int, writer: Writer) -> Node:
    """The chunk with its past, frames beyond the ends fetched from inside.

    Args:
        node: the operator that reads the window.
        source: its argument.
        extended: the chunk of `source` and `past` frames before it.
        past: enough for `furthest_back`.
        writer: holds the streaming program.
    """
    clock = writer.clocks[source]
    edges = clock.edges
    if edges is None or not (edges.left or edges.right):
        return extended
    axis = writer.unfolded_axis(node, clock)
    index = writer.index(node, source, past)  # of the padded tensor
    first = edges.left
    end = writer.last_index(node, source, clock.length)
    last = writer.call(node, aten.sub.Tensor, end, edges.right + 1)
    inner = writer.call(node, aten.clamp.default, index, first)
    inner = writer.call(node, aten.minimum.default, inner, last)
    target = inner
    if edges.mode == "reflect":
        # The frame as far inside of the end as the wanted one is outside.
        doubled = writer.call(node, aten.mul.Tensor, inner, 2)
        target = writer.call(node, aten.sub.Tensor, doubled, index)
    offset = writer.call(node, aten.sub.Tensor, target, index)
    count = writer.frames(clock.rate)
    total = writer.call(node, operator.add, count, past)
    here = writer.call(node, aten.arange.default, total)
    there = writer.call(node, aten.add.Tensor, offset, here)
    # What lies outside even so belongs to no frame of the signal.
    there = writer.call(node, aten.clamp.default, there, 0)
    highest = writer.call(node, operator.sub, total, 1)
    there = writer.call(node, aten.clamp.default, there, None, highest)
    spread = writer.spread(node, there, source, axis)
    if writer.rows[source] is None:
        flat = writer.call(node, aten.reshape.default, spread, [-1])
        return writer.call(node, aten.index_select.default, extended, axis, flat)
    full = writer.call(node, aten.expand_as.default, spread, extended)
    return writer.call(node, aten.gather.default, extended, axis, full)
