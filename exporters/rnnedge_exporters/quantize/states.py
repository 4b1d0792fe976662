"""Pass: states in float16 or int8, for those who ask: half or a quarter of the bytes of a stream.

Rules:
    1. States of float32 become ``float16`` by `Cast`, or ``int8`` in steps of a size for each
       channel, behind the input and before the output; the network between computes as it did.
    2. In int8, 127 stands for the largest value of the channel that calibration saw, and a quarter
       more: states go on for longer than the data. A channel that was only zero has the largest
       step of the others. What lies beyond, and in float16 beyond 65,504, is cut off. Zero stays
       zero, so that a stream that starts from zeros starts from the same.
    3. Initial values are rounded in the same way. What stays as it is: a state whose initial value
       cannot be told so, as the maximum of nothing, -1e9 or less; running totals, which would stop
       growing as soon as a frame adds less than half a step; positions and lengths.
    4. What comes back in the next run has been rounded: a recurrent state gathers this error, and
       the report of `rnnedge quantize` tells whether it grows. What moves a cell by less than half
       a step per frame does not move it at all.
    5. Steps are multiplied and divided by as vectors: onnxruntime's operators that quantise by
       channel go number by number where channels are the last axis.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.errors import QuantizeError
from rnnedge_exporters.quantize.writer import Writer
from rnnedge_runtime.arrays import shape_of
from rnnedge_runtime.contract import BATCH, TENSOR_KEY_PREFIX, Contract, State

States: TypeAlias = Literal["float", "float16", "int8"]
_MOST = 127
_ROOM = 1.25
_HALVES = {"lowest": float(np.finfo(np.float16).min), "highest": float(np.finfo(np.float16).max)}
_FAR = 4.0
"""A start so many times beyond what calibration saw would make steps too large for the rest."""


def channel_axis(state: State) -> int:
    """The first axis that is neither the batch nor of size 1; the last where there is none."""
    free = [n for n, size in enumerate(state.shape) if n != state.batch_axis and size != 1]
    return free[0] if free else len(state.shape) - 1


def by_channel(state: State, values: np.ndarray) -> np.ndarray:
    """The largest along `channel_axis`, ``[channels]``."""
    others = tuple(axis for axis in range(values.ndim) if axis != channel_axis(state))
    return np.asarray(values.max(axis=others, initial=0))


def store_states(
    model: ir.Model, contract: Contract, kind: States, sizes: Mapping[str, np.ndarray]
) -> Contract:
    """Edits `model` in place.

    Args:
        model: of a stream.
        contract: of it.
        kind: ``float16`` or ``int8``.
        sizes: what calibration saw, by name of the state; for ``int8``.

    Returns:
        The contract with the states' new element types. The steps of a state of int8 are stored in
        the file as ``INPUT/stored.step``, by the name of the graph input.

    Raises:
        QuantizeError: calibration has not seen a state, or no state is a float.
    """
    kept = []
    for state in contract.states:
        first = _initial(model, state)
        if _stays(state, first, kind, sizes):
            kept.append(state)
            continue
        step = None if kind == "float16" else _step(state, first, sizes[state.name])
        _enter(model.graph, state, step)
        _leave(model.graph, state, step)
        kept.append(_retold(model, state, _rounded(state, first, step)))
    if kept == list(contract.states):
        raise QuantizeError(
            "it has no state of float32 that could be stored in fewer bits",
            where="the contract's 'states'",
            fix="leave out --states",
        )
    return replace(contract, states=tuple(kept))


def _initial(model: ir.Model, state: State) -> np.ndarray:
    """Of one row: the contract's shape, with one row."""
    shape = shape_of(state, {BATCH: 1})
    if state.tensor is None:
        return np.full(shape, state.fill, np.float32)
    data = base64.b64decode(model.metadata_props[state.tensor])
    return np.frombuffer(data, "<f4").reshape(shape)


