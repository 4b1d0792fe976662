"""Small ONNX files with contracts, and two ways to call the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnedge.cli import main
from rnnedge_runtime.contract import METADATA_KEY, Contract, Port, Signal, State

if TYPE_CHECKING:
    import torch

FLOAT = TensorProto.FLOAT
FEATURES, HIDDEN = 3, 4


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Call(Protocol):
    def __call__(self, *words: object) -> Ended: ...


class Spawn(Protocol):
    def __call__(
        self, *words: object, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]: ...


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """Training writes into the working folder, and sets the number of torch's threads."""
    import torch

    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command inside this process."""

    def run(*words: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def spawn() -> Spawn:
    """Runs a command as its own process, as a user does."""

    def run(
        *words: object, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "rnnedge", *map(str, words)],
            input=stdin,
            capture_output=True,
            env=os.environ | (env or {}),
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def gru() -> torch.nn.GRU:
    """The PyTorch layer whose weights `gru_file` holds."""
    import torch

    torch.manual_seed(0)
    return torch.nn.GRU(FEATURES, HIDDEN, batch_first=True)


@pytest.fixture(scope="session")
def gru_file(gru: torch.nn.GRU, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``x [batch, time, 3] -> y [batch, time, 4]``, state ``gru.h``."""
    path = tmp_path_factory.mktemp("gru") / "gru.onnx"
    return save(path, gru_graph(gru), gru_contract())


