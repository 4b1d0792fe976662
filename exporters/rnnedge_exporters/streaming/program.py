"""A program that runs in chunks: what each pass receives and adds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy
from torch import SymInt, Tensor
from torch.fx import Graph, GraphModule, Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.axes import Place, size
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE
from rnnedge_runtime.contract import TIME, StateKind


@dataclass(frozen=True)
class StreamState:
    """A tensor that is carried from chunk to chunk.

    Attributes:
        name: as in the contract.
        kind: as in the contract.
        start: the placeholder that takes it.
        end: the node that gives its next value.
        batch: where the batch lies in it.
        initial: its value before the first frame, for a batch of one.
    """

    name: str
    kind: StateKind
    start: Node
    end: Node
    batch: Place | None
    initial: Tensor


@dataclass(frozen=True)
class StreamProgram:
    """A program whose states are arguments and results.

    The graph's results are `outputs`, then the ends of `states`, each in order.
    """

    graph_module: GraphModule
    inputs: Mapping[str, Node]
    outputs: Mapping[str, Node]
    states: tuple[StreamState, ...] = ()


def placeholder_like(graph: Graph, name: str, like: Node) -> Node:
    """A new argument of the shape of `like`, at the graph's insert point."""
    start = graph.placeholder(name)
    start.target = start.name  # fx makes it an identifier that no other argument has
    start.meta["val"] = like.meta["val"]
    return start


def find_symbol(program: Program, name: str) -> sympy.Symbol | None:
    """The symbol of the axis that the inputs' specs call `name`; None when no input has it.

    Raises:
        StreamingError: forward ties the axis to a fixed size.
    """
    for input_name, spec in program.call.inputs.items():
        axis = spec.axis(name)
        if axis is None:
            continue
        dim = program.inputs[input_name].meta["val"].shape[axis]
        if not isinstance(dim, SymInt) or not isinstance(size(dim), sympy.Symbol):
            raise StreamingError(
                f"forward needs the axis {name!r} of {input_name!r} to be {dim}",
                where=f"input {input_name!r}, axis {axis}",
                fix=f"write that size in --input instead of {name!r}",
            )
        return size(dim)
    return None


def time_symbol(program: Program) -> sympy.Symbol:
    """The symbol of the number of frames.

    Raises:
        StreamingError: no input has an axis of time.
    """
    symbol = find_symbol(program, TIME)
    if symbol is None:
        raise StreamingError(
            f"no input has an axis named {TIME!r}, so there is nothing to stream along",
            where=", ".join(f"{n}: {spec}" for n, spec in program.call.inputs.items()),
            fix=f'name it in --input, as in "x: float32[batch, time, 80]"; or {SEQUENCE_MODE}',
        )
    return symbol
