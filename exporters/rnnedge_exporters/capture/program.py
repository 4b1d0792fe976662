"""Captures a module with batch and time left free."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from rnnedge_exporters.capture.lengths import longer
from rnnedge_exporters.capture.packed import keep_packed
from rnnedge_exporters.capture.recurrent import KeepRecurrent
from rnnedge_exporters.errors import CaptureError, first_lines, user_lines
from rnnedge_exporters.specs import TensorSpec
from rnnedge_runtime.contract import BATCH, TIME


@dataclass(frozen=True)
class Tied:
    """A state that forward takes and returns, as nodes of the graph."""

    name: str
    spec: TensorSpec
    start: Node
    end: Node


@dataclass(frozen=True)
class Program:
    """A module as one flat graph.

    Attributes:
        graph_module: its placeholders are the leaves of the arguments; each node's
            ``meta["val"]`` tells its shape, with symbols for batch and time.
        inputs: the data placeholders by name.
        outputs: the data results by name.
        states: the states that forward takes and returns.
        call: how forward is called.
    """

    graph_module: GraphModule
    inputs: Mapping[str, Node]
    outputs: Mapping[str, Node]
    states: tuple[Tied, ...]
    call: Call


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


def _loop(module: nn.Module) -> CaptureError:
    return CaptureError(
        "forward runs a Python loop over time, which the tracer unrolls to the example's length",
        where=f"{type(module).__name__}.forward",
        fix="use nn.RNN, nn.GRU or nn.LSTM in place of a loop around a cell, or tensor operations",
    )


class FrozenSizeError(CaptureError):
    """The graph is right at the example's sizes only.

    Attributes:
        nodes: of the graph.
    """

    nodes = 0


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
    _refuse_mutation(exported)
    _refuse_randomness(exported)
    program = _named(exported, call)
    try:
        _check_free(program)
        _check_other_sizes(module, program)
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
                f"torch.export cannot trace forward with free axes: {_summary(error)}",
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


def _summary(error: Exception) -> str:
    return f"{type(error).__name__}: {first_lines(error, 3)}"


def _refuse_randomness(exported: ExportedProgram) -> None:
    for node in exported.graph.nodes:
        tags = getattr(node.target, "tags", ())
        scopes = node.meta.get("nn_module_stack") or {"": ("", "")}
        is_idle_dropout = "dropout" in str(node.target) and node.args[-1] is False
        if "scaled_dot_product_attention" in str(node.target):
            dropout = node.args[4] if len(node.args) > 4 else node.kwargs.get("dropout_p", 0.0)
            is_idle_dropout = dropout == 0.0
        if torch.Tag.nondeterministic_seeded in tags and not is_idle_dropout:
            raise CaptureError(
                f"forward draws random numbers ({node.target})",
                where=next(reversed(scopes.values()))[0] or "forward",
                fix="pass training=self.training to dropout; take noise as an argument of forward",
            )


def _refuse_mutation(exported: ExportedProgram) -> None:
    signature = exported.graph_signature
    mutated = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
    if mutated:
        raise CaptureError(
            "forward changes tensors in place that outlive the call",
            where=", ".join(mutated),
            fix="take such a tensor as an argument of forward and return the new one",
        )


def _named(exported: ExportedProgram, call: Call) -> Program:
    """Gives placeholders and results the names of what they are."""
    flat = exported.module(check_guards=False)
    graph = flat.graph
    # A plain signature: one argument per placeholder, a tuple of results.
    graph.set_codegen(CodeGen())
    placeholders, output = graph.find_nodes(op="placeholder"), graph.output_node()
    results = pytree.tree_leaves(output.args[0])
    output.args = (tuple(results),)
    if not all(isinstance(result, Node) for result in results):
        raise CaptureError(
            "forward returns something that is not a tensor",
            where="forward's result",
            fix="return tensors, or tuples, lists or dicts of tensors",
        )
    _, arguments = pytree.tree_unflatten(placeholders, exported.call_spec.in_spec)
    nested = pytree.tree_unflatten(results, exported.call_spec.out_spec)
    outputs, ends = name_results(nested, call)
    states = tuple(
        Tied(name, spec, start, ends[name])
        for state in call.states
        for name, spec, start in zip(
            state.names,
            state.leaves,
            pytree.tree_leaves(arguments[state.parameter]),
            strict=True,
        )
    )
    return Program(
        graph_module=GraphModule(flat, graph),
        inputs={name: arguments[name] for name in call.inputs},
        outputs=outputs,
        states=states,
        call=call,
    )


def _close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


def _refuse_unequal(module: nn.Module, result: list[Tensor]) -> None:
    """Two runs on the same input differed."""
    where = f"{type(module).__name__}.forward, run twice in evaluation mode"
    if any(bool(tensor.isnan().any()) for tensor in result):
        raise CaptureError(
            "forward gives NaN for random input of unit variance",
            where=where,
            fix="check the weights for NaN and infinity, and forward for divisions by zero",
        )
    raise CaptureError(
        "forward is not deterministic: the same input gave two results",
        where=where,
        fix="pass training=self.training to dropout; take noise as an argument of forward",
    )


def _check_free(program: Program) -> None:
    """The tracer can tie an axis to the example's size, or to a range, without a word."""
    for name, spec in program.call.inputs.items():
        value = program.inputs[name].meta["val"]
        for axis, dim in enumerate(spec.shape):
            if not isinstance(dim, str):
                continue
            given = value.shape[axis]
            if not isinstance(given, SymInt) or not given.node.expr.free_symbols:
                raise FrozenSizeError(
                    f"forward specialized the axis {dim!r} of {name!r} to {given}, the example's",
                    where=f"input {name!r}, axis {axis}",
                    fix="look in forward for a size that is fixed while tracing (a buffer of fixed "
                    "length, int(x.shape[1]), numpy, a length of 1) and write it with tensor "
                    "operations; or give that axis a fixed size in --input",
                )
            _check_bound(program, name, dim, given)


def _check_bound(program: Program, name: str, dim: str, given: SymInt) -> None:
    env = given.node.shape_env
    for symbol in given.node.expr.free_symbols:
        upper = env.var_to_range[symbol].upper if symbol in env.var_to_range else None
        if upper is not None and upper.is_Integer and int(upper) < 2**31:
            raise FrozenSizeError(
                f"forward works for an axis {dim!r} of at most {upper} in {name!r}",
                where=f"input {name!r}",
                fix="a stream has no end: look for a table of positions, or a buffer, of that "
                "length (compute positions instead of looking them up), and for padding to a "
                "length that is rounded up (leave it out, or pad before the module is called)",
            )


def _check_other_sizes(module: nn.Module, program: Program) -> None:
    """torch.export can freeze a size without a word; another size brings it to light."""
    arguments = randomised(program.call.arguments(program.call.other))
    expected, again = (pytree.tree_leaves(run(module, arguments)) for _ in range(2))
    if not _close(expected, again):
        _refuse_unequal(module, expected)
    try:
        results = program.graph_module(*pytree.tree_leaves(arguments))
        problem = "" if _close(results, expected) else "its result differs"
    except Exception as error:
        problem = _summary(error)
    if problem:
        raise FrozenSizeError(
            f"the captured graph is right at the example's size only: {problem}",
            where=f"{type(module).__name__}.forward, captured at {program.call.example}, "
            f"run at {program.call.other}",
            fix="look in forward for a size that is fixed while tracing (a buffer of fixed "
            "length, int(x.shape[1]), numpy) and write it with tensor operations",
        )
