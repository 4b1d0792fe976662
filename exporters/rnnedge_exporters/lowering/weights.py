"""Pass: weights of recurrent operators in ONNX's layout and gate order, as constants.

PyTorch and ONNX stack the gates of a layer in different orders:

* LSTM: PyTorch input, forget, cell, output; ONNX input, output, forget, cell.
* GRU: PyTorch reset, update, new; ONNX update, reset, hidden.
* RNN: one gate.

They are permuted here, once. Left to the graph, Split and Concat of the weights would stay in the
file as nodes: the exporter folds constants of up to 8192 elements only.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from rnnedge_exporters.capture.arguments import operator_name
from rnnedge_exporters.capture.operators import (
    GRU,
    GRU_RESET_BEFORE,
    LSTM,
    RECURRENT,
    RNN,
    Layer,
    read_layer,
)
from rnnedge_exporters.errors import LoweringError
from rnnedge_exporters.lowering.operators import ONNX_GRU, ONNX_LSTM, ONNX_RNN
from rnnedge_exporters.lowering.projection import ProjectedLSTM
from rnnedge_exporters.streaming.constants import evaluate, is_constant
from rnnedge_exporters.streaming.recurrences import (
    SCAN,
    body_of,
    given_to_step,
    initial_states,
    sequences_of,
)
from rnnedge_exporters.streaming.refusal import describe, module_path

_VIEWS = frozenset({"view", "reshape", "expand", "slice", "select", "unsqueeze", "transpose"})
_VIEWS |= {"split"}

GATE_ORDER: Mapping[object, tuple[int, ...]] = {
    RNN: (0,),
    GRU: (1, 0, 2),
    GRU_RESET_BEFORE: (1, 0, 2),
    LSTM: (0, 3, 1, 2),
}
"""For each gate in ONNX's order, where PyTorch has it."""
_TARGETS: Mapping[object, Any] = {
    RNN: ONNX_RNN,
    GRU: ONNX_GRU,
    GRU_RESET_BEFORE: ONNX_GRU,
    LSTM: ONNX_LSTM,
}


def pack_weights(graph_module: GraphModule) -> GraphModule:
    """Replaces recurrent operators by ONNX's, with packed constant weights.

    Raises:
        LoweringError: weights are computed from the signal, or are not float32.
    """
    for node in list(graph_module.graph.nodes):
        if node.target in RECURRENT:
            _replace(graph_module, node)
        elif node.target is SCAN:
            _pack_body(graph_module, node)
    graph_module.graph.eliminate_dead_code()
    # A new module holds what the graph still refers to, and no more.
    return GraphModule(graph_module, graph_module.graph)


def _replace(graph_module: GraphModule, node: Node) -> None:
    layer = read_layer(node)
    weights = [_constant(graph_module, node, source) for source in layer.weights]
    if layer.projects:
        new = _projected(graph_module, node, layer, weights)
    else:
        packed = _packed(node, layer, weights)
        names = zip(_names(node, layer.weights), packed, strict=False)
        stored = [_store(graph_module, node, name, tensor) for name, tensor in names]
        new = _operator(node, layer, stored, packed[1].shape[2])
    _exchange(node, new)


def _exchange(node: Node, new: Node) -> None:
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    node.graph.erase_node(node)


def _pack_body(graph_module: GraphModule, node: Node) -> None:
    """In the step of a scan, weights are arguments: packed ones become further arguments."""
    body = body_of(node, graph_module)
    given = body.graph.find_nodes(op="placeholder")
    sources = dict(zip(given, given_to_step(node), strict=True))
    for step in list(body.graph.nodes):
        if step.target not in RECURRENT:
            continue
        layer = read_layer(step)
        weights = [_constant(graph_module, node, sources[w]) for w in layer.weights]
        packed = _packed(step, layer, weights)
        names = _names(step, [sources[w] for w in layer.weights])
        stored = []
        for name, tensor in zip(names, packed, strict=False):
            sources[inside := _argument(body, name, tensor)] = _store(
                graph_module, node, name, tensor
            )
            stored.append(inside)
        _exchange(step, _operator(step, layer, stored, packed[1].shape[2]))
    fixed = len(initial_states(node)) + len(sequences_of(node))
    for unused in [n for n in list(sources)[fixed:] if not n.users]:
        body.graph.erase_node(unused)
        del sources[unused]
    node.args = (*node.args[:3], tuple(list(sources.values())[fixed:]))
    body.recompile()


def _argument(body: GraphModule, name: str, like: Tensor) -> Node:
    """A further argument of a step, behind the others."""
    last = body.graph.find_nodes(op="placeholder")[-1]
    with body.graph.inserting_after(last):
        argument = body.graph.placeholder(name.replace(".", "_"))
    argument.target = argument.name  # which no other argument has
    argument.meta["val"] = like
    return argument


