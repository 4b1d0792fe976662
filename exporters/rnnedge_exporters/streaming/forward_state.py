"""Pass: states that forward takes and returns become states of the stream.

Rules:
    1. What follows such a state has to be the final state of a recurrent layer over time, or the
       state itself, changed by views only. Then chunks in a row compute what one call computes.
    2. It starts from zeros, as forward does when it is called without one.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

import torch
from torch.fx import Node

from rnnedge_exporters.capture.program import Tied
from rnnedge_exporters.streaming.axes import Place, operator_name
from rnnedge_exporters.streaming.clocks import STATE_VIEWS, Clock, is_over_time
from rnnedge_exporters.streaming.program import StreamState
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse


def tie_forward_states(
    tied: tuple[Tied, ...], clocks: Mapping[Node, Clock], batch: Mapping[Node, Place | None]
) -> list[StreamState]:
    """Checks the states of forward and returns them as states of the stream.

    Raises:
        StreamingError: what is returned is not a state's next value.
    """
    states = []
    for state in tied:
        _check_end(state, state.end, clocks)
        shape = [1 if isinstance(dim, str) else dim for dim in state.spec.shape]
        states.append(
            StreamState(
                name=state.name,
                kind="user",
                start=state.start,
                end=state.end,
                batch=batch[state.start],
                initial=torch.zeros(shape, dtype=state.spec.torch_dtype),
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
        raise refuse(
            node,
            f"what forward returns for the state {state.name!r} is not a layer's final state as "
            "it is, so chunks in a row would differ from one call",
            f"return the recurrent layer's state unchanged; or {SEQUENCE_MODE}",
        )
    for source in node.all_input_nodes:
        _check_end(state, source, clocks)
