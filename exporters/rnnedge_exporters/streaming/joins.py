"""Pass: operators that work frame by frame, where their arguments come at different times.

Rules:
    1. Branches meet at the time of the latest: the others wait in a delay line, a state named
       ``delay`` that holds as many frames as they are early. What is the same in all frames does
       not wait.
    2. Branches at different rates do not meet.
    3. A view that divides frames into groups waits until the group is whole.
    4. A size that counts frames, or is left open, counts those of the chunk.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch.fx import Node

from rnnedge_exporters.capture.arguments import CREATION, arguments_of, operator_name
from rnnedge_exporters.streaming.axes import VIEWS, Place, shape_of
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.writer import Writer, aten

_SIZES = ("size", "sizes", "repeats")


@dataclass(frozen=True)
class Join:
    """An operator as it is, its arguments brought to one time; a `Plan`.

    Attributes:
        delays: how many frames each argument waits.
    """

    delays: Mapping[Node, int]

    def __str__(self) -> str:
        longest = max(self.delays.values(), default=0)
        return f"delay line of {longest}" if longest else ""

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        replaced = {
            source: writer.delayed(node, source, by) for source, by in self.delays.items() if by
        }
        copied = writer.copy(node, replaced)
        with writer.graph.inserting_before(copied):
            resize(node, copied, writer)
        return copied


@dataclass(frozen=True)
class Blank:
    """``zeros_like(x[:, :1])``: of the shape of frames that the stream does not have; a `Plan`."""

    def __str__(self) -> str:
        return "a constant"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        name = operator_name(node)
        fill = 1.0 if "ones" in name else 0.0
        if "full" in name:
            fill = arguments_of(node)["fill_value"]
        sizes = [writer.size(node, size) for size in shape_of(node)]
        dtype = node.meta["val"].dtype
        return writer.call(node, aten.full.default, sizes, fill, dtype=dtype)


def clock_join(node: Node, result: Clock, arguments: Mapping[Node, Clock]) -> Timed:
    """Rules 1 to 3.

    Args:
        node: works frame by frame.
        result: its clock as its first argument alone would give it; its rate and length hold.
        arguments: the clocks of those that have frames.
    """
    if not arguments:
        return Timed(result, Join({}))
    rates = {clock.rate for clock in arguments.values()}
    if len(rates) > 1:
        raise refuse(
            node,
            f"its arguments have different numbers of frames per input frame: "
            f"{', '.join(map(str, sorted(rates)))}",
            SEQUENCE_MODE,
        )
    edges = {clock.edges for clock in arguments.values()}
    waiting = {source: clock for source, clock in arguments.items() if not clock.even}
    latest = max((clock.delay for clock in (waiting or arguments).values()), default=0)
    step = result.rate / next(iter(rates))
    delay = -(-latest * step.numerator // step.denominator)  # rounded up
    meeting = delay * step.denominator // step.numerator
    delays = {source: meeting - clock.delay for source, clock in waiting.items()}
    if len(edges) > 1 or (edges != {None} and (any(delays.values()) or step != 1)):
        raise refuse(
            node,
            "it joins a signal that is padded with its own frames to one that is not",
            f"pad just before the layer that needs it; or {SEQUENCE_MODE}",
        )
    even = not waiting
    return Timed(replace(result, delay=delay, edges=edges.pop(), even=even), Join(delays))


def resize(node: Node, copied: Node, writer: Writer) -> None:
    """Rule 4, in place.

    Args:
        node: of the whole-sequence program.
        copied: what stands for it in the stream.
        writer: holds the streaming program.
    """
    clock = writer.clocks[node]
    if clock.place is None or not hasattr(node.target, "_schema"):
        return
    for index, argument in enumerate(node.target._schema.arguments):
        if argument.name not in _SIZES:
            continue
        sizes = copied.args[index] if index < len(copied.args) else copied.kwargs.get(argument.name)
        if not isinstance(sizes, (list, tuple)):
            continue
        offset = 0
        if operator_name(node) == "unflatten":
            dim = node.args[1]
            assert isinstance(dim, int)  # noqa: S101 - as the operator's schema says
            offset = dim % node.args[0].meta["val"].ndim  # type: ignore[union-attr]
        new = _sizes(node, list(sizes), clock, offset, writer)
        if index < len(copied.args):
            copied.update_arg(index, new)
        else:
            copied.update_kwarg(argument.name, new)


def _sizes(node: Node, sizes: list[Any], clock: Clock, offset: int, writer: Writer) -> list[Any]:
    assert clock.place is not None  # noqa: S101 - the caller looked
    place = clock.place.axis - offset
    if not 0 <= place < len(sizes):
        return sizes
    name = operator_name(node)
    if name in VIEWS:
        whole = shape_of(node)
        sizes = [
            writer.size(node, whole[offset + i]) if size == -1 and i != place else size
            for i, size in enumerate(sizes)
        ]
        sizes[place] = -1
    elif name in ("expand", "repeat") and _has_frames_there(node, clock.place, writer):
        sizes[place] = -1 if name == "expand" else sizes[place]
    else:
        sizes[place] = _count(node, clock, writer)
    return sizes


def _has_frames_there(node: Node, place: Place, writer: Writer) -> bool:
    """Whether the argument of ``expand`` has its frames on that axis already."""
    source = node.args[0]
    assert isinstance(source, Node)  # noqa: S101 - as the operator's schema says
    inner = writer.clocks[source].place
    if inner is None or operator_name(node) in CREATION:
        return False
    return bool(source.meta["val"].ndim - inner.axis == node.meta["val"].ndim - place.axis)


def _count(node: Node, clock: Clock, writer: Writer) -> Any:
    """Frames of the chunk, and whatever is folded with them."""
    assert clock.place is not None  # noqa: S101 - the caller looked
    count: Any = writer.frames(clock.rate)
    factor = clock.place.outer * clock.place.inner
    if factor != 1:
        count = writer.call(node, operator.mul, count, writer.size(node, factor))
    return count
