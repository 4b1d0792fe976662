"""The cells that are measured, as PyTorch modules and as files, and their barest step.

`build` makes a file of one recurrent node and nothing else; `export` makes one of a `Net`, as users
do. `bare` is what onnxruntime itself takes for a step.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

import rnnedge
from rnnedge_runtime import Contract, Port, State
from rnnedge_runtime.contract import METADATA_KEY

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Cell:
    """Layers of one kind, batch first."""

    kind: str
    features: int
    hidden: int
    layers: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.features}→{self.hidden}, {self.layers}"

    @property
    def multiply_adds(self) -> int:
        """Of one frame of one stream; also how many weights it reads."""
        inputs = [self.features, *[self.hidden] * (self.layers - 1)]
        return sum(GATES[self.kind] * self.hidden * (size + self.hidden) for size in inputs)

    def module(self) -> Net:
        """With random weights, the same each time."""
        torch.manual_seed(0)
        kind = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}[self.kind]
        return Net(kind, self.features, self.hidden, self.layers).eval()

    def export(self, folder: Path, *, one_frame: bool = False) -> Path:
        """The module's file; its proof is what the tests are for."""
        name = f"{self.kind}_{self.features}_{self.hidden}_{self.layers}"
        path = folder / f"{name}{'_one_frame' if one_frame else ''}.onnx"
        inputs = {"x": f"float32[batch, time, {self.features}]"}
        rnnedge.export(self.module(), path, inputs=inputs, verify=False, one_frame=one_frame)
        return path


class Net(nn.Module):
    """Takes and returns its state, so that PyTorch can be stepped too."""

    def __init__(self, kind: type[nn.RNNBase], features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.rnn = kind(features, hidden, layers, batch_first=True)

    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, object]:
        y, state = self.rnn(x, state)
        return y, state


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


class Opened(Protocol):
    """What `bare` needs of a model."""

    session: ort.InferenceSession
    contract: Contract

    def initial_state(self, batch: int) -> Mapping[str, np.ndarray]: ...


def bare(model: Opened, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
    """One step on buffers bound beforehand, in turn on two sets of states.

    No input is copied in, no result copied out, nothing is checked: nothing in Python is faster.
    """
    session, contract = model.session, model.contract
    sets = [{n: np.ascontiguousarray(v) for n, v in model.initial_state(1).items()} for _ in "ab"]
    names = [port.name for port in contract.outputs]
    states = {state.input: sets[0][state.name] for state in contract.states}
    results = dict(zip(names, session.run(names, {**inputs, **states}), strict=True))
    bindings = []
    for source, target in (sets, sets[::-1]):
        binding = session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name, array in results.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for state in contract.states:
            binding.bind_cpu_input(state.input, source[state.name])
            out = target[state.name]
            binding.bind_output(state.output, "cpu", 0, out.dtype, out.shape, out.ctypes.data)
        bindings.append(binding)
    turn = 0

    def step() -> object:
        nonlocal turn
        turn ^= 1
        session.run_with_iobinding(bindings[turn])
        return inputs, sets, results  # bound by address: they live as long as the step

    return step


def rounds_us(
    steps: Mapping[str, Callable[[], object]], rounds: int, calls: int
) -> dict[str, list[float]]:
    """Time per step of every round in µs, the ways of running taken by turns."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 3):
        for name, step in steps.items():
            start = time.perf_counter_ns()
            for _ in range(calls):
                step()
            if turn >= 3:  # the first rounds warm up
                taken[name].append((time.perf_counter_ns() - start) / calls / 1000)
    return taken


def median_us(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time per step in µs, the ways of running taken by turns."""
    taken = rounds_us(steps, rounds, calls=100)
    return {name: statistics.median(values) for name, values in taken.items()}
