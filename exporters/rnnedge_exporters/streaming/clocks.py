"""Gives each tensor of a captured program its clock: how it runs with time.

A tensor's clock says whether it has frames and on which axis they lie. An operator may stay as it
is in a stream when each frame of its result needs that frame of its arguments only; then a chunk of
frames gives the same as these frames of the whole sequence. That is decided here from the graph,
never from numbers, and what is not known to be so is refused.

Rules:
    1. Fixed with frames gives frames; the frames of all arguments lie on the same axis.
    2. What follows the last frame (a final state, the last frame itself) is *latest*: it may go to
       an output, but not back into frames that came before it.
    3. What forward takes as a state is *start*: it may go, through views, into the initial state of
       a recurrence and nowhere else. Elsewhere its meaning would depend on where chunks begin.
    4. A recurrence over time needs a fixed or *start* initial state. It gives frames, and *latest*
       final states. A recurrence over another axis is an operator like any other.
    5. The number of frames is no value to compute with: a chunk does not know it.
    6. All other operators: see `frames.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import sympy
from torch import SymBool, SymFloat, SymInt, Tensor
from torch.fx import Graph, Node

from rnnedge_exporters.capture.operators import LSTM, RECURRENT
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.axes import (
    CREATION,
    OddAxisError,
    Place,
    find_place,
    operator_name,
)
from rnnedge_exporters.streaming.frames import SHAPES_ONLY, check_frames, takes_last_frame
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse

STATE_VIEWS = frozenset(
    {"split", "split_with_sizes", "chunk", "select", "slice", "unsqueeze", "squeeze", "transpose"}
    | {"permute", "view", "reshape", "contiguous", "clone", "detach", "cat", "stack", "unbind"}
)
"""Operators (of aten) that hand a state on as it is."""


class Flow(Enum):
    """How a tensor runs with time."""

    FIXED = auto()
    START = auto()
    FRAMES = auto()
    LATEST = auto()


@dataclass(frozen=True)
class Clock:
    """A tensor's flow, and the place of its frames if it has any."""

    flow: Flow
    place: Place | None = None


FIXED = Clock(Flow.FIXED)
_SYMBOLIC = (SymInt, SymFloat, SymBool)


def find_clocks(graph: Graph, time: sympy.Symbol, starts: set[Node]) -> dict[Node, Clock]:
    """Gives every node its clock.

    Args:
        graph: of a captured program.
        time: the symbol of the number of frames.
        starts: the placeholders that are states.

    Raises:
        StreamingError: an operator mixes frames in a way that is not known to stream.
    """
    clocks: dict[Node, Clock] = {}
    places: dict[Node, Place | None] = {}
    for node in graph.nodes:
        if node.op == "output":
            continue
        try:
            places[node] = find_place(node, time, places)
        except OddAxisError as error:
            reason = f"{error}; this release streams one frame for one frame"
            raise refuse(node, reason, _WAYS_OUT) from error
        if node in starts:
            clocks[node] = Clock(Flow.START)
        elif node.op == "placeholder":
            clocks[node] = Clock(Flow.FRAMES, places[node]) if places[node] else FIXED
        elif node.op == "get_attr":
            clocks[node] = FIXED
        else:
            clocks[node] = _clock(node, places[node], clocks, time)
    return clocks


def is_over_time(node: Node, clocks: Mapping[Node, Clock]) -> bool:
    """Whether `node` is a recurrence whose sequence axis is time."""
    if node.target not in RECURRENT:
        return False
    place = clocks[sequence_of(node)].place
    return place is not None and place.axis == 0


def sequence_of(node: Node) -> Node:
    """What a recurrent operator runs over: x, [time, batch, input]."""
    sequence = node.args[0]
    assert isinstance(sequence, Node)  # noqa: S101 - the operator's schema says so
    return sequence


def initial_states(node: Node) -> list[Node]:
    """The initial states of a recurrent operator: h0, and c0 for an LSTM."""
    states = node.args[1:3] if node.target is LSTM else node.args[1:2]
    return [state for state in states if isinstance(state, Node)]


_WAYS_OUT = (
    "windows over time, strides and statistics over time are not streamed in this release; "
    + SEQUENCE_MODE
)


