"""Pass: states in float16 or int8, for those who ask: half or a quarter of the bytes of a stream.

Rules:
    1. States of float32 become ``float16`` by `Cast`, or ``int8`` by a step for each channel,
       behind the input and before the output; the network between computes as it did.
    2. The largest int8, 127, stands for the largest value of the channel that calibration saw, and
       a quarter more: states go on for longer than the data. What lies beyond is cut off. Zero
       stays zero, so that a stream that starts from zeros starts from the same.
    3. Initial values are rounded in the same way. A state that starts at infinity, as the maximum
       of nothing, stays in float, and positions and lengths, whole numbers, stay as they are.
    4. What comes back in the next run has been rounded: a recurrent state gathers this error, and
       the report of `rnnedge quantize` tells whether it grows. What moves a cell by less than half
       a step per frame does not move it at all in int8.
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
        the file as ``NAME.step``.

    Raises:
        QuantizeError: calibration has not seen a state, or no state is a float.
    """
    kept = []
    for state in contract.states:
        first = _initial(model, state)
        if state.dtype != "float32" or not np.isfinite(first).all():
            kept.append(state)
            continue
        step = None if kind == "float16" else _step(state, first, sizes)
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


def _step(state: State, first: np.ndarray, sizes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rule 2."""
    seen = sizes.get(state.name)
    if seen is None:
        raise QuantizeError(
            "states in int8 need calibration: how large they become is not known",
            where=f"state {state.name!r}",
            fix="give typical inputs: --calibrate FILE; float16 needs none",
        )
    largest = np.maximum(_ROOM * seen, by_channel(state, np.abs(first)))
    usable = largest > np.finfo(np.float32).tiny
    return np.asarray(np.where(usable, largest / _MOST, 1), np.float32)


def _rounded(state: State, values: np.ndarray, step: np.ndarray | None) -> np.ndarray:
    if step is None:
        return values.astype(np.float16)
    along = [-1 if axis == channel_axis(state) else 1 for axis in range(values.ndim)]
    whole = np.clip(np.rint(values / step.reshape(along)), -_MOST, _MOST)
    return np.asarray(whole, np.int8)


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
    node = _between(graph, state, new, step, "DequantizeLinear", ir.DataType.FLOAT)
    value = node.outputs[0]
    value.name, value.type, value.shape = f"{state.input}.float", old.type, old.shape
    old.name = f"{state.input}.before"
    graph.insert_before(graph[0], node)
    ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
    graph.inputs[place] = new


def _leave(graph: ir.Graph, state: State, step: np.ndarray | None) -> None:
    """Rule 1, before the output."""
    place, old = next((n, v) for n, v in enumerate(graph.outputs) if v.name == state.output)
    old.name = f"{state.output}.float"
    node = _between(graph, state, old, step, "QuantizeLinear", ir.DataType.FLOAT16)
    new = node.outputs[0]
    new.name, new.shape, new.type = state.output, old.shape, _type(step)
    graph.append(node)
    graph.outputs[place] = new


def _type(step: np.ndarray | None) -> ir.TensorType:
    return ir.TensorType(ir.DataType.FLOAT16 if step is None else ir.DataType.INT8)


def _between(
    graph: ir.Graph,
    state: State,
    value: ir.Value,
    step: np.ndarray | None,
    kind: str,
    to: ir.DataType,
) -> ir.Node:
    if step is None:
        return ir.node("Cast", [value], {"to": int(to)}, name=f"{value.name}.Cast")
    constants = Writer(graph, graph[0], state.name)
    zero = constants.constant("zero", np.zeros(step.shape, np.int8))
    given = [value, constants.constant("step", step), zero]
    return ir.node(kind, given, {"axis": channel_axis(state)}, name=f"{value.name}.{kind}")
