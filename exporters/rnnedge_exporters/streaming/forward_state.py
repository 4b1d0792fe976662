"""Pass: states that forward takes and returns become states of the stream.

Rules:
    1. What follows such a state has to be made of final states of recurrent layers over time, or of
       the state itself, by views only.
    2. Each element has to come back to its place: if every layer handed its initial state on as it
       is, the state would be what it was. Then chunks in a row compute what one call computes.
    3. It starts from zeros, or from what the module held when it was exported.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from rnnedge_exporters.capture.arguments import operator_name
from rnnedge_exporters.capture.graph import Tied
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.clocks import STATE_VIEWS
from rnnedge_exporters.streaming.constants import evaluate
from rnnedge_exporters.streaming.program import StreamState
from rnnedge_exporters.streaming.recurrences import (
    initial_states,
    is_over_time,
    state_of_result,
)
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_runtime.contract import BATCH

_ONE_ROW = {BATCH: 1}


def tie_forward_states(
    graph_module: GraphModule,
    tied: tuple[Tied, ...],
    clocks: Mapping[Node, Clock],
    batch: Mapping[Node, Place | None],
) -> list[StreamState]:
    """Checks the states of forward and returns them as states of the stream.

    Args:
        graph_module: a captured program.
        tied: the states that forward takes and returns.
        clocks: of its nodes.
        batch: where the batch lies in its nodes.

    Raises:
        StreamingError: what is returned is not a state's next value.
    """
    states = []
    for state in tied:
        _check_end(state, state.end, clocks)
        _check_places(graph_module, tied, state, clocks)
        states.append(
            StreamState(
                name=state.name,
                kind="user",
                start=state.start,
                end=state.end,
                batch=batch[state.start],
                initial=state.initial,
            )
        )
    return states


def _check_end(state: Tied, node: Node, clocks: Mapping[Node, Clock]) -> None:
    """Rule 1."""
    if node.op == "placeholder" and node is state.start:
        return
    if node.target is operator.getitem:
        source = node.args[0]
        assert isinstance(source, Node)  # noqa: S101 - as fx builds it
        if is_over_time(source, clocks):
            return
        _check_end(state, source, clocks)
        return
    if operator_name(node) not in STATE_VIEWS:
        raise _refuse_end(state, node)
    for source in node.all_input_nodes:
        _check_end(state, source, clocks)


def _check_places(
    graph_module: GraphModule, tied: tuple[Tied, ...], state: Tied, clocks: Mapping[Node, Clock]
) -> None:
    """Rule 2, tried with a number of its own for each element of every state."""
    labels: dict[Node, Tensor] = {}
    first = 0
    for other in tied:
        blank = other.spec.zeros(_ONE_ROW)
        numbers = torch.arange(first, first + blank.numel())
        labels[other.start] = numbers.reshape(blank.shape)
        first += blank.numel()

    def initial_of(node: Node) -> Node | None:
        layer, index = node.args if node.target is operator.getitem else (None, 0)
        if not isinstance(layer, Node) or not is_over_time(layer, clocks):
            return None
        place = state_of_result(layer, index)
        return None if place is None else initial_states(layer)[place]

    returned = evaluate(graph_module, state.end, labels, initial_of)
    if not torch.equal(returned, labels[state.start].to(returned.dtype)):
        raise _refuse_end(state, state.end)


def _refuse_end(state: Tied, node: Node) -> StreamingError:
    return refuse(
        node,
        f"what forward returns for the state {state.name!r} is not the final state, as it is, of "
        "the layers that start from it, so chunks in a row would differ from one call",
        "return the recurrent layers' states unchanged and in their order (--state says which "
        f"result follows which argument); or {SEQUENCE_MODE}",
    )
