"""The contract of a streaming program: what the file will promise."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy
from torch import Tensor
from torch.fx import Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.specs import TensorSpec
from rnnedge_exporters.streaming import StreamOutput, StreamProgram, StreamState
from rnnedge_exporters.streaming.axes import shape_of
from rnnedge_exporters.streaming.clock import Flow
from rnnedge_exporters.streaming.program import find_symbol
from rnnedge_runtime.contract import (
    BATCH,
    TENSOR_KEY_PREFIX,
    TIME,
    Contract,
    Dim,
    Mode,
    Port,
    Signal,
    State,
    dim_factor,
)

Symbols = Mapping[sympy.Symbol, str]


def promise(
    program: StreamProgram,
    specs: Mapping[str, TensorSpec],
    symbols: Symbols,
    *,
    mode: Mode,
    source: Mapping[str, Any],
    signal: Signal | None,
) -> Contract:
    """The contract of `program`.

    Args:
        program: as it will be lowered.
        specs: of forward's data arguments, as the user wrote them.
        symbols: the tracer's, and what the contract calls them.
        mode: how it runs.
        source: where it comes from.
        signal: how frames relate to samples.
    """
    return Contract(
        mode=mode,
        inputs=tuple(
            _input(name, node, specs.get(name), symbols) for name, node in program.inputs.items()
        ),
        outputs=tuple(
            _output(name, output, symbols, mode) for name, output in program.outputs.items()
        ),
        states=tuple(_state(state, symbols) for state in program.states),
        source=source,
        signal=signal,
        chunk_multiple=program.multiple,
    )


def symbols_of(program: Program) -> Symbols:
    """The tracer's symbols of batch and time."""
    found = {find_symbol(program, name): name for name in (BATCH, TIME)}
    return {symbol: name for symbol, name in found.items() if symbol is not None}


def graph_shapes(contract: Contract) -> dict[str, tuple[Dim, ...]]:
    """The shapes of the graph's inputs and outputs, by name.

    Frames at another rate than the input's have a symbol of their own, ``1/2*time``; where all runs
    take the same number of frames, that is the size.
    """
    shapes = {
        port.name: tuple(
            _frames(port, dim, contract) if axis == port.time_axis else dim
            for axis, dim in enumerate(port.shape)
        )
        for port in (*contract.inputs, *contract.outputs)
    }
    for state in contract.states:
        shapes |= {state.input: state.shape, state.output: state.shape}
    return shapes


def _frames(port: Port, dim: Dim, contract: Contract) -> Dim:
    if contract.chunk_most == contract.chunk_multiple:
        return int(dim_factor(dim, TIME) * contract.chunk_multiple * port.ratio)
    return f"{port.ratio}*{dim}" if port.ratio != 1 else dim


def initial_tensors(program: StreamProgram) -> dict[str, str]:
    """Initial values that are not one number, as the file's metadata hold them."""
    tensors = {s.name: s.initial for s in program.states if _fill(s.initial) is None}
    return {
        TENSOR_KEY_PREFIX + name: base64.b64encode(_little_endian(tensor)).decode("ascii")
        for name, tensor in tensors.items()
    }


def _input(name: str, node: Node, spec: TensorSpec | None, symbols: Symbols) -> Port:
    if spec is None:
        return _port(name, node, shape_of(node), symbols)
    return Port(name, spec.dtype, spec.shape, spec.axis(BATCH), spec.axis(TIME))


def _port(name: str, node: Node, sizes: Sequence[sympy.Expr], symbols: Symbols) -> Port:
    shape = _shape(sizes, symbols)
    for axis, dim in enumerate(shape):
        if isinstance(dim, str) and dim not in (BATCH, TIME):
            raise StreamingError(
                f"axis {axis} of {name!r} is {dim}: more than one axis is folded into it",
                where=f"{name!r}, shape {list(shape)}",
                fix=f"let forward return it with {BATCH!r} and {TIME!r} as axes of their own",
            )
    return Port(name, _dtype(node), shape, _axis(shape, BATCH), _axis(shape, TIME))


def _output(name: str, output: StreamOutput, symbols: Symbols, mode: Mode) -> Port:
    shape, clock = list(output.shape), output.clock
    if mode == "sequence":
        sizes = _shape(shape, symbols)
        named = tuple(
            dim if isinstance(dim, int) or dim in (BATCH, TIME) else f"{_plain(name)}_{axis}"
            for axis, dim in enumerate(sizes)
        )
        return Port(name, _dtype(output.like), named, _axis(named, BATCH), _axis(named, TIME))
    if clock.flow is Flow.FRAMES and clock.place is not None and not clock.place.is_folded:
        time = next(symbol for symbol, text in symbols.items() if text == TIME)
        shape[clock.place.axis] = time
    port = _port(name, output.like, shape, symbols)
    if clock.flow is not Flow.FRAMES:
        return port
    steps = tuple(clock.length.steps)
    is_plain = all(clock.length(n) == math.floor(n * clock.rate) for n in range(200))
    return Port(
        port.name,
        port.dtype,
        port.shape,
        port.batch_axis,
        port.time_axis,
        ratio=Fraction(clock.rate),
        delay=clock.delay,
        length=() if is_plain else steps,
    )


def _plain(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name)


def _state(state: StreamState, symbols: Symbols) -> State:
    shape = _shape(shape_of(state.start), symbols)
    fill = _fill(state.initial)
    return State(
        name=state.name,
        input=state.name,
        output=f"{state.name}.next",
        dtype=_dtype(state.start),
        shape=shape,
        batch_axis=_axis(shape, BATCH),
        batch_outer=1 if state.batch is None else int(state.batch.outer),
        kind=state.kind,
        fill=0.0 if fill is None else fill,
        tensor=TENSOR_KEY_PREFIX + state.name if fill is None else None,
        delay=state.delay,
    )


def _shape(sizes: Sequence[sympy.Expr], symbols: Symbols) -> tuple[Dim, ...]:
    shape: list[Dim] = []
    for size in sizes:
        named = size.subs({symbol: sympy.Symbol(text) for symbol, text in symbols.items()})
        shape.append(int(named) if named.is_Integer else str(named))
    return tuple(shape)


def _axis(shape: Sequence[Dim], symbol: str) -> int | None:
    return next((axis for axis, dim in enumerate(shape) if dim_factor(dim, symbol)), None)


def _dtype(node: Node) -> str:
    return str(node.meta["val"].dtype).removeprefix("torch.")


def _fill(initial: Tensor) -> float | None:
    """The one value of all elements; None when they differ, or it is infinite."""
    first = initial.flatten()[0]
    is_one = bool((initial == first).all()) and bool(first.isfinite())
    return float(first) if is_one else None


def _little_endian(tensor: Tensor) -> bytes:
    array = tensor.numpy()
    return array.astype(array.dtype.newbyteorder("<")).tobytes()
