"""Pass: the state of recurrent layers over time becomes an argument and a result.

Rules:
    1. A recurrent layer over time takes each initial state from a new argument, and its final state
       becomes a new result, named after the module: ``encoder.gru.h``; with several layers
       ``encoder.gru.h_l0`` and so on, as PyTorch names their weights.
    2. The state's initial value is what the program computed in its place, evaluated now: zeros,
       or a learned start. It may not depend on an input. That it is the same for all rows of the
       batch, `rows.py` has seen to.
    3. An initial state that is an argument of forward is left to `forward_state.py`.
    4. A recurrent layer over another axis is left alone.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.clocks import (
    Clock,
    Flow,
    initial_states,
    is_over_time,
    sequence_of,
)
from rnnedge_exporters.streaming.constants import depends_on_values, evaluate
from rnnedge_exporters.streaming.program import StreamState, placeholder_like
from rnnedge_exporters.streaming.refusal import (
    SEQUENCE_MODE,
    module_class,
    module_path,
    refuse,
)


def lift_recurrent_state(
    graph_module: GraphModule,
    clocks: Mapping[Node, Clock],
    batch: Mapping[Node, Place | None],
    taken: set[str],
) -> list[StreamState]:
    """Edits the graph in place and returns the new states.

    Args:
        graph_module: a captured program.
        clocks: of its nodes.
        batch: where the batch lies in its nodes.
        taken: names that inputs, outputs and states have already.

    Raises:
        StreamingError: an initial state depends on an input.
    """
    layers = [node for node in graph_module.graph.nodes if is_over_time(node, clocks)]
    lifted = [n for n in layers if any(clocks[s].flow is Flow.FIXED for s in initial_states(n))]
    names = _layer_names(lifted, taken)
    states = []
    for node in lifted:
        # A constant start has no order of rows; the sequence, [time, batch, input], has, and the
        # state, [directions, batch, hidden], shares its batch axis.
        rows = batch[sequence_of(node)]
        for index, (role, initial) in enumerate(zip("hc", initial_states(node), strict=False)):
            if clocks[initial].flow is not Flow.FIXED:
                continue
            value = _initial_value(graph_module, node, initial)
            name = names[node].format(role=role)
            start = _new_placeholder(graph_module, name, initial)
            node.update_arg(1 + index, start)
            states.append(
                StreamState(
                    name=name,
                    kind="hidden" if role == "h" else "cell",
                    start=start,
                    end=_final_state(graph_module, node, 1 + index),
                    batch=rows,
                    initial=value,
                )
            )
    return states


def _layer_names(layers: list[Node], taken: set[str]) -> dict[Node, str]:
    """A pattern such as ``encoder.gru.{role}_l0`` for each layer.

    A module that is called twice gives layers of its own to each call: ``gru.h_l0``, ``gru.h_l1``.
    """
    owners = [module_path(node) or module_class(node).lower() for node in layers]
    depth = Counter(owners)
    seen: Counter[str] = Counter()
    patterns: dict[Node, str] = {}
    for node, owner in zip(layers, owners, strict=True):
        layer = f"_l{seen[owner]}" if depth[owner] > 1 else ""
        seen[owner] += 1
        pattern = f"{owner}.{{role}}{layer}"
        while pattern.format(role="h") in taken:
            pattern += "_"
        taken.add(pattern.format(role="h"))
        patterns[node] = pattern
    return patterns


def _initial_value(graph_module: GraphModule, node: Node, initial: Node) -> Tensor:
    if depends_on_values(initial):
        raise refuse(
            node,
            "its initial state is computed from an input",
            "take the initial state itself as an argument of forward and return the final one; or "
            + SEQUENCE_MODE,
        )
    with torch.no_grad():
        return evaluate(graph_module, initial)


def _new_placeholder(graph_module: GraphModule, name: str, like: Node) -> Node:
    graph = graph_module.graph
    # Placeholders keep the order in which they are inserted.
    last = graph.find_nodes(op="placeholder")[-1]
    with graph.inserting_after(last):
        return placeholder_like(graph, name, like)


def _final_state(graph_module: GraphModule, node: Node, index: int) -> Node:
    for user in node.users:
        if user.args[1] == index:
            return user
    with graph_module.graph.inserting_after(node):
        end = graph_module.graph.call_function(operator.getitem, (node, index))
    end.meta = {**node.meta, "val": node.meta["val"][index]}
    return end