@pytest.fixture(scope="session")
def whole_file(gru_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same operator over whole sequences, both directions: no state."""
    model = onnx.load(gru_file)
    node = next(node for node in model.graph.node if node.op_type == "GRU")
    node.input[5] = ""  # from zero, on every run
    del model.graph.input[1], model.graph.output[1]
    path = tmp_path_factory.mktemp("whole") / "whole.onnx"
    contract = Contract("sequence", gru_contract().inputs, gru_contract().outputs)
    return save(path, model.graph, contract)


@pytest.fixture(scope="session")
def leak_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples at 16 kHz, ``[batch, time]`` in and out: ``y[t] = tanh(x[t] + y[t-1] / 2)``."""
    path = tmp_path_factory.mktemp("leak") / "leak.onnx"
    return save(path, leak_graph(), leak_contract())


@pytest.fixture(scope="session")
def pair_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two inputs and two outputs: ``sum = a + b`` per frame, ``total`` over all frames so far."""
    path = tmp_path_factory.mktemp("pair") / "pair.onnx"
    return save(path, *pair_model())


@pytest.fixture
def bare_file(gru_file: Path, tmp_path: Path) -> Path:
    """The GRU without its contract."""
    return with_contract(gru_file, tmp_path / "bare.onnx", None)


@pytest.fixture
def rewrite(tmp_path: Path) -> Callable[[Path, str], Path]:
    """Copies a file with another contract text."""

    def copy(path: Path, contract: str) -> Path:
        return with_contract(path, tmp_path / "rewritten.onnx", contract)

    return copy


@pytest.fixture
def frames() -> np.ndarray:
    """20 frames for the GRU, one stream, without a batch axis."""
    return np.random.default_rng(1).standard_normal((20, FEATURES), dtype=np.float32)


@pytest.fixture
def frames_file(frames: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "frames.npy"
    np.save(path, frames)
    return path


@pytest.fixture
def gru_outputs(gru: torch.nn.GRU, frames: np.ndarray) -> np.ndarray:
    """What PyTorch gives for `frames`."""
    import torch

    with torch.no_grad():
        return gru(torch.from_numpy(frames)[None])[0][0].numpy()


def save(path: Path, graph: onnx.GraphProto, contract: Contract) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def with_contract(source: Path, path: Path, contract: str | None) -> Path:
    model = onnx.load(source)
    del model.metadata_props[:]
    if contract is not None:
        helper.set_model_props(model, {METADATA_KEY: contract})
    onnx.save(model, path)
    return path


def gru_contract() -> Contract:
    return Contract(
        mode="stream",
        inputs=(Port("x", "float32", ("batch", "time", FEATURES), 0, 1),),
        outputs=(Port("y", "float32", ("batch", "time", HIDDEN), 0, 1),),
        states=(
            State("gru.h", "gru.h", "gru.h.next", "float32", (1, "batch", HIDDEN), 1, "hidden"),
        ),
        source={"class": "torch.nn.GRU", "opset": 22},
        parity={"passed": True, "checks": [{"name": "chunks", "passed": True, "detail": ""}]},
    )


def gru_graph(gru: torch.nn.GRU) -> onnx.GraphProto:
    """PyTorch stacks the gates as reset, update, new; ONNX as update, reset, hidden."""

    def onnx_order(parameter: torch.Tensor) -> np.ndarray:
        reset, update, new = parameter.detach().numpy().reshape(3, HIDDEN, -1)
        return np.concatenate([update, reset, new])

    bias = [onnx_order(gru.bias_ih_l0).ravel(), onnx_order(gru.bias_hh_l0).ravel()]
    nodes = [
        helper.make_node("Transpose", ["x"], ["x.time"], perm=[1, 0, 2]),
        helper.make_node(
            "GRU",
            ["x.time", "W", "R", "B", "", "gru.h"],
            ["steps", "gru.h.next"],
            name="gru",
            hidden_size=HIDDEN,
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["steps", "axis"], ["y.time"]),
        helper.make_node("Transpose", ["y.time"], ["y"], perm=[1, 0, 2]),
    ]
    return helper.make_graph(
        nodes,
        "gru",
        [value("x", ["batch", "time", FEATURES]), value("gru.h", [1, "batch", HIDDEN])],
        [value("y", ["batch", "time", HIDDEN]), value("gru.h.next", [1, "batch", HIDDEN])],
        [
            numpy_helper.from_array(onnx_order(gru.weight_ih_l0)[None], "W"),
            numpy_helper.from_array(onnx_order(gru.weight_hh_l0)[None], "R"),
            numpy_helper.from_array(np.concatenate(bias)[None], "B"),
            numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )


def leak_contract() -> Contract:
    return Contract(
        mode="stream",
        inputs=(Port("x", "float32", ("batch", "time"), 0, 1),),
        outputs=(Port("y", "float32", ("batch", "time"), 0, 1),),
        states=(State("h", "h", "h.next", "float32", (1, "batch", 1), 1, "hidden"),),
        signal=Signal(sample_rate_hz=16_000, hop_samples=1, window_samples=1),
    )


def leak_graph() -> onnx.GraphProto:
    nodes = [
        helper.make_node("Transpose", ["x"], ["x.time"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["x.time", "last"], ["x.features"]),
        helper.make_node(
            "RNN", ["x.features", "W", "R", "", "", "h"], ["steps", "h.next"], hidden_size=1
        ),
        helper.make_node("Squeeze", ["steps", "one_and_last"], ["y.time"]),
        helper.make_node("Transpose", ["y.time"], ["y"], perm=[1, 0]),
    ]
    return helper.make_graph(
        nodes,
        "leak",
        [value("x", ["batch", "time"]), value("h", [1, "batch", 1])],
        [value("y", ["batch", "time"]), value("h.next", [1, "batch", 1])],
        [
            numpy_helper.from_array(np.full((1, 1, 1), 1.0, np.float32), "W"),
            numpy_helper.from_array(np.full((1, 1, 1), 0.5, np.float32), "R"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(np.array([1, 3]), "one_and_last"),
        ],
    )


def pair_model() -> tuple[onnx.GraphProto, Contract]:
    shape: list[Any] = ["batch", "time", 2]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("ReduceSum", ["sum", "time_axis"], ["of_chunk"], keepdims=0),
        helper.make_node("Add", ["s", "of_chunk"], ["s.next"]),
        helper.make_node("Identity", ["s.next"], ["total"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pair",
        [value("a", shape), value("b", shape), value("s", ["batch", 2])],
        [value("sum", shape), value("total", ["batch", 2]), value("s.next", ["batch", 2])],
        [numpy_helper.from_array(np.array([1]), "time_axis")],
    )
    contract = Contract(
        mode="stream",
        inputs=(
            Port("a", "float32", tuple(shape), 0, 1),
            Port("b", "float32", tuple(shape), 0, 1),
        ),
        outputs=(
            Port("sum", "float32", tuple(shape), 0, 1),
            Port("total", "float32", ("batch", 2), 0, None),
        ),
        states=(State("s", "s", "s.next", "float32", ("batch", 2), 0, "buffer"),),
    )
    return graph, contract


def value(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, shape)
