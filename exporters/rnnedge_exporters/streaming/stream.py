"""From a whole-sequence program to a streaming one: clocks first, then the passes' plans."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.capture.arguments import operator_name
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.as_written import as_written
from rnnedge_exporters.streaming.axes import shape_of
from rnnedge_exporters.streaming.clock import Clock, Flow
from rnnedge_exporters.streaming.clocks import Clocks, refuse_start_as_output
from rnnedge_exporters.streaming.constants import fold_constants
from rnnedge_exporters.streaming.dump import rows_of, to_json
from rnnedge_exporters.streaming.forward_state import tie_forward_states
from rnnedge_exporters.streaming.layer_states import divide_layers
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.plan import Plan
from rnnedge_exporters.streaming.program import (
    StreamOutput,
    StreamProgram,
    StreamState,
    Twin,
    find_symbol,
)
from rnnedge_exporters.streaming.recurrences import is_over_time
from rnnedge_exporters.streaming.recurrent_state import name_layers
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.rows import find_rows
from rnnedge_exporters.streaming.spare import find_spare
from rnnedge_exporters.streaming.writer import Writer
from rnnedge_runtime.contract import BATCH, TIME


def to_stream(program: Program) -> StreamProgram:
    """Turns a whole-sequence program into one that runs in chunks.

    Args:
        program: its graph loses what nothing reads; with states of forward's own it may become the
            stream itself.

    Raises:
        StreamingError: the program is not a stream; the message says why and where.
    """
    try:
        return _derived(program)
    except StreamingError as refusal:
        if not program.states:
            raise
        return as_written(program, refusal)


def _derived(program: Program) -> StreamProgram:
    graph = program.graph_module.graph
    # What nothing reads is no part of the stream, and needs no state.
    graph.eliminate_dead_code()
    found = Clocks(program)
    clocks, dump = found.clocks, to_json(rows_of(program, found))
    rows = find_rows(graph, find_symbol(program, BATCH))
    forward = tie_forward_states(program.graph_module, program.states, clocks, rows)
    for node in program.outputs.values():
        _check_output(node, clocks)
    writer = Writer(program, clocks, rows, _spare(program, found))
    name_layers(graph.nodes, clocks, writer)
    _write(program, writer, found.plans, found.waits)
    outputs = {name: _output(name, node, writer) for name, node in program.outputs.items()}
    forward = [
        replace(state, start=writer.value(state.start), end=writer.value(state.end))
        for state in forward
    ]
    results = [output.node for output in outputs.values()]
    for name, value in writer.holds.items():
        setattr(program.graph_module, name, value)
    states_left = _used_states(writer.graph, [*results, *(s.end for s in forward)], writer.states)
    graph_module = GraphModule(program.graph_module, writer.graph)
    states = (*divide_layers(graph_module, forward), *states_left)
    fold_constants(graph_module)
    inputs = {name: writer.value(node) for name, node in program.inputs.items()}
    finished = _finished(graph_module, inputs, outputs, states, writer.multiple)
    specs = program.call.inputs
    axes = {inputs[n]: axis for n, spec in specs.items() if (axis := spec.axis(TIME)) is not None}
    return replace(finished, time_axes=axes, clocks=dump, twins=_twins(program, writer, finished))


def _twins(program: Program, writer: Writer, finished: StreamProgram) -> tuple[Twin, ...]:
    left = set(finished.graph_module.graph.nodes)
    return tuple(
        Twin(node, writer.value(node).name, clock, writer.spare[node])
        for node in program.graph_module.graph.nodes
        if (clock := writer.clocks.get(node)) is not None
        and clock.flow is Flow.FRAMES
        and isinstance(node.meta.get("val"), Tensor)
        and writer.known(node) in left
    )


def to_sequence(program: Program) -> StreamProgram:
    """Leaves a program whole: states that forward takes and returns are inputs and outputs."""
    inputs = {**program.inputs, **{state.name: state.start for state in program.states}}
    ends = {f"{state.name}.next": state.end for state in program.states}
    outputs = {
        name: StreamOutput(node, node, tuple(shape_of(node)), Clock(Flow.FIXED))
        for name, node in {**program.outputs, **ends}.items()
    }
    return _finished(program.graph_module, inputs, outputs, (), 1)


def _used_states(graph: Graph, results: list[Node], states: list[StreamState]) -> list[StreamState]:
    """The states that a result depends on, now or later; the others leave the graph."""
    reached: set[Node] = set()

    def reach(node: Node) -> None:
        waiting = [node]
        while waiting:
            node = waiting.pop()
            if node not in reached:
                reached.add(node)
                waiting += node.all_input_nodes

    for result in results:
        reach(result)
    used: list[StreamState] = []
    while more := [s for s in states if s.start in reached and s not in used]:
        used += more
        for state in more:
            reach(state.end)
    used.sort(key=states.index)
    graph.output((*results, *(state.end for state in used)))
    graph.eliminate_dead_code()
    for state in states:
        if state not in used:
            graph.erase_node(state.start)
    return used


def _spare(program: Program, found: Clocks) -> dict[Node, int]:
    graph, outputs = program.graph_module.graph, program.outputs.values()
    return find_spare(graph, found.clocks, found.plans, outputs)


def _write(
    program: Program, writer: Writer, plans: Mapping[Node, Plan], waits: Mapping[Node, int]
) -> None:
    for node in program.graph_module.graph.nodes:
        if node.op == "output" or operator_name(node) == "_assert_tensor_metadata":
            continue
        source = node.args[0] if node.target is operator.getitem else None
        if isinstance(source, Node) and is_over_time(source, writer.clocks):
            index = node.args[1]
            # All results of a scan are in `finals`; of a layer all but the first.
            value = writer.finals[source].get(index) or writer.value(source)
        elif node in plans:
            value = plans[node].write(node, writer)
        elif writer.clocks[node].flow in (Flow.FIRST, Flow.PAIRS):
            continue  # of the first only the size is used, of the second what becomes of it
        else:
            value = writer.copy(node)
        if node in waits:
            value = writer.late(node, value, waits[node])
        writer.set_value(node, value)


def _check_output(node: Node, clocks: Mapping[Node, Clock]) -> None:
    refuse_start_as_output(node, clocks)
    clock = clocks[node]
    if clock.flow is Flow.FIRST:
        raise refuse(
            node,
            "it returns frames counted from the start or the end of the signal",
            f"return all frames; or {SEQUENCE_MODE}",
        )
    if clock.flow is Flow.LATEST and clock.beyond(clock.rate.denominator * 1000) != 0:
        raise refuse(
            node,
            "what follows the last frame is returned, and that frame comes later than the input's "
            "or is not the last that the stream sees",
            f"return all frames instead; or {SEQUENCE_MODE}",
        )
    if clock.edges is not None:
        raise refuse(
            node,
            "it returns what is padded with the signal's own frames",
            f"cut the padding off; or {SEQUENCE_MODE}",
        )


def _output(name: str, node: Node, writer: Writer) -> StreamOutput:
    """A result, late enough that none of its frames comes before the run that gives it.

    Its delay is never below zero, and it does not run beyond its own end while the input lasts.
    """
    clock, shape = writer.clocks[node], shape_of(node)
    if clock.flow is not Flow.FRAMES or clock.place is None:
        return StreamOutput(writer.value(node), node, tuple(shape), Clock(Flow.LATEST))
    by = max(-clock.delay, clock.wait(writer.multiple))
    value = writer.value(node)
    if by:
        value = writer.delayed(node, node, by)
    length = Length() if _is_whole(clock) else clock.length
    late = replace(clock, delay=clock.delay + by, length=length)
    return StreamOutput(value, node, tuple(shape), late)


def _is_whole(clock: Clock) -> bool:
    return clock.length == Length() and clock.rate == 1


def _finished(
    graph_module: GraphModule,
    inputs: Mapping[str, Node],
    outputs: Mapping[str, StreamOutput],
    states: tuple[StreamState, ...],
    multiple: int,
) -> StreamProgram:
    graph = graph_module.graph
    results = [*(output.node for output in outputs.values()), *(state.end for state in states)]
    graph.output_node().args = (tuple(results),)
    graph.eliminate_dead_code()
    graph_module.recompile()
    return StreamProgram(graph_module, inputs, outputs, states, multiple)
