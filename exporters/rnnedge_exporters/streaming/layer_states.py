"""Pass: a state that holds all layers of a module becomes one state per layer.

Split and Concat around the layers would make a step 8 to 14 % slower, as
`benchmarks/layer_states.py` measures.

Rules:
    1. It is done when the state is only divided, along its first axis, into the initial states of
       recurrent layers, and what follows it joins these layers' final states in the same order.
    2. ``hidden`` becomes ``hidden_l0``, ``hidden_l1`` and so on, as PyTorch names layers.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable

from torch.fx import GraphModule, Node

from rnnedge_exporters.capture.arguments import operator_name
from rnnedge_exporters.capture.operators import RECURRENT
from rnnedge_exporters.streaming.program import StreamState, placeholder_like


def divide_layers(graph_module: GraphModule, states: Iterable[StreamState]) -> list[StreamState]:
    """Edits the graph in place and returns the states, divided where rule 1 allows it.

    Args:
        graph_module: a program whose states are arguments.
        states: those that forward takes and returns.
    """
    divided = []
    for state in states:
        parts, ends = _parts(state.start), _joined(state.end)
        if parts is None or ends is None or not _same_layers(parts, ends):
            divided.append(state)
            continue
        divided += [
            _layer(graph_module, state, index, part, end)
            for index, (part, end) in enumerate(zip(parts, ends, strict=True))
        ]
        _drop(graph_module, state.start)
    return divided


def _parts(start: Node) -> list[Node] | None:
    """The layers' parts in order, if the state is divided and nothing else is done with it."""
    parts: dict[object, Node] = {}
    count = 0
    for split in start.users:
        if operator_name(split) != "split" or len(split.args) > 2:
            return None
        count = len(split.meta["val"])
        for part in split.users:
            if part.args[1] in parts:
                return None
            parts[part.args[1]] = part
    return [parts[index] for index in range(count)] if count and len(parts) == count else None


def _joined(end: Node) -> list[Node] | None:
    """The final states that are joined along the first axis."""
    if operator_name(end) != "cat" or (len(end.args) > 1 and end.args[1] != 0):
        return None
    joined = end.args[0]
    return [n for n in joined if isinstance(n, Node)] if isinstance(joined, (list, tuple)) else None


def _same_layers(parts: list[Node], ends: list[Node]) -> bool:
    """Whether each final state is of the layer that starts from the part in its place."""
    if len(parts) != len(ends):
        return False
    for part, end in zip(parts, ends, strict=True):
        layer, index = end.args[:2] if end.target is operator.getitem else (None, None)
        if not isinstance(layer, Node) or layer.target not in RECURRENT:
            return False
        # Initial and final states stand in the same places: (x, h, c) -> (y, h, c).
        if not isinstance(index, int) or layer.args[index] is not part:
            return False
    return True


def _layer(
    graph_module: GraphModule, state: StreamState, index: int, part: Node, end: Node
) -> StreamState:
    name = f"{state.name}_l{index}"
    with graph_module.graph.inserting_before(state.start):
        start = placeholder_like(graph_module.graph, name, part)
    part.replace_all_uses_with(start)
    size = part.meta["val"].shape[0]
    initial = state.initial[index * size : (index + 1) * size]
    return StreamState(name, state.kind, start, end, state.batch, initial, state.delay)


def _drop(graph_module: GraphModule, start: Node) -> None:
    splits = list(start.users)
    parts = [part for split in splits for part in split.users]
    for node in [*parts, *splits, start]:
        graph_module.graph.erase_node(node)
