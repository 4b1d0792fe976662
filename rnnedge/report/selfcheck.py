"""Does streaming work on this machine? One GRU, streamed, against its formula in numpy."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rnnedge_runtime.contract import METADATA_KEY, Contract, Port, State

INPUT, HIDDEN, FRAMES = 3, 4, 5
TOLERANCE = 1e-5


def check_streaming() -> str | None:
    """Streams a GRU frame by frame and compares every output with the formula.

    Returns:
        None if all is well, else what is not, without any path of this machine.
    """
    rng = np.random.default_rng(0)
    weights = [
        rng.standard_normal(shape, dtype=np.float32) / 2
        for shape in ((1, 3 * HIDDEN, INPUT), (1, 3 * HIDDEN, HIDDEN), (1, 6 * HIDDEN))
    ]
    frames = rng.standard_normal((FRAMES, 1, INPUT), dtype=np.float32)
    try:
        got = _stream(weights, frames)
    except Exception as error:
        return f"{type(error).__name__}: {getattr(error, 'what', error)}"
    worst = float(np.abs(got - _formula(weights, frames)).max())
    return None if worst <= TOLERANCE else f"the outputs are off by {worst:.1e}"


def _stream(weights: list[np.ndarray], frames: np.ndarray) -> np.ndarray:
    import rnnedge_runtime

    model = rnnedge_runtime.load(_model(weights).SerializeToString())
    stream = model.stream()
    return np.concatenate([stream.push(frames[t : t + 1]) for t in range(len(frames))])


def _model(weights: list[np.ndarray]) -> onnx.ModelProto:
    contract = Contract(
        mode="stream",
        inputs=(Port("x", "float32", ("time", "batch", INPUT), 1, 0),),
        outputs=(Port("y", "float32", ("time", "batch", HIDDEN), 1, 0),),
        states=(State("h", "h", "h.next", "float32", (1, "batch", HIDDEN), 1, "hidden"),),
    )
    nodes = [
        helper.make_node(
            "GRU",
            ["x", "W", "R", "B", "", "h"],
            ["steps", "h.next"],
            hidden_size=HIDDEN,
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["steps", "directions"], ["y"]),
    ]
    stored = [numpy_helper.from_array(w, name) for w, name in zip(weights, "WRB", strict=True)]
    stored.append(numpy_helper.from_array(np.array([1]), "directions"))
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "check",
        [
            helper.make_tensor_value_info("x", kind, ["time", "batch", INPUT]),
            helper.make_tensor_value_info("h", kind, [1, "batch", HIDDEN]),
        ],
        [
            helper.make_tensor_value_info("y", kind, ["time", "batch", HIDDEN]),
            helper.make_tensor_value_info("h.next", kind, [1, "batch", HIDDEN]),
        ],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    return model


def _formula(weights: list[np.ndarray], frames: np.ndarray) -> np.ndarray:
    """PyTorch's GRU; ONNX stores the gates as update z, reset r, new h, and the biases W then R."""
    w, r, bias = (weight[0].astype(np.float64) for weight in weights)
    hidden = np.zeros((1, HIDDEN))
    outputs = []
    for x in frames.astype(np.float64):
        from_input = np.split(x @ w.T + bias[: 3 * HIDDEN], 3, axis=1)
        from_state = np.split(hidden @ r.T + bias[3 * HIDDEN :], 3, axis=1)
        update = _sigmoid(from_input[0] + from_state[0])
        reset = _sigmoid(from_input[1] + from_state[1])
        new = np.tanh(from_input[2] + reset * from_state[2])
        hidden = (1 - update) * new + update * hidden
        outputs.append(hidden)
    return np.stack(outputs)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))
