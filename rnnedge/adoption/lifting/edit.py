"""Gives the graph its states: inputs, outputs, and what joins them to the nodes."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper

from rnnedge.adoption.lifting.flows import Context
from rnnedge.adoption.lifting.states import Kept
from rnnedge.adoption.rewrite import all_names, constant, value_info
from rnnedge.report.graph import bodies
from rnnedge_runtime.contract import State

_END = 2**62


def keep_states(model: onnx.ModelProto, kept: Sequence[Kept]) -> None:
    """Edits `model`, a copy of that in which the nodes were found: results tell which they are."""
    graph = model.graph
    nodes = {node.output[0]: node for node in graph.node}
    for item in kept:
        node = nodes[item.node.output[0]]
        if item.context is None:
            _keep_recurrence(graph, node, item)
        else:
            _keep_context(graph, node, item.state, item.context)
        shape = [d if isinstance(d, (int, str)) else None for d in item.state.shape]
        graph.input.append(value_info(item.state.input, item.state.dtype, shape))
        graph.output.append(value_info(item.state.output, item.state.dtype, shape))
    drop_unused(graph)


def _keep_recurrence(graph: onnx.GraphProto, node: onnx.NodeProto, item: Kept) -> None:
    """Inputs 5 and 6 are the initial states, outputs 1 and 2 the final ones."""
    while len(node.input) <= item.slot:
        node.input.append("")
    node.input[item.slot] = item.state.input
    final = item.slot - 4
    while len(node.output) <= final:
        node.output.append("")
    if not node.output[final]:
        node.output[final] = item.state.output
        return
    graph.node.append(
        helper.make_node("Identity", [node.output[final]], [item.state.output], item.state.output)
    )


def _keep_context(
    graph: onnx.GraphProto, node: onnx.NodeProto, state: State, context: Context
) -> None:
    joined = f"{state.name}.joined"
    place = list(graph.node).index(node)
    if node.op_type == "Concat":
        node.input[0] = state.input
        joined = node.output[0]
    else:
        node.input[0] = joined
        graph.node.insert(
            place,
            helper.make_node(
                "Concat", [state.input, context.source], [joined], joined, axis=context.axis
            ),
        )
        if node.op_type == "Pad":
            # It keeps what it does to other axes, and to the end of time.
            node.input[1] = constant(graph, f"{state.name}.pads", context.pads)
        else:
            spatial = context.axis - 2
            for candidate in node.attribute:
                if candidate.name == "pads":
                    candidate.ints[spatial] = 0
    bounds = [
        constant(graph, f"{state.name}.{name}", [value])
        for name, value in (("start", -context.frames), ("end", _END), ("axis", context.axis))
    ]
    graph.node.append(helper.make_node("Slice", [joined, *bounds], [state.output], state.output))


def drop_unused(graph: onnx.GraphProto) -> None:
    """Drops nodes and stored tensors that nothing reads any more."""
    used = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(output in used for output in node.output):
            kept.append(node)
            used.update(node.input)
            for body in bodies(node):
                used |= all_names(body)
    ordered = [_copy(node) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(ordered)
    stored = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(stored)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
