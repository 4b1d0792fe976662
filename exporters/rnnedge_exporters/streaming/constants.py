"""Computes, at export, what in a graph does not depend on the signal."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import SymInt, Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from rnnedge_exporters.capture import Program
from rnnedge_exporters.capture.arguments import CREATION, operator_name
from rnnedge_runtime.contract import BATCH, TIME


def blank_inputs(program: Program, frames: int | None = None) -> dict[Node, Tensor]:
    """Zeros for a batch of one; as many frames as the example's when it is None."""
    sizes = {BATCH: 1, TIME: program.call.example[TIME] if frames is None else frames}
    names = {node: name for name, node in program.inputs.items()}
    return {node: program.call.inputs[name].zeros(sizes) for node, name in names.items()}


def evaluate(
    graph_module: GraphModule,
    node: Node,
    given: Mapping[Node, Tensor] | None = None,
    stands_for: Callable[[Node], Node | None] = lambda _: None,
) -> Tensor:
    """The value of `node` for a batch of one; its ancestors may use only sizes of the inputs.

    Args:
        graph_module: holds the parameters.
        node: gives one tensor.
        given: values to take as they are.
        stands_for: another node whose value a node takes, if there is one.
    """
    known: dict[Node, Any] = dict(given or {})

    def value(of: Node) -> Any:
        if of not in known:
            known[of] = _compute(of)
        return known[of]

    def _compute(of: Node) -> Any:
        other = stands_for(of)
        if other is not None:
            return value(other)
        if of.op == "get_attr":
            module, _, name = str(of.target).rpartition(".")
            return getattr(graph_module.get_submodule(module), name)
        if of.op == "placeholder":
            return _blank(of.meta["val"])
        args, kwargs = map_arg((of.args, of.kwargs), value)
        assert callable(of.target)  # noqa: S101 - the graph is flat: no call_module, call_method
        return of.target(*args, **kwargs)

    result = value(node)
    assert isinstance(result, Tensor)  # noqa: S101 - by contract
    return result.detach().clone()


def _blank(example: Tensor) -> Tensor:
    sizes: list[Any] = list(example.shape)
    shape = [1 if isinstance(size, SymInt) else size for size in sizes]
    return torch.zeros(shape, dtype=example.dtype)


def depends_on_values(node: Node) -> bool:
    """Whether `node` depends on what the inputs hold, not only on their sizes."""
    if node.op == "placeholder":
        return True
    is_size = not isinstance(node.meta.get("val", ()), (Tensor, tuple, list))
    if is_size or operator_name(node) in CREATION:
        return False
    return any(map(depends_on_values, node.all_input_nodes))


def is_constant(node: Node) -> bool:
    """Whether `node` depends on parameters only."""
    return node.op != "placeholder" and all(map(is_constant, node.all_input_nodes))


def fold_constants(graph_module: GraphModule) -> None:
    """Computes, in place, what depends on parameters only.

    The exporter to ONNX folds small constants only, and what it leaves is computed in every step.
    """
    graph, count = graph_module.graph, 0
    known: set[Node] = set()
    for node in graph.nodes:
        if node.op == "get_attr" or (
            node.op == "call_function" and all(n in known for n in node.all_input_nodes)
        ):
            known.add(node)
    for node in list(graph.nodes):
        is_tensor = isinstance(node.target, OpOverload) or node.target is operator.getitem
        is_last = any(user not in known for user in node.users)
        if node.op != "call_function" or node not in known or not is_last or not is_tensor:
            continue
        name = f"constant_{count}"
        count += 1
        graph_module.register_buffer(name, evaluate(graph_module, node))
        with graph.inserting_before(node):
            constant = graph.get_attr(name)
        constant.meta = dict(node.meta)
        node.replace_all_uses_with(constant)
