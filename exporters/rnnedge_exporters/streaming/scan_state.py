"""Pass: the state of a user's own recurrence over time (`rnnedge.scan`).

Rules:
    1. Each initial state that is not an argument of forward becomes a new argument, its final value
       a new result, named after the module: ``encoder.state``, with several ``encoder.state_0`` and
       so on, in the order in which the step takes them.
    2. Its initial value is what the program computed in its place, evaluated now. Where padding
       comes before the signal, the recurrence has run over it.
    3. Sequences that come at different times meet at the time of the latest.
    4. Where frames that precede the signal reach it (behind a layer that looks ahead), they leave
       the state as it is.
    5. The step may not read all frames at once, nor what is known after the last one only.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Node

from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.clock import Clock, Flow
from rnnedge_exporters.streaming.constants import evaluate
from rnnedge_exporters.streaming.joins import Join, clock_join
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.recurrences import (
    SCAN,
    body_of,
    initial_states,
    others_of,
    sequence_of,
    sequences_of,
)
from rnnedge_exporters.streaming.recurrent_state import given_start, initial_value, lag
from rnnedge_exporters.streaming.refusal import (
    SEQUENCE_MODE,
    module_class,
    module_path,
    refuse,
)
from rnnedge_exporters.streaming.writer import Writer, aten


def clock_scan(node: Node, clocks: Mapping[Node, Clock]) -> Timed:
    """Rules 3 and 5.

    Args:
        node: a scan over time.
        clocks: of what it is made of.
    """
    for other in others_of(node):
        if clocks[other].flow is not Flow.FIXED:
            raise refuse(
                node,
                "its step reads a tensor that depends on the signal and is not its frame or state",
                f"give that tensor to the step as a sequence, frame by frame; or {SEQUENCE_MODE}",
            )
    sequences = {source: clocks[source] for source in sequences_of(node)}
    for clock in sequences.values():
        if clock.place is None or clock.place.axis != 0 or clock.place.is_folded:
            raise refuse(
                node,
                "not all of its sequences run over time",
                f"let each have its frames on the axis that is run over; or {SEQUENCE_MODE}",
            )
        if clock.edges is not None:
            raise refuse(node, "it reads padding with the signal's own frames", SEQUENCE_MODE)
    met = clock_join(node, clocks[sequence_of(node)], sequences)
    clock = replace(met.clock, even=False)
    assert isinstance(met.plan, Join)  # noqa: S101 - as clock_join gives it
    return Timed(clock, ScanState(clock, met.plan))


@dataclass(frozen=True)
class ScanState:
    """A scan over time; a `Plan`.

    Attributes:
        inputs: the clock at which its sequences meet.
        waits: how they get there.
    """

    inputs: Clock
    waits: Join

    def __str__(self) -> str:
        held = self.inputs.delay > 0
        return "state, begins with the signal's first frame" if held else "state"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        initials = initial_states(node)
        names = iter(_names(node, writer, sum(_is_fixed(s, writer) for s in initials)))
        starts = [
            self._start(node, place, initial, names, writer)
            for place, initial in enumerate(initials)
        ]
        frames = [
            writer.delayed(node, source, self.waits.delays.get(source, 0))
            for source in sequences_of(node)
        ]
        others = [writer.value(other) for other in others_of(node)]
        body = writer.value(node.args[0])  # type: ignore[arg-type]
        if self.inputs.delay > 0:
            body, inside = self._held_back(node, writer)
            frames.append(inside)
        made = writer.call(node, SCAN, body, starts, frames, others)
        made.meta["val"] = node.meta["val"]
        results: dict[Any, Node] = {}
        for index, value in enumerate(node.meta["val"]):
            results[index] = writer.call(node, operator.getitem, made, index)
            results[index].meta["val"] = value
        for place, (initial, start) in enumerate(zip(initials, starts, strict=True)):
            if _is_fixed(initial, writer):
                writer.end_state(start, results[place])
        writer.finals[node] = results
        return made

    def _start(self, node: Node, place: int, initial: Node, names: Any, writer: Writer) -> Node:
        if not _is_fixed(initial, writer):
            return given_start(node, initial, self.inputs, writer)
        return writer.state(
            node,
            next(names),
            "hidden",
            initial.meta["val"],
            initial_value(
                node,
                initial,
                self.inputs,
                writer,
                lambda blank: self._after(node, place, writer, blank),
            ),
            writer.rows[initial],
            delay=lag(self.inputs, writer.multiple),
            is_full_name=True,
        )

    def _after(
        self, node: Node, place: int, writer: Writer, blank: Mapping[Node, Tensor]
    ) -> Tensor:
        """The state after the padding before the signal."""
        graph_module, delay = writer.program.graph_module, self.inputs.delay
        states = [evaluate(graph_module, state, blank) for state in initial_states(node)]
        padding = [
            writer.history.before_start(node, s, -delay, 0.0, delay - self.waits.delays.get(s, 0))
            for s in sequences_of(node)
        ]
        others = [evaluate(graph_module, other, blank) for other in others_of(node)]
        step = body_of(node, graph_module)
        for frame in range(-delay):
            results = step(*states, *(p[frame] for p in padding), *others)
            states = list(results[: len(states)])
        return states[place].clone()

    def _held_back(self, node: Node, writer: Writer) -> tuple[Node, Node]:
        """Rule 4: a step whose state stays where a further sequence says so, and that sequence.

        The sequence is bool [time, rows]; without rows [time, 1].
        """
        source = max(sequences_of(node), key=lambda s: writer.clocks[s].delay)
        index = writer.index(node, source, delay=self.inputs.delay)
        counts = writer.call(node, aten.ge.Scalar, index, 0)
        counts = writer.call(node, aten.transpose.int, counts, 0, 1)
        body = _held_body(node, writer)
        return writer.held(node, body), counts


def _held_body(node: Node, writer: Writer) -> GraphModule:
    """The step, with a further frame [rows]: where it is false, the state stays."""
    step = body_of(node, writer.program.graph_module)
    body = copy.deepcopy(step)
    graph = body.graph
    given = graph.find_nodes(op="placeholder")
    count = len(initial_states(node))
    last_frame = given[count + len(sequences_of(node)) - 1]
    with graph.inserting_after(last_frame):
        counts = graph.placeholder("counts")
    output = graph.output_node()
    results = list(output.args[0])  # type: ignore[arg-type]
    with graph.inserting_before(output):
        for place, initial in enumerate(initial_states(node)):
            mask = _spread(node, counts, initial, writer.rows[initial], graph)
            results[place] = graph.call_function(
                aten.where.self, (mask, results[place], given[place])
            )
    output.args = (results,)
    body.recompile()
    return body


def _spread(node: Node, counts: Node, initial: Node, rows: Place | None, graph: Any) -> Node:
    """[rows] as it broadcasts against a state."""
    if rows is not None and rows.is_folded:
        raise refuse(
            node,
            "it is behind a layer that looks ahead, and its state has rows folded with another "
            "axis",
            f"give the state an axis of its own for the batch; or {SEQUENCE_MODE}",
        )
    shape = [1] * initial.meta["val"].ndim
    if rows is not None:
        shape[rows.axis] = -1
    mask: Node = graph.call_function(aten.reshape.default, (counts, shape))
    return mask


def _is_fixed(initial: Node, writer: Writer) -> bool:
    return writer.clocks[initial].flow is Flow.FIXED


def _names(node: Node, writer: Writer, count: int) -> list[str]:
    """Rule 1."""
    owner = module_path(node) or module_class(node).lower() or "scan"
    names = []
    for place in range(count):
        name = f"{owner}.state" if count == 1 else f"{owner}.state_{place}"
        while not writer.reserve(name):
            name += "_"
        names.append(name)
    return names
