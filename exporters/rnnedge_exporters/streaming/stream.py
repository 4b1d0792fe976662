"""Runs the passes in order."""

from __future__ import annotations

from torch.fx import Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.streaming.clocks import find_clocks, refuse_start_as_output
from rnnedge_exporters.streaming.forward_state import tie_forward_states
from rnnedge_exporters.streaming.layer_states import divide_layers
from rnnedge_exporters.streaming.program import (
    StreamProgram,
    StreamState,
    find_symbol,
    time_symbol,
)
from rnnedge_exporters.streaming.recurrent_state import lift_recurrent_state
from rnnedge_exporters.streaming.rows import find_rows
from rnnedge_runtime.contract import BATCH


def to_stream(program: Program) -> StreamProgram:
    """Turns a whole-sequence program into one that runs in chunks of any length.

    The graph of `program` is edited in place.

    Raises:
        StreamingError: the program is not a stream; the message says why and where.
    """
    graph_module = program.graph_module
    # What nothing reads is no part of the stream, and needs no state.
    graph_module.graph.eliminate_dead_code()
    clocks = find_clocks(
        graph_module.graph, time_symbol(program), {state.start for state in program.states}
    )
    rows = find_rows(graph_module.graph, find_symbol(program, BATCH))
    for node in program.outputs.values():
        refuse_start_as_output(node, clocks)
    forward = tie_forward_states(graph_module, program.states, clocks, rows)
    taken = {*program.inputs, *program.outputs, *(state.name for state in program.states)}
    lifted = lift_recurrent_state(graph_module, clocks, rows, taken)
    states = [*divide_layers(graph_module, forward), *lifted]
    results = [*program.outputs.values(), *(state.end for state in states)]
    return _finished(program, results, tuple(states))


def to_sequence(program: Program) -> StreamProgram:
    """Leaves a program whole: states that forward takes and returns are inputs and outputs."""
    inputs = {**program.inputs, **{state.name: state.start for state in program.states}}
    outputs = {
        **program.outputs,
        **{f"{state.name}.next": state.end for state in program.states},
    }
    whole = Program(program.graph_module, inputs, outputs, (), program.call)
    return _finished(whole, list(outputs.values()), ())


def _finished(
    program: Program, results: list[Node], states: tuple[StreamState, ...]
) -> StreamProgram:
    graph = program.graph_module.graph
    graph.output_node().args = (tuple(results),)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return StreamProgram(program.graph_module, program.inputs, program.outputs, states)
