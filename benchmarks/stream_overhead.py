"""What `Stream.push` costs above onnxruntime itself, frame by frame, batch 1.

Three ways to run the same step are timed by turns in one process, so that a busy machine disturbs
them alike; medians over rounds:

* bare: ``session.run_with_iobinding`` on buffers bound once, states in two sets used in turn. No
  input is copied in, no result copied out, nothing is checked. Nothing in Python can be faster.
* push: ``Stream.push``: shape, type and finiteness checked, input copied in, result copied out.
* dict: ``session.run`` with numpy arrays by name, the states fed back by hand.

Run it: ``python benchmarks/stream_overhead.py [--rounds 60] [--threads 1]``
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rnnedge_runtime import Contract, Model, Port, State, load
from rnnedge_runtime.contract import METADATA_KEY

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
CELLS = [
    ("GRU", 8, 8),
    ("LSTM", 16, 32),
    ("GRU", 64, 128),
    ("LSTM", 64, 128),
    ("LSTM", 256, 256),
    ("GRU", 512, 512),
]


def build(kind: str, features: int, hidden: int) -> bytes:
    """One recurrent node and nothing else: ``x`` is ``[time, batch, features]``."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        values = rng.uniform(-1, 1, shape) / np.sqrt(hidden)
        return numpy_helper.from_array(values.astype(np.float32), name)

    gates = GATES[kind]
    roles = ["h", "c"] if kind == "LSTM" else ["h"]
    states = tuple(
        State(role, role, f"{role}.next", "float32", (1, "batch", hidden), 1, "hidden")
        for role in roles
    )
    contract = Contract(
        "stream",
        (Port("x", "float32", ("time", "batch", features), 1, 0),),
        (Port("y", "float32", ("time", 1, "batch", hidden), 2, 0),),
        states,
    )
    attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
    node = helper.make_node(
        kind,
        ["x", "W", "R", "B", "", *roles],
        ["y", *(state.output for state in states)],
        hidden_size=hidden,
        **attributes,
    )
    tensors = [*contract.inputs, *contract.outputs, *states]
    infos = {t.name: helper.make_tensor_value_info(t.name, 1, list(t.shape)) for t in tensors}
    results = [helper.make_tensor_value_info(s.output, 1, list(s.shape)) for s in states]
    graph = helper.make_graph(
        [node],
        "cell",
        [infos["x"], *(infos[state.input] for state in states)],
        [infos["y"], *results],
        [
            weight("W", 1, gates * hidden, features),
            weight("R", 1, gates * hidden, hidden),
            weight("B", 1, 2 * gates * hidden),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    return model.SerializeToString()


def bare(model: Model, x: np.ndarray) -> Callable[[], object]:
    """One step on buffers bound beforehand, in turn on two sets of states."""
    session, contract = model.session, model.contract
    sets = [model.initial_state(1), model.initial_state(1)]
    shape = (x.shape[0], 1, 1, contract.outputs[0].shape[3])
    y = np.zeros(shape, np.float32)
    bindings = []
    for source, target in (sets, sets[::-1]):
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
        for state in contract.states:
            binding.bind_cpu_input(state.input, source[state.name])
            out = target[state.name]
            binding.bind_output(state.output, "cpu", 0, np.float32, out.shape, out.ctypes.data)
        bindings.append(binding)
    turn = 0

    def step() -> object:
        nonlocal turn
        turn ^= 1
        session.run_with_iobinding(bindings[turn])
        return y, sets

    return step


def by_dict(model: Model, x: np.ndarray) -> Callable[[], object]:
    """One step through ``session.run``, the states fed back by hand."""
    session, states = model.session, model.initial_state(1)

    def step() -> object:
        nonlocal states
        y, *finals = session.run(None, {"x": x, **states})
        states = dict(zip(states, finals, strict=True))
        return y

    return step


def median_us(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time per step in µs, the ways of running taken by turns."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 3):
        for name, step in steps.items():
            start = time.perf_counter_ns()
            for _ in range(100):
                step()
            if turn >= 3:  # the first rounds warm up
                taken[name].append((time.perf_counter_ns() - start) / 100 / 1000)
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(f"{'cell':<16}{'frames':>7}{'bare µs':>10}{'push µs':>10}{'dict µs':>10}", end="")
    print(f"{'push-bare':>11}{'push/bare':>11}{'push/dict':>11}")
    for kind, features, hidden in CELLS:
        model = load(build(kind, features, hidden), threads=options.threads)
        for frames in (1, 16):
            x = np.random.default_rng(1).standard_normal((frames, 1, features), dtype=np.float32)
            stream = model.stream()
            steps = {
                "bare": bare(model, x),
                "push": lambda stream=stream, x=x: stream.push(x),
                "dict": by_dict(model, x),
            }
            us = median_us(steps, options.rounds)
            print(f"{f'{kind} {features}→{hidden}':<16}{frames:>7}", end="")
            print(f"{us['bare']:>10.1f}{us['push']:>10.1f}{us['dict']:>10.1f}", end="")
            print(f"{us['push'] - us['bare']:>11.1f}{us['push'] / us['bare']:>11.2f}", end="")
            print(f"{us['push'] / us['dict']:>11.2f}")


if __name__ == "__main__":
    main()