def _clock(
    node: Node, place: Place | None, clocks: Mapping[Node, Clock], time: sympy.Symbol
) -> Clock:
    if node.target is operator.getitem:
        return _getitem(node, place, clocks)
    if not isinstance(node.meta.get("val"), (Tensor, tuple, list)):
        return FIXED
    sources = [source for source in node.all_input_nodes if clocks[source] is not FIXED]
    if operator_name(node) in CREATION:
        sources = []  # x.new_zeros takes nothing of x but its type
    flows = {clocks[source].flow for source in sources}
    _refuse_length_as_value(node, place, time)
    if is_over_time(node, clocks):
        return _recurrence(node, clocks)
    if Flow.START in flows:
        return _start(node, flows)
    if Flow.LATEST in flows:
        return _latest(node, place, flows)
    if not sources:
        check_frames(node, {}, place)
        return Clock(Flow.FRAMES, place) if place else FIXED
    if takes_last_frame(node, clocks[sources[0]].place):
        return Clock(Flow.LATEST)
    known = {source: p for source in sources if (p := clocks[source].place) is not None}
    check_frames(node, known, place)
    return Clock(Flow.FRAMES, place)


def _latest(node: Node, place: Place | None, flows: set[Flow]) -> Clock:
    """Rule 2."""
    if Flow.FRAMES in flows or place is not None:
        raise refuse(
            node,
            "what is known after the last frame only is used for all frames (an attention over "
            "time, a decoder that starts from the encoder's end)",
            SEQUENCE_MODE,
        )
    return Clock(Flow.LATEST)


def _getitem(node: Node, place: Place | None, clocks: Mapping[Node, Clock]) -> Clock:
    source, index = node.args
    assert isinstance(source, Node)  # noqa: S101 - as fx builds it
    if is_over_time(source, clocks):
        return Clock(Flow.FRAMES, place) if index == 0 else Clock(Flow.LATEST)
    return Clock(clocks[source].flow, place)


def _start(node: Node, flows: set[Flow]) -> Clock:
    """Rule 3."""
    if flows == {Flow.START} and operator_name(node) in STATE_VIEWS:
        return Clock(Flow.START)
    raise _refuse_start(node)


def refuse_start_as_output(node: Node, clocks: Mapping[Node, Clock]) -> None:
    """Rule 3, for an output.

    Raises:
        StreamingError: `node` is a state that forward took.
    """
    if clocks[node].flow is Flow.START:
        raise _refuse_start(node)


def _refuse_start(node: Node) -> StreamingError:
    return refuse(
        node,
        "a state that forward takes is used for something else than starting a recurrent layer, "
        "so its meaning depends on where chunks begin",
        "give it to the recurrent layer unchanged, or, if it is data, name it with --input",
    )


def _recurrence(node: Node, clocks: Mapping[Node, Clock]) -> Clock:
    """Rule 4."""
    place = clocks[sequence_of(node)].place
    if place is not None and place.is_folded:
        raise refuse(node, "time is folded with another axis into the sequence", SEQUENCE_MODE)
    if node.args[-1] is True:
        raise refuse(
            node,
            "it is bidirectional over time: its backward half needs the end of the signal first",
            f"train it with bidirectional=False, or {SEQUENCE_MODE}",
        )
    for state in initial_states(node):
        if clocks[state].flow not in (Flow.FIXED, Flow.START):
            raise refuse(
                node,
                "its initial state is computed from the signal itself",
                f"start from zeros, from a parameter, or from an argument of forward; or "
                f"{SEQUENCE_MODE}",
            )
    return Clock(Flow.FRAMES)


def _fills(node: Node) -> bool:
    """Whether a computed number is the value of all elements, not a size."""
    fill = node.args[1] if len(node.args) > 1 else node.kwargs.get("fill_value")
    return "full" in operator_name(node) and isinstance(fill, Node)


def _refuse_length_as_value(node: Node, place: Place | None, time: sympy.Symbol) -> None:
    """Rule 5: in an operator that takes sizes, they are sizes of a result that has frames."""
    if operator_name(node) in SHAPES_ONLY and place is not None and not _fills(node):
        return
    for source in node.all_input_nodes:
        value = source.meta.get("val")
        if isinstance(value, _SYMBOLIC) and time in value.node.expr.free_symbols:
            raise refuse(
                node,
                "it computes with the number of frames, which a chunk does not know",
                f"leave the length out of the computation; or {SEQUENCE_MODE}",
            )
