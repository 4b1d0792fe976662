"""Small float files for the tests of quantisation: one layer each, with a contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rnnedge_runtime.contract import METADATA_KEY, Contract, Port, State

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FEATURES, HIDDEN = 24, 32


def recurrent_file(
    kind: str,
    *,
    directions: int = 1,
    has_states: bool = True,
    has_bias: bool = True,
    features: int = FEATURES,
    hidden: int = HIDDEN,
    mode: str = "stream",
    extra: Sequence[str] = (),
    **attributes: Any,
) -> bytes:
    """One recurrent node, ``x [time, batch, features]`` to ``y [time, directions, batch, hidden]``.

    Weights are large enough for gates to open and close. `extra` are names of further inputs of the
    node, which the file stores: ``lengths``, ``P``.
    """
    rng = np.random.default_rng(7)
    gates = GATES[kind]
    arrays = {
        "W": rng.normal(0, 1.5 / np.sqrt(features), (directions, gates * hidden, features)),
        "R": rng.normal(0, 1.0 / np.sqrt(hidden), (directions, gates * hidden, hidden)),
        "B": rng.normal(0, 0.5, (directions, 2 * gates * hidden)),
        "P": rng.normal(0, 0.5, (directions, 3 * hidden)),
    }
    used = {"W", "R", *(["B"] if has_bias else []), *(["P"] if "P" in extra else [])}
    stored = [numpy_helper.from_array(arrays[n].astype(np.float32), n) for n in sorted(used)]
    if "lengths" in extra:
        stored.append(numpy_helper.from_array(np.array([3], np.int32), "lengths"))
    roles = ["h", "c"] if kind == "LSTM" else ["h"]
    shape = (directions, "batch", hidden)
    states = [State(r, r, f"{r}.next", "float32", shape, 1, "hidden") for r in roles]
    states = states if has_states else []
    inputs = ["x", "W", "R", "B" if has_bias else "", "lengths" if "lengths" in extra else ""]
    inputs += roles if has_states else [""] * len(roles)
    if "P" in extra:
        inputs += ["P"]
    if kind == "RNN":
        attributes = {
            "activations": [attributes.pop("activation", "Tanh")] * directions
        } | attributes
    if directions == 2:
        attributes["direction"] = "bidirectional"
    node = helper.make_node(
        kind,
        inputs,
        ["y", *([s.output for s in states] or [f"{r}.next" for r in roles])],
        name="layer",
        hidden_size=hidden,
        **attributes,
    )
    contract = Contract(
        mode,  # type: ignore[arg-type]
        (Port("x", "float32", ("time", "batch", features), 1, 0),),
        (Port("y", "float32", ("time", directions, "batch", hidden), 2, 0),),
        tuple(states) if mode == "stream" else (),
    )
    return file_of([node], stored, contract)


def layer_file(
    nodes: Sequence[onnx.NodeProto],
    arrays: dict[str, np.ndarray],
    x: tuple[Any, ...],
    y: tuple[Any, ...],
    dtype: str = "float32",
) -> bytes:
    """Layers without state between ``x`` and ``y``; the shapes say where batch and time are."""

    def port(name: str, shape: tuple[Any, ...], kind: str) -> Port:
        batch = shape.index("batch") if "batch" in shape else None
        time = shape.index("time") if "time" in shape else None
        return Port(name, kind, shape, batch, time)

    contract = Contract("stream", (port("x", x, dtype),), (port("y", y, "float32"),))
    stored = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    return file_of(nodes, stored, contract)


def file_of(
    nodes: Sequence[onnx.NodeProto], stored: Sequence[onnx.TensorProto], contract: Contract | None
) -> bytes:
    """The bytes of a model."""
    assert contract is not None

    def info(name: str, dtype: str, shape: tuple[Any, ...]) -> onnx.ValueInfoProto:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, kind, list(shape))

    states = contract.states
    graph = helper.make_graph(
        list(nodes),
        "layer",
        [
            *(info(p.name, p.dtype, p.shape) for p in contract.inputs),
            *(info(s.input, s.dtype, s.shape) for s in states),
        ],
        [
            *(info(p.name, p.dtype, p.shape) for p in contract.outputs),
            *(info(s.output, s.dtype, s.shape) for s in states),
        ],
        list(stored),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    return bytes(model.SerializeToString())


def snr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Power of the reference over that of the difference, in dB."""
    error = np.square(candidate.astype(np.float64) - reference).sum()
    return float(10 * np.log10(np.square(reference.astype(np.float64)).sum() / error))
