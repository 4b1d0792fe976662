"""A module whose loops over time are recurrences."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.export import Dim
from torch.fx import GraphModule, Interpreter, Node, traceback
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.attributes import copied, give_forward
from rnnedge_exporters.capture.call import OWN_STATES, Call, inference, run
from rnnedge_exporters.capture.loops.normal import normalise
from rnnedge_exporters.capture.loops.roll import roll
from rnnedge_exporters.capture.trace import flat_graph
from rnnedge_exporters.errors import CaptureError
from rnnedge_runtime.contract import TIME

_LENGTHS = (5, 7)
"""At which the loop is unrolled. What differs between the two depends on the number of frames."""
ROLLED = "rnnedge_rolled"
"""The submodule that is forward as a graph without loops."""


def rolled(module: nn.Module, call: Call) -> nn.Module | None:
    """A copy of a module whose loops over time are recurrences; None where that cannot be.

    Args:
        module: not changed; in evaluation mode.
        call: how its forward is called.
    """
    twin = copied(module)
    try:
        short, long = (_rolled_at(twin, call, frames) for frames in _LENGTHS)
        with inference(twin):
            tree = pytree.tree_structure(run(twin, call.arguments(call.example)))
    except (CaptureError, RuntimeError):
        return None
    if short is None or long is None or not _free_lengths(short, long, call):
        return None
    names = [*call.inputs, *(state.parameter for state in call.states)]

    def forward(self: nn.Module, **arguments: Any) -> Any:
        leaves = pytree.tree_leaves([arguments[name] for name in names])
        with traceback.preserve_node_meta():
            results = Interpreter(getattr(self, ROLLED)).run(*leaves)
        return pytree.tree_unflatten(list(results), tree)

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    twin.add_module(ROLLED, short)  # its parameters are the copy's own
    states = getattr(module, OWN_STATES, ())
    give_forward(twin, forward, inspect.Signature(parameters), **{OWN_STATES: states})
    return twin


def _rolled_at(module: nn.Module, call: Call, frames: int) -> GraphModule | None:
    sizes = {**call.example, TIME: frames}
    graph_module = flat_graph(module, replace(call, example=sizes), {TIME: Dim.STATIC})
    normalise(graph_module.graph)
    if roll(graph_module, frames) == 0:
        return None
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()
    return graph_module


def _free_lengths(short: GraphModule, long: GraphModule, call: Call) -> bool:
    """Numbers that differ between the two lengths become arithmetic with the number of frames."""
    ours, theirs = list(short.graph.nodes), list(long.graph.nodes)
    if [node.target for node in ours] != [node.target for node in theirs]:
        return False
    length = _length(short, call)
    with short.graph.inserting_before(_first_call(short)):
        frames = short.graph.call_function(torch.ops.aten.sym_size.int, length)
    for node, other in zip(ours, theirs, strict=True):
        leaves, tree = pytree.tree_flatten((node.args, node.kwargs))
        others, other_tree = pytree.tree_flatten((other.args, other.kwargs))
        if tree != other_tree:
            return False
        new: list[Any] = []
        for a, b in zip(leaves, others, strict=True):
            if isinstance(a, Node) or a == b:
                new.append(a)
                continue
            factor = (b - a) / (_LENGTHS[1] - _LENGTHS[0]) if isinstance(a, int) else 0.5
            if factor != int(factor):
                return False
            with short.graph.inserting_before(node):
                scaled = short.graph.call_function(operator.mul, (frames, int(factor)))
                rest = a - int(factor) * _LENGTHS[0]
                new.append(short.graph.call_function(operator.add, (scaled, rest)))
        node.args, node.kwargs = pytree.tree_unflatten(new, tree)
    short.recompile()
    return True


def _length(graph_module: GraphModule, call: Call) -> tuple[Node, int]:
    """An argument with frames, and their axis."""
    placeholders = graph_module.graph.find_nodes(op="placeholder")
    specs: Mapping[str, Any] = call.inputs
    pairs = zip(placeholders, specs.values(), strict=False)
    return next((node, axis) for node, spec in pairs if (axis := spec.axis(TIME)) is not None)


def _first_call(graph_module: GraphModule) -> Node:
    nodes: Iterable[Node] = graph_module.graph.nodes
    return next(node for node in nodes if node.op not in ("placeholder", "get_attr"))
