"""What recurrences over a sequence have in common, whichever operator they are.

Layers of torch are ``(y, h, ...) = operator(x, h0, ...)``; a user's own recurrence is ``(*states,
*ys) = scan(body, states, xs, others)``, torch's higher-order operator, whose body is the graph of
one step: ``(*states, *frames, *others) -> (*states, *ys)``. A sequence's first axis is what is run
over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch.fx import GraphModule, Node

from rnnedge_exporters.capture.arguments import source_of
from rnnedge_exporters.capture.operators import RECURRENT, read_layer
from rnnedge_exporters.streaming.clock import Clock

SCAN = torch.ops.higher_order.scan


def is_over_time(node: Node, clocks: Mapping[Node, Clock]) -> bool:
    """Whether `node` is a recurrence whose sequence axis is time."""
    if node.target is not SCAN and node.target not in RECURRENT:
        return False
    place = clocks[sequence_of(node)].place
    return place is not None and place.axis == 0


def sequences_of(node: Node) -> list[Node]:
    """What a recurrence runs over; for a layer x, [time, batch, input]."""
    return list(cast("Any", node.args[2])) if node.target is SCAN else [source_of(node)]


def sequence_of(node: Node) -> Node:
    """The first of them."""
    return sequences_of(node)[0]


def initial_states(node: Node) -> list[Node]:
    """The initial states of a recurrence; of a layer h0, and c0 for an LSTM."""
    if node.target is SCAN:
        return list(cast("Any", node.args[1]))
    return list(read_layer(node).states)


def others_of(node: Node) -> list[Node]:
    """What the body of a scan reads beside its states and frames: the same in all steps."""
    return list(cast("Any", node.args[3]))


def given_to_step(node: Node) -> list[Node]:
    """What a scan gives its body's arguments, in their order."""
    return [*initial_states(node), *sequences_of(node), *others_of(node)]


def body_of(node: Node, graph_module: GraphModule) -> GraphModule:
    """The step of a scan."""
    name = cast("Node", node.args[0]).target
    return cast("GraphModule", graph_module.get_submodule(str(name)))


def state_of_result(node: Node, index: object) -> int | None:
    """Which state, counted from 0, result `index` is the final value of; None for a sequence."""
    count = len(initial_states(node))
    place = cast("int", index) if node.target is SCAN else cast("int", index) - 1
    return place if 0 <= place < count else None
