"""Pass: padding of time.

Rules:
    1. Constant padding of the past is not written: it is the initial content of what reads the
       result. Of the future neither, unless it is read.
    2. Where frames that are no part of the signal would be read in the padding's place (before the
       signal when the argument has a delay, after it when the padding on the right is read), they
       are set to its value.
    3. Padding that repeats or mirrors the signal's frames: see `edges.py`.
    4. Negative padding cuts frames off, as a slice does.
    5. Joining constant frames before or after a signal (``cat``) is padding with them.
    6. Padding that wraps around is refused.
    7. Padding and joining along other axes leave time alone, wherever it is folded; along an axis
       that holds more than time they are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.capture.arguments import arguments_of, source_of
from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.clock import Clock, Edges, Flow
from rnnedge_exporters.streaming.constants import blank_inputs, depends_on_values, evaluate
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.writer import Writer

PADS = frozenset({"pad", "constant_pad_nd"})


@dataclass(frozen=True)
class Pad:
    """A padded tensor in a stream: the tensor, set to `fill` outside of the signal; a `Plan`.

    Attributes:
        source: what is padded.
        left, right: frames of padding; below 0, frames cut off.
        fill: what the padding holds; None when that is not one number.
        elsewhere: the padding of other axes, in the order of ``F.pad``.
    """

    source: Node
    left: int
    right: int
    fill: float | None
    elsewhere: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"padded by {self.left} before and {self.right} after"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        clock = writer.clocks[self.source]
        left = self.left > 0 and clock.delay > 0
        right = self.right > writer.spare[node]
        if (left or right) and self.fill is None:
            raise refuse(
                node,
                "frames that differ from each other are joined to a signal that comes late",
                f"join frames of one value, or join them to the input; or {SEQUENCE_MODE}",
            )
        value = writer.inside(node, self.source, self.fill or 0.0, left=left, right=right)
        if any(self.elsewhere):
            value = writer.replace_args(node, {"self": value, "pad": list(self.elsewhere)})
        return value


def pads_time(node: Node, place: Place) -> bool:
    """Rule 7: whether a ``pad`` is along the axis of its argument's frames."""
    pad = list(arguments_of(node)["pad"])
    index = 2 * (source_of(node).meta["val"].ndim - 1 - place.axis)
    along = index < len(pad) and pad[index : index + 2] != [0, 0]
    return along and _holds_time_alone(node, place)


def joins_time(node: Node, place: Place) -> bool:
    """Rule 7: whether a ``cat`` is along the axis of its first signal's frames."""
    along = axis_of_cat(node) == place.axis and len(node.all_input_nodes) > 1
    return along and _holds_time_alone(node, place)


def _holds_time_alone(node: Node, place: Place) -> bool:
    if place.is_folded:
        raise refuse(
            node,
            "it adds frames along an axis in which time is folded with something else",
            f"add them before time is folded; or {SEQUENCE_MODE}",
        )
    return True


def clock_pad(node: Node, inputs: Clock, length: Length) -> Timed:
    """Rules 1 to 4 and 6.

    Args:
        node: a ``pad`` of time.
        inputs: the clock of its argument.
        length: of the result, as the tracer has it.
    """
    given = arguments_of(node)
    source, pad = source_of(node), list(given["pad"])
    assert inputs.place is not None  # noqa: S101 - it has frames
    index = 2 * (source.meta["val"].ndim - 1 - inputs.place.axis)
    if not all(isinstance(amount, int) for amount in pad):
        raise refuse(node, "how much it pads depends on a length", "pad by a number of frames")
    left, right = pad[index : index + 2]
    elsewhere = tuple(0 if i in (index, index + 1) else amount for i, amount in enumerate(pad))
    mode = given.get("mode", "constant")
    fill = given.get("value") or 0.0
    clock = replace(
        inputs,
        delay=inputs.delay - left,
        length=length,
        even=False,
        edges=_cut(inputs, left, right),
    )
    plan = Pad(source, left, right, float(fill), elsewhere)
    if mode == "constant":
        if inputs.edges is not None and (left > 0 or right > 0):
            raise refuse(node, "it pads what is padded with the signal's own frames", SEQUENCE_MODE)
        return Timed(clock, plan)
    if mode not in ("replicate", "reflect"):
        raise refuse(
            node,
            f"padding in mode {mode!r} puts the end of the signal before its start",
            f"pad with zeros; or {SEQUENCE_MODE}",
        )
    if any(elsewhere) or inputs.edges is not None or left < 0 or right < 0:
        raise refuse(
            node,
            f"it pads time in mode {mode!r} together with other axes, or twice",
            "pad time on its own, once",
        )
    edges = Edges(mode, left, right)
    return Timed(replace(clock, edges=edges), Pad(source, 0, 0, 0.0))


def cut_edges(node: Node, inputs: Clock, left: int, right: int) -> Edges | None:
    """What remains of padding with the signal's own frames when so many frames are cut off."""
    edges = _cut(inputs, -left, -right)
    if edges is not None and (edges.left < 0 or edges.right < 0):
        raise refuse(
            node,
            "it cuts off more than was padded with the signal's own frames",
            "cut the signal before it is padded",
        )
    return edges


def _cut(inputs: Clock, left: int, right: int) -> Edges | None:
    if inputs.edges is None:
        return None
    return replace(inputs.edges, left=inputs.edges.left + left, right=inputs.edges.right + right)


def clock_joined(node: Node, program: Program, clocks: Any, length: Length) -> Timed:
    """Rule 5.

    Args:
        node: a ``cat`` along time.
        program: the whole-sequence program.
        clocks: of its nodes.
        length: of the result, as the tracer has it.
    """
    parts = list(node.args[0]) if isinstance(node.args[0], (list, tuple)) else []
    signals = [i for i, part in enumerate(parts) if clocks[part].flow is Flow.FRAMES]
    inputs = clocks[parts[signals[0]]]
    if len(signals) > 1:
        raise refuse(
            node,
            "it joins two signals one after the other, and the second begins when the first ends",
            SEQUENCE_MODE,
        )
    before, after = parts[: signals[0]], parts[signals[0] + 1 :]
    for part in (*before, *after):
        if depends_on_values(part):
            raise refuse(
                node,
                "it joins frames to the signal that are computed from an input",
                f"join constant frames, or use F.pad(..., mode='replicate'); or {SEQUENCE_MODE}",
            )
    axis = inputs.place.axis
    left, right = (sum(int(p.meta["val"].shape[axis]) for p in side) for side in (before, after))
    given = blank_inputs(program)
    values = [evaluate(program.graph_module, part, given).flatten() for part in (*before, *after)]
    joined = torch.cat(values) if values else torch.zeros(1)
    same = bool((joined == joined[0]).all())
    plan = Pad(parts[signals[0]], left, right, float(joined[0]) if same else None)
    if inputs.edges is not None:
        raise refuse(node, "it pads what is padded with the signal's own frames", SEQUENCE_MODE)
    return Timed(replace(inputs, delay=inputs.delay - left, length=length, even=False), plan)


def axis_of_cat(node: Node) -> int:
    """The axis along which ``cat`` joins."""
    dim = arguments_of(node).get("dim", 0)
    return int(dim) % int(node.meta["val"].ndim)
