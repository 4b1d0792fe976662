"""Pass: a module that was written to be called in chunks is a stream as it is.

Its author keeps caches of frames, or whatever else, in states that forward takes and returns, or
holds. What it does between them no rule has to know: called once, or in chunks in a row, it has to
give the same.

Rules:
    1. The states are those of forward; they start from zeros, or from what the module held.
    2. Outputs have a fixed number of frames per input frame, in runs of the fewest input frames for
       which that is so.
    3. Chunks in a row give what one call gives, from random states, for chunks of one run and of
       random lengths. Else the module is no stream, for the reason that the analysis found.
    4. Rows of the batch do not see each other, which is decided from the graph.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import cast

import sympy
import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.capture.call import randomised
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.axes import OddAxisError, Place, find_axis, shape_of
from rnnedge_exporters.streaming.clock import Clock, Flow
from rnnedge_exporters.streaming.layer_states import divide_layers
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.program import (
    StreamOutput,
    StreamProgram,
    StreamState,
    find_symbol,
    time_symbol,
    time_unit,
)
from rnnedge_exporters.streaming.rows import find_rows
from rnnedge_runtime.contract import BATCH, TIME

_MOST_FRAMES = 4096
"""Of the fewest that a run may take."""
_RUNS = 24
_ROWS = 2
_TOLERANCE = 1e-4
"""By how much chunks in a row may differ from one call, in parts of the largest value. The proof of
the file is finer; what no state carries differs by more."""


def as_written(program: Program, refusal: StreamingError) -> StreamProgram:
    """A program as a stream without a change.

    Args:
        program: with states that forward takes and returns.
        refusal: why the analysis cannot make a stream of it.

    Raises:
        StreamingError: `refusal`, when chunks in a row differ from one call; or rows are mixed.
    """
    graph_module = program.graph_module
    rows = find_rows(graph_module.graph, find_symbol(program, BATCH))
    sizes = {node: _size_along_time(program, node, refusal) for node in program.outputs.values()}
    multiple = _fewest_frames(program, [s for s in sizes.values() if s is not None], refusal)
    _check_chunks(program, sizes, multiple, refusal)
    # Lowering edits the graph, and the program stays what it is.
    graph_module = GraphModule(program.graph_module, copy.deepcopy(program.graph_module.graph))
    twin = {node.name: node for node in graph_module.graph.nodes}
    outputs = {
        name: _output(twin[node.name], node, sizes[node], multiple)
        for name, node in program.outputs.items()
    }
    states = [
        StreamState(s.name, "user", twin[s.start.name], twin[s.end.name], rows[s.start], s.initial)
        for s in program.states
    ]
    states = divide_layers(graph_module, states)
    results = [*(output.node for output in outputs.values()), *(state.end for state in states)]
    graph_module.graph.output_node().args = (tuple(results),)
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()
    specs = program.call.inputs
    inputs = {name: twin[node.name] for name, node in program.inputs.items()}
    axes = {node: specs[name].axis(TIME) for name, node in inputs.items()}
    return StreamProgram(
        graph_module,
        inputs,
        outputs,
        tuple(states),
        multiple,
        {node: axis for node, axis in axes.items() if axis is not None},
    )


@dataclass(frozen=True)
class _Size:
    """How many frames a result has.

    Attributes:
        axis: on which they lie.
        expression: their number.
        symbol: the tracer's, of which it is made.
        unit: how many input frames the symbol counts as one.
    """

    axis: int
    expression: sympy.Expr
    symbol: sympy.Symbol
    unit: int

    def after(self, frames: int) -> int:
        """For so many input frames, a multiple of the unit."""
        return int(self.expression.subs(self.symbol, frames // self.unit))


def _size_along_time(program: Program, node: Node, refusal: StreamingError) -> _Size | None:
    """None where the result has no frames."""
    symbol = time_symbol(program)
    try:
        axis = find_axis(node, symbol)
    except OddAxisError:
        raise refusal from None
    return None if axis is None else _Size(axis, shape_of(node)[axis], symbol, time_unit(program))


def _fewest_frames(program: Program, sizes: Sequence[_Size], refusal: StreamingError) -> int:
    """Rule 2."""
    unit = time_unit(program)
    for frames in range(unit, _MOST_FRAMES, unit):
        if all(0 < s.after(frames) == s.after(k * frames) / k for s in sizes for k in (2, 3, 5)):
            return frames
    raise refusal


def _output(node: Node, like: Node, size: _Size | None, multiple: int) -> StreamOutput:
    shape = tuple(shape_of(like))
    if size is None:
        return StreamOutput(node, like, shape, Clock(Flow.LATEST))
    rate = Fraction(size.after(multiple), multiple)
    length = Length().then(rate.numerator, 0, rate.denominator)
    return StreamOutput(node, like, shape, Clock(Flow.FRAMES, Place(size.axis), rate, 0, length))


def _check_chunks(
    program: Program, sizes: Mapping[Node, _Size | None], multiple: int, refusal: StreamingError
) -> None:
    """Rule 3."""
    inputs, states = _random(program, _RUNS * multiple)
    whole = _play(program, sizes, inputs, states, [_RUNS * multiple])
    generator = torch.Generator().manual_seed(0)
    for most in (1, 4):
        runs = torch.randint(1, most + 1, (_RUNS,), generator=generator).tolist()
        lengths = [n for n, end in zip(runs, accumulate(runs), strict=True) if end <= _RUNS]
        lengths.append(_RUNS - sum(lengths))
        try:
            chunks = [multiple * n for n in lengths if n]
            parts = _play(program, sizes, inputs, states, chunks)
        except RuntimeError as error:  # a chunk is too short for what forward does with it
            raise _differs(refusal) from error
        if not all(map(_is_close, whole, parts)):
            raise _differs(refusal)


def _differs(refusal: StreamingError) -> StreamingError:
    return StreamingError(
        f"{refusal.what}; and as it is written, it gives something else in chunks than in one call",
        where=refusal.where,
        fix=refusal.fix,
    )


def _random(program: Program, frames: int) -> tuple[dict[Node, Tensor], dict[Node, Tensor]]:
    """Inputs and states by their nodes."""
    sizes, specs = {BATCH: _ROWS, TIME: frames}, program.call.inputs
    inputs = [specs[name].zeros(sizes) for name in program.inputs]
    states = [state.spec.zeros(sizes) for state in program.states]
    drawn = randomised({"inputs": inputs, "states": states})
    starts = (state.start for state in program.states)
    return (
        dict(zip(program.inputs.values(), drawn["inputs"], strict=True)),
        dict(zip(starts, drawn["states"], strict=True)),
    )


def _play(
    program: Program,
    sizes: Mapping[Node, _Size | None],
    inputs: Mapping[Node, Tensor],
    states: Mapping[Node, Tensor],
    lengths: Sequence[int],
) -> list[Tensor]:
    """What a captured program gives for chunks in a row: outputs, joined, and the last states."""
    graph = program.graph_module.graph
    placeholders = graph.find_nodes(op="placeholder")
    results = cast("Sequence[Node]", graph.output_node().args[0])
    axes = {node: program.call.inputs[name].axis(TIME) for name, node in program.inputs.items()}
    parts: dict[Node, list[Tensor]] = {node: [] for node in sizes}
    given, begin = dict(states), 0
    for frames in lengths:
        chunk = {
            node: x if (axis := axes[node]) is None else x.narrow(axis, begin, frames)
            for node, x in inputs.items()
        }
        arguments = [(chunk | given)[node] for node in placeholders]
        with torch.no_grad():
            found = dict(zip(results, program.graph_module(*arguments), strict=True))
        given = {state.start: found[state.end] for state in program.states}
        for node, emitted in parts.items():
            emitted.append(found[node])
        begin += frames
    outputs = [
        emitted[-1] if (size := sizes[node]) is None else torch.cat(emitted, size.axis)
        for node, emitted in parts.items()
    ]
    return [*outputs, *given.values()]


def _is_close(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape:
        return False
    scale = float(ours.abs().max()) if ours.is_floating_point() and ours.numel() else 0.0
    return torch.allclose(ours, theirs, rtol=0.0, atol=_TOLERANCE * max(scale, 1.0), equal_nan=True)
