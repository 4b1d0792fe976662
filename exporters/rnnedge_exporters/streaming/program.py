"""A program that runs in chunks: what each pass receives and adds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sympy
from torch import SymInt, Tensor
from torch.fx import Graph, GraphModule, Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.axes import Place, size
from rnnedge_exporters.streaming.clock import Clock
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
        delay: by how many input frames it lags behind the module's own state of that name.
    """

    name: str
    kind: StateKind
    start: Node
    end: Node
    batch: Place | None
    initial: Tensor
    delay: int = 0

    def ending(self, end: Node) -> StreamState:
        """The same state, followed by `end`."""
        return replace(self, end=end)


@dataclass(frozen=True)
class StreamOutput:
    """A result of a run.

    Attributes:
        node: gives it.
        like: the node of the whole-sequence program; it tells the element type.
        shape: the tracer's, of the whole sequence; what it says of time is the chunk's there.
        clock: its rate, delay and length; a delay is never below zero.
    """

    node: Node
    like: Node
    shape: tuple[sympy.Expr, ...]
    clock: Clock


@dataclass(frozen=True)
class Twin:
    """A tensor with frames of the whole-sequence program, and what gives the same frames in chunks.

    Attributes:
        whole: the node of the whole-sequence program.
        stream: the name of the streaming program's node.
        clock: of `whole`.
        spare: so many frames at its end are not read, and may differ.
    """

    whole: Node
    stream: str
    clock: Clock
    spare: int


@dataclass(frozen=True)
class StreamProgram:
    """A program whose states are arguments and results.

    The graph's results are `outputs`, then the ends of `states`, each in order.

    Attributes:
        graph_module: takes `inputs` and the starts of `states`.
        inputs: by name.
        outputs: by name.
        states: what is carried from run to run.
        multiple: a run takes a number of frames that is a multiple of it.
        time_axes: of those inputs that have one.
        clocks: as JSON, for the file; empty for whole sequences.
        twins: in the order in which they are computed.
    """

    graph_module: GraphModule
    inputs: Mapping[str, Node]
    outputs: Mapping[str, StreamOutput]
    states: tuple[StreamState, ...] = ()
    multiple: int = 1
    time_axes: Mapping[Node, int] = field(default_factory=dict)
    clocks: str = ""
    twins: tuple[Twin, ...] = ()


def placeholder_like(graph: Graph, name: str, like: Node) -> Node:
    """A new argument of the shape of `like`, at the graph's insert point."""
    start = graph.placeholder(name)
    start.target = start.name  # fx makes it an identifier that no other argument has
    start.meta["val"] = like.meta["val"]
    return start


def find_symbol(program: Program, name: str) -> sympy.Symbol | None:
    """The symbol in the size of the axis that the inputs' specs call `name`.

    None when no input has such an axis.

    Raises:
        StreamingError: forward ties the axis to a fixed size, or two inputs' axes are not one.
    """
    found: dict[sympy.Symbol, str] = {}
    for input_name, spec in program.call.inputs.items():
        axis = spec.axis(name)
        if axis is None:
            continue
        dim = program.inputs[input_name].meta["val"].shape[axis]
        symbols = size(dim).free_symbols if isinstance(dim, SymInt) else set()
        if len(symbols) != 1:
            raise StreamingError(
                f"forward needs the axis {name!r} of {input_name!r} to be {dim}",
                where=f"input {input_name!r}, axis {axis}",
                fix=f"write that size in --input instead of {name!r}",
            )
        found[symbols.pop()] = input_name
    if len(found) > 1:
        raise StreamingError(
            f"forward does not tie the axes {name!r} of its inputs to each other",
            where=f"inputs {', '.join(map(repr, found.values()))}",
            fix="give a fixed size to the axis that is not meant",
        )
    return next(iter(found), None)


def time_unit(program: Program) -> int:
    """How many input frames the symbol of time counts as one: 8 where the length is ``8*s``."""
    for name, spec in program.call.inputs.items():
        axis = spec.axis(TIME)
        if axis is not None:
            expression = size(program.inputs[name].meta["val"].shape[axis])
            return int(expression.as_coeff_Mul()[0])
    return 1


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