def _stays(state: State, first: np.ndarray, kind: States, sizes: Mapping[str, np.ndarray]) -> bool:
    """Rule 3, and whether calibration tells what rule 2 needs."""
    if state.dtype != "float32" or state.kind == "buffer" or not np.isfinite(first).all():
        return True
    largest = float(np.abs(first).max(initial=0))
    if kind == "float16":
        return largest > _HALVES["highest"]
    seen = sizes.get(state.name)
    what = ""
    if seen is None:
        what = "how large they become is not known"
    elif not np.isfinite(seen).all():
        what = "with the data that were given, this one became infinite"
    elif not (seen.any() or largest):
        what = "with the data that were given, this one was zero throughout"
    if seen is None or what:
        raise QuantizeError(
            f"states in int8 need calibration: {what}",
            where=f"state {state.name!r}",
            fix="give typical inputs: --calibrate FILE; float16 needs none",
        )
    return largest > _FAR * float(seen.max()) > 0


def _step(state: State, first: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Rule 2, ``[channels]``."""
    largest = np.maximum(_ROOM * seen, by_channel(state, np.abs(first)))
    usable = largest > np.finfo(np.float32).tiny
    return np.asarray(np.where(usable, largest, largest.max()) / _MOST, np.float32)


def _rounded(state: State, values: np.ndarray, step: np.ndarray | None) -> np.ndarray:
    if step is None:
        return values.astype(np.float16)
    whole = np.clip(np.rint(values / _along(state, step)), -_MOST, _MOST)
    return np.asarray(whole, np.int8)


def _along(state: State, step: np.ndarray) -> np.ndarray:
    """In a shape that multiplies channel by channel."""
    channels = channel_axis(state)
    return step.reshape([-1 if axis == channels else 1 for axis in range(len(state.shape))])


def _retold(model: ir.Model, state: State, first: np.ndarray) -> State:
    """Rule 3: the contract's entry; what is not one number is stored in the new element type."""
    dtype = first.dtype.name
    if state.tensor is None and (first == first.flat[0]).all():
        return replace(state, dtype=dtype, fill=float(first.flat[0]))
    key = state.tensor or f"{TENSOR_KEY_PREFIX}{state.name}"
    little = first.astype(first.dtype.newbyteorder("<")).tobytes()
    model.metadata_props[key] = base64.b64encode(little).decode("ascii")
    return replace(state, dtype=dtype, fill=0.0, tensor=key)


def _enter(graph: ir.Graph, state: State, step: np.ndarray | None) -> None:
    """Rule 1, behind the input."""
    place, old = next((n, v) for n, v in enumerate(graph.inputs) if v.name == state.input)
    new = ir.Value(name=state.input, shape=old.shape, type=_type(step))
    old.name = f"{state.input}.before"
    writer = Writer(graph, graph[0], f"{state.input}/stored")
    if step is None:
        value = writer.one("Cast", new, to=ir.DataType.FLOAT)
    else:
        one, zero, steps = _constants(graph, state, step)
        value = writer.one("Mul", writer.one("DequantizeLinear", new, one, zero), steps)
    value.type, value.shape = old.type, old.shape
    ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
    graph.inputs[place] = new


def _leave(graph: ir.Graph, state: State, step: np.ndarray | None) -> None:
    """Rule 1, before the output."""
    place, old = next((n, v) for n, v in enumerate(graph.outputs) if v.name == state.output)
    old.name = f"{state.output}.float"
    end = ir.node("Identity", [old])
    graph.append(end)
    writer = Writer(graph, end, f"{state.output}/stored")
    if step is None:
        low, high = (writer.constant(n, np.array(v, np.float32)) for n, v in _HALVES.items())
        new = writer.one("Cast", writer.one("Clip", old, low, high), to=ir.DataType.FLOAT16)
    else:
        one, zero, steps = _constants(graph, state, step)
        new = writer.one("QuantizeLinear", writer.one("Div", old, steps), one, zero)
    graph.remove(end)
    new.name, new.shape, new.type = state.output, old.shape, _type(step)
    graph.outputs[place] = new


def _type(step: np.ndarray | None) -> ir.TensorType:
    return ir.TensorType(ir.DataType.FLOAT16 if step is None else ir.DataType.INT8)


def _constants(
    graph: ir.Graph, state: State, step: np.ndarray
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """1 and 0, which make integers of rounded floats, and the steps; stored once for each state."""
    writer = Writer(graph, graph[0], f"{state.input}/stored")
    one = writer.constant("one", np.array(1, np.float32))
    zero = writer.constant("zero", np.array(0, np.int8))
    return one, zero, writer.constant("step", _along(state, step))