def _packed(node: Node, layer: Layer, weights: Sequence[Tensor]) -> list[Tensor]:
    return pack(weights, GATE_ORDER[node.target], 1 + layer.bidirectional)


def _operator(node: Node, layer: Layer, weights: Sequence[Node], hidden: int) -> Node:
    """ONNX's operator in front of `node`, with packed weights."""
    states = [None if is_zero(state) else state for state in layer.states]
    w, r, b = weights if len(weights) == 3 else (*weights, None)
    args: tuple[Any, ...] = (layer.x, w, r, b, layer.lengths, *states)
    if node.target is RNN:
        args = (*args, layer.nonlinearity.capitalize())
    args = (*args, hidden)
    if node.target in (GRU, GRU_RESET_BEFORE):
        args = (*args, node.target is GRU)
    with node.graph.inserting_before(node):
        return node.graph.call_function(_TARGETS[node.target], args)


def _projected(
    graph_module: GraphModule, node: Node, layer: Layer, weights: Sequence[Tensor]
) -> Node:
    """A module that is traced again with the rest; its loop becomes a ``Scan``."""
    modules = [name for name, _ in graph_module.named_children()]
    name = f"projected_lstm_{sum(name.startswith('projected_lstm') for name in modules)}"
    graph_module.add_module(name, ProjectedLSTM(weights, 1 + layer.bidirectional))
    args = (layer.x, *layer.states, layer.lengths)
    with graph_module.graph.inserting_before(node):
        return graph_module.graph.call_module(name, args)


def pack(weights: Sequence[Tensor], order: Sequence[int], directions: int) -> list[Tensor]:
    """Permutes gates and stacks directions.

    Args:
        weights: per direction w_ih [G * hidden, input], w_hh [G * hidden, hidden] and, with bias,
            b_ih and b_hh [G * hidden].
        order: for each gate in ONNX's order, where PyTorch has it.
        directions: 1 or 2.

    Returns:
        W [D, G * hidden, input], R [D, G * hidden, hidden] and, with bias, B [D, 2 * G * hidden]:
        the input's biases first, then the hidden state's.
    """
    per_direction = len(weights) // directions
    groups = [weights[d * per_direction : (d + 1) * per_direction] for d in range(directions)]
    permuted = [[_permute(weight, order) for weight in group] for group in groups]
    packed = [torch.stack([group[i] for group in permuted]) for i in (0, 1)]
    if per_direction == 4:
        packed.append(torch.stack([torch.cat(group[2:]) for group in permuted]))
    return [tensor.contiguous() for tensor in packed]


def is_zero(state: Node) -> bool:
    """Whether an initial state is zeros of some size, which ONNX's operators start from anyway."""
    if operator_name(state) in _VIEWS or state.target is operator.getitem:
        source = state.args[0]
        return isinstance(source, Node) and is_zero(source)
    return operator_name(state) in ("zeros", "new_zeros", "zeros_like")


def _permute(weight: Tensor, order: Sequence[int]) -> Tensor:
    gates = weight.chunk(len(order))
    return torch.cat([gates[place] for place in order])


def _constant(graph_module: GraphModule, node: Node, source: Node) -> Tensor:
    if not is_constant(source):
        raise LoweringError(
            "its weights are computed from the signal; ONNX's operators take constant ones",
            where=describe(node),
            fix="compute the weights from parameters only",
        )
    weight = evaluate(graph_module, source)
    if weight.dtype is not torch.float32:
        raise LoweringError(
            f"its weights are {weight.dtype}; onnxruntime runs recurrent operators in float32",
            where=describe(node),
            fix="convert the module before the export: module.float()",
        )
    return weight


def _names(node: Node, sources: Sequence[Node]) -> list[str]:
    """``encoder.gru.W_l0`` beside ``encoder.gru.weight_hh_l0``."""
    target = str(sources[1].target) if sources[1].op == "get_attr" else ""
    found = re.fullmatch(r"(?P<owner>.*\.)?weight_hh(?P<layer>_l\d+)", target)
    owner, layer = (found["owner"] or "", found["layer"]) if found else (module_path(node), "")
    if owner and not owner.endswith("."):
        owner += "."
    return [f"{owner}{letter}{layer}" for letter in "WRB"]


def _store(graph_module: GraphModule, before: Node, name: str, value: Tensor) -> Node:
    path, _, attribute = name.rpartition(".")
    owner: nn.Module = graph_module
    for part in path.split(".") if path else ():
        if not hasattr(owner, part):
            owner.add_module(part, nn.Module())
        owner = owner.get_submodule(part)
    # A module that is called twice shares its weights; others of that name get their own.
    while hasattr(owner, attribute) and not torch.equal(getattr(owner, attribute), value):
        attribute += "_"
    if not hasattr(owner, attribute):
        owner.register_buffer(attribute, value)
    with graph_module.graph.inserting_before(before):
        return graph_module.graph.get_attr(f"{path}.{attribute}".lstrip("."))
