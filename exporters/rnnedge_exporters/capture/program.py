"""Captures a module with batch and time left free."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

from torch import SymInt, Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Graph
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
)
from rnnedge_exporters.capture.graph import Program, Tied
from rnnedge_exporters.capture.lengths import longer
from rnnedge_exporters.capture.loops import rolled
from rnnedge_exporters.capture.trace import export, flat
from rnnedge_exporters.errors import CaptureError


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
                if problem is None and (program := _without_loops(module, call)) is not None:
                    return program
                # At this length some axis inside has size 1, perhaps, which the tracer freezes. A
                # graph that grows with the length comes from a loop, which no length helps.
                if problem is not None and error.nodes > problem.nodes:
                    raise _loop(module) from error
                problem = problem or error
        assert problem is not None  # noqa: S101 - else it was returned
        raise problem


def _without_loops(module: nn.Module, call: Call) -> Program | None:
    """The program of a module whose loops over time can be recurrences."""
    twin = rolled(module, call)
    if twin is not None:
        with inference(twin), suppress(CaptureError):
            return _capture(twin, call, module)
    return None


def _loop(module: nn.Module) -> CaptureError:
    return CaptureError(
        "forward runs a Python loop over time, which the tracer unrolls to the example's length, "
        "and whose iterations are not alike",
        where=f"{type(module).__name__}.forward",
        fix="let each iteration do the same with its frame and with what the one before it left; "
        "or make one iteration a module that takes a frame and a state and returns an output and "
        "the next state, and export that; or call it in rnnedge.scan",
    )


def _runs(module: nn.Module, call: Call) -> bool:
    try:
        run(module, call.arguments(call.example))
        run(module, call.arguments(call.other))
    except CaptureError:
        return False
    return True


def _capture(module: nn.Module, call: Call, judge: nn.Module | None = None) -> Program:
    """Traces and checks; against another module than is traced, if it is given."""
    exported = export(module, call)
    unit = frames_per_group(exported.graph)
    if unit > 1:
        exported = export(module, call, unit)
    refuse_mutation(exported)
    refuse_randomness(exported)
    program = _named(exported, call)
    try:
        check_free(program)
        check_other_sizes(judge or module, program)
    except FrozenSizeError as error:
        error.nodes = len(program.graph_module.graph.nodes)
        raise
    return program


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
    graph_module = flat(exported)
    placeholders = graph_module.graph.find_nodes(op="placeholder")
    results = list(graph_module.graph.output_node().args[0])  # type: ignore[arg-type]
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
        graph_module=graph_module,
        inputs={name: arguments[name] for name in call.inputs},
        outputs=outputs,
        states=states,
        call=call,
    )
