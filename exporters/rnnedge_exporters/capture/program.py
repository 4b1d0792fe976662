"""Captures a module with batch and time left free."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import SymInt, Tensor, nn
from torch._C import DispatchKey
from torch._ops import OpOverload
from torch.export import Dim, ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import CodeGen
from torch.utils import _pytree as pytree
from torch.utils._sympy.functions import FloorDiv

from rnnedge_exporters.capture.attributes import copied, refuse_hidden_state
from rnnedge_exporters.capture.call import (
    Call,
    inference,
    name_results,
    randomised,
    run,
)
from rnnedge_exporters.capture.checks import (
    FrozenSizeError,
    check_free,
    check_other_sizes,
    refuse_mutation,
    refuse_randomness,
    summary,
)
from rnnedge_exporters.capture.graph import Program, Tied
from rnnedge_exporters.capture.lengths import longer
from rnnedge_exporters.capture.packed import keep_packed
from rnnedge_exporters.capture.recurrent import KeepRecurrent
from rnnedge_exporters.errors import CaptureError, user_lines
from rnnedge_exporters.specs import TensorSpec
from rnnedge_runtime.contract import BATCH, TIME

aten = torch.ops.aten


def capture(module: nn.Module, call: Call) -> Program:
    """Traces forward.

    Args:
        module: not changed; traced in evaluation mode.
        call: how forward is called.

    Raises:
        CaptureError: forward cannot be traced, depends on the example's batch or length, keeps
            state in the module, or uses a recurrent form that is not supported.
    """
    refuse_hidden_state(module, randomised(call.arguments(call.example)))
    module = copied(module)
    with inference(module):
        problem: FrozenSizeError | None = None
        for trial in longer(call):
            if problem is not None and not _runs(module, trial):
                break
            try:
                return _capture(module, trial)
            except FrozenSizeError as error:
                # At this length some axis inside has size 1, perhaps, which the tracer freezes. A
                # graph that grows with the length comes from a loop, which no length helps.
                if problem is not None and error.nodes > problem.nodes:
                    raise _loop(module) from error
                problem = problem or error
        assert problem is not None  # noqa: S101 - else it was returned
        raise problem


def flat_graph(module: nn.Module, call: Call) -> GraphModule:
    """Forward as a graph from the leaves of its arguments to those of its result.

    Args:
        module: not changed; in evaluation mode.
        call: how forward is called; nothing is checked of what it says of results.

    Raises:
        CaptureError: forward cannot be traced.
    """
    with inference(module):
        exported = _export(module, call, unit=1)
    refuse_mutation(exported)
    refuse_randomness(exported)
    return _flat(exported)


def _loop(module: nn.Module) -> CaptureError:
    return CaptureError(
        "forward runs a Python loop over time, which the tracer unrolls to the example's length",
        where=f"{type(module).__name__}.forward",
        fix="use nn.RNN, nn.GRU or nn.LSTM in place of a loop around a cell, or tensor operations",
    )


def _runs(module: nn.Module, call: Call) -> bool:
    try:
        run(module, call.arguments(call.example))
        run(module, call.arguments(call.other))
    except CaptureError:
        return False
    return True


def _capture(module: nn.Module, call: Call) -> Program:
    exported = _export(module, call, unit=1)
    unit = frames_per_group(exported.graph)
    if unit > 1:
        exported = _export(module, call, unit=unit)
    refuse_mutation(exported)
    refuse_randomness(exported)
    program = _named(exported, call)
    try:
        check_free(program)
        check_other_sizes(module, program)
    except FrozenSizeError as error:
        error.nodes = len(program.graph_module.graph.nodes)
        raise
    return program


def _export(module: nn.Module, call: Call, unit: int) -> ExportedProgram:
    """Traces forward with batch and time free.

    First with an axis of its own for each name, which ties the inputs' axes to each other. Where
    forward has a condition on the length that such an axis cannot meet (that a window fits into it,
    say), the tracer is left to find the condition by itself.

    Args:
        module: in evaluation mode.
        call: how forward is called.
        unit: the length is a multiple of it.
    """
    ticks = Dim("ticks", min=2)
    named = {BATCH: Dim(BATCH, min=2), TIME: Dim(TIME, min=2) if unit == 1 else unit * ticks}
    try:
        return _trace(module, call, named)
    except CaptureError:
        raise
    except Exception as first:
        try:
            return _trace(
                module, call, {BATCH: Dim.AUTO, TIME: named[TIME] if unit > 1 else Dim.AUTO}
            )
        except Exception as error:
            raise CaptureError(
                f"torch.export cannot trace forward with free axes: {summary(error)}",
                where=", ".join([f"{type(module).__name__}.forward", *user_lines(error)]),
                fix="where forward uses the value of a length (a Python loop over time, `if` on a "
                "size), write it with tensor operations; or give that axis a fixed size in --input",
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


def frames_per_group(graph: Graph) -> int:
    """The size of the groups into which a view divides the frames; 1 when none does.

    Of a view with an open size the tracer knows only that the length divided by the size is whole
    by chance; told that the length is a multiple, it knows the shape.
    """
    unit = 1
    for node in graph.nodes:
        value = node.meta.get("val")
        if not isinstance(value, Tensor):
            continue
        sizes: list[Any] = list(value.shape)
        for dim in sizes:
            parts: Any = dim.node.expr.atoms(FloorDiv) if isinstance(dim, SymInt) else ()
            for part in parts:
                # (T // (T // 8)) is 8.
                if isinstance(part.args[1], FloorDiv) and part.args[0] == part.args[1].args[0]:
                    unit = math.lcm(unit, int(part.args[1].args[1]))
    return unit


def _named(exported: ExportedProgram, call: Call) -> Program:
    """Gives placeholders and results the names of what they are."""
    flat = _flat(exported)
    placeholders = flat.graph.find_nodes(op="placeholder")
    results = list(flat.graph.output_node().args[0])  # type: ignore[arg-type]
    _, arguments = pytree.tree_unflatten(placeholders, exported.call_spec.in_spec)
    nested = pytree.tree_unflatten(results, exported.call_spec.out_spec)
    outputs, ends = name_results(nested, call)
    states = tuple(
        Tied(name, spec, start, ends[name], initial)
        for state in call.states
        for name, spec, start, initial in zip(
            state.names,
            state.leaves,
            pytree.tree_leaves(arguments[state.parameter]),
            state.starts,
            strict=True,
        )
    )
    return Program(
        graph_module=flat,
        inputs={name: arguments[name] for name in call.inputs},
        outputs=outputs,
        states=states,
        call=call,
    )


def _flat(exported: ExportedProgram) -> GraphModule:
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
