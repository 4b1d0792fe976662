"""Traces a module with batch and time left free."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch._C import DispatchKey
from torch._ops import OpOverload
from torch.export import Dim, ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import CodeGen
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.call import (
    Call,
    inference,
)
from rnnedge_exporters.capture.checks import (
    refuse_mutation,
    refuse_randomness,
    summary,
)
from rnnedge_exporters.capture.packed import keep_packed
from rnnedge_exporters.capture.recurrent import KeepRecurrent
from rnnedge_exporters.errors import CaptureError, user_lines
from rnnedge_exporters.specs import TensorSpec
from rnnedge_runtime.contract import BATCH, TIME

aten = torch.ops.aten


def export(
    module: nn.Module, call: Call, unit: int = 1, dims: Mapping[str, Any] | None = None
) -> ExportedProgram:
    """Traces forward with batch and time free.

    First with an axis of its own for each name, which ties the inputs' axes to each other. Where
    forward has a condition on the length that such an axis cannot meet (that a window fits into it,
    say), the tracer is left to find the condition by itself.

    Args:
        module: in evaluation mode.
        call: how forward is called.
        unit: the length is a multiple of it.
        dims: of axes that are not to be free.

    Raises:
        CaptureError: forward cannot be traced.
    """
    ticks = Dim("ticks", min=2)
    named = {BATCH: Dim(BATCH, min=2), TIME: Dim(TIME, min=2) if unit == 1 else unit * ticks}
    open_axes = {BATCH: Dim.AUTO, TIME: named[TIME] if unit > 1 else Dim.AUTO}
    try:
        return _trace(module, call, {**named, **(dims or {})})
    except CaptureError:
        raise
    except Exception as first:
        try:
            return _trace(module, call, {**open_axes, **(dims or {})})
        except Exception as error:
            raise CaptureError(
                f"torch.export cannot trace forward with free axes: {summary(error)}",
                where=", ".join([f"{type(module).__name__}.forward", *user_lines(error)]),
                fix="where forward uses the value of a length (`if` on a size, a loop), write it "
                "with tensor operations; or give that axis a fixed size in --input",
            ) from first


def _trace(module: nn.Module, call: Call, dims: Mapping[str, Any]) -> ExportedProgram:
    def free(spec: TensorSpec) -> dict[int, Any]:
        return {axis: dims[dim] for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}

    shapes: dict[str, Any] = {name: free(spec) for name, spec in call.inputs.items()}
    for state in call.states:
        leaves = [free(leaf) for leaf in state.leaves]
        shapes[state.parameter] = pytree.tree_unflatten(leaves, state.tree)
    arguments = call.arguments(call.example)
    with warnings.catch_warnings(), KeepRecurrent(), keep_packed():
        # nn.RNN lists its own weights anew while traced; other assignments were ruled out.
        warnings.filterwarnings("ignore", message="The tensor attributes? ")
        # A library of torch's own still asks for a class that it has renamed.
        warnings.filterwarnings("ignore", message=".*LeafSpec")
        exported = torch.export.export(
            module, (), kwargs=arguments, dynamic_shapes=shapes, strict=False
        )
        if not any(map(_is_rewritten, _operators(exported))):
            return exported  # without a second trace, which takes longer than the first
        # Decomposes nothing, but writes in place become values: what is written into a view
        # of a tensor would else not be seen where that tensor is read.
        functional: ExportedProgram = exported.run_decompositions({})
        return functional


def _operators(exported: ExportedProgram) -> set[OpOverload]:
    """All that are called, in bodies of loops too."""
    graphs = [m.graph for m in exported.graph_module.modules() if isinstance(m, GraphModule)]
    targets = {node.target for graph in graphs for node in graph.nodes}
    return {target for target in targets if isinstance(target, OpOverload)}


def _is_rewritten(op: OpOverload) -> bool:
    """Whether the second trace writes it anew: it writes in place, or is made of other views."""
    makes_views = any(result.alias_info is not None for result in op._schema.returns)
    is_made_of_others = op.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd)
    return op._schema.is_mutable or (makes_views and is_made_of_others)


def flat_graph(module: nn.Module, call: Call, dims: Mapping[str, Any] | None = None) -> GraphModule:
    """Forward as a graph from the leaves of its arguments to those of its result.

    Args:
        module: not changed; in evaluation mode.
        call: how forward is called; nothing is checked of what it says of results.
        dims: for axes by name, what torch.export is to be told; else they are free.

    Raises:
        CaptureError: forward cannot be traced.
    """
    with inference(module):
        exported = export(module, call, dims=dims)
    refuse_mutation(exported)
    refuse_randomness(exported)
    return flat(exported)


def flat(exported: ExportedProgram) -> GraphModule:
    """A plain signature: one argument per placeholder, a tuple of results."""
    flat = exported.module(check_guards=False)
    graph = flat.graph
    graph.set_codegen(CodeGen())
    output = graph.output_node()
    results = pytree.tree_leaves(output.args[0])
    output.args = (tuple(results),)
    if not all(isinstance(result, Node) for result in results):
        raise CaptureError(
            "forward returns something that is not a tensor",
            where="forward's result",
            fix="return tensors, or tuples, lists or dicts of tensors",
        )
    _drop_copies(graph)
    return GraphModule(flat, graph)


def _drop_copies(graph: Graph) -> None:
    """Without gradients and writes in place, ``detach`` and copies of arguments do nothing."""
    for node in list(graph.nodes):
        source = node.args[0] if node.args else None
        is_copy = node.target is aten.clone.default and getattr(source, "op", "") == "placeholder"
        if isinstance(source, Node) and (is_copy or node.target is aten.detach.default):
            node.replace_all_uses_with(source)
            graph.erase_node(node)
