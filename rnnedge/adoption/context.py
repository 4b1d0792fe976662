"""Keeps what a graph wants to see again: the last entries of one run before those of the next.

A model that looks back over k samples but keeps no state for them takes them anew in each run,
before the samples that are new. What its user would have to join by hand becomes a state.
"""

from __future__ import annotations

import onnx
from onnx import helper

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.naming import Named
from rnnedge.adoption.rewrite import all_names, constant, remove_input, rename_reads, value_info
from rnnedge_runtime.contract import State

_END = 2**62


def add_context(model: onnx.ModelProto, port: Named) -> State:
    """Edits `model`: ``port`` takes frames only, and a state holds the context before them.

    Raises:
        AdoptionError: a name that is needed is taken.
    """
    graph, axis = model.graph, port.time_axis
    assert axis is not None  # noqa: S101 - `name_input` refuses a context without time
    state, following = f"{port.name}.context", f"{port.name}.context.next"
    joined = f"{port.name}.with_context"
    taken = {state, following, joined} & all_names(graph)
    if taken:
        raise AdoptionError(
            f"the graph uses the name {sorted(taken)[0]!r} already",
            where=f"--context {port.name}",
            fix="rename that value in the file",
        )
    rename_reads(graph, port.name, joined)
    remove_input(graph, port.name)
    shape = [*port.shape]
    shape[axis] = port.context
    stored: list[int | str | None] = [d if isinstance(d, int) else None for d in shape]
    declared: list[int | str | None] = [d if isinstance(d, int) else None for d in port.shape]
    if port.is_fixed:
        declared[axis] = port.frame
    graph.input.insert(0, value_info(port.name, port.dtype, declared))
    graph.input.append(value_info(state, port.dtype, stored))
    graph.output.append(value_info(following, port.dtype, stored))
    graph.node.insert(
        0, helper.make_node("Concat", [state, port.name], [joined], name=joined, axis=axis)
    )
    bounds = [
        constant(graph, f"{state}.{name}", [value])
        for name, value in (("start", -port.context), ("end", _END), ("axis", axis))
    ]
    graph.node.append(helper.make_node("Slice", [joined, *bounds], [following], name=following))
    batch_axis = next((i for i, dim in enumerate(shape) if isinstance(dim, str)), None)
    return State(state, state, following, port.dtype, tuple(shape), batch_axis, "context")
