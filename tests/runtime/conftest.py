"""Model files for the runtime's tests: small graphs built by hand, next to their PyTorch twins."""

from __future__ import annotations

import base64
import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from rnnedge_runtime import Contract, Model, Port, State, load
from rnnedge_runtime.contract import METADATA_KEY, TENSOR_KEY_PREFIX

# Tests run side by side on few cores; torch's threads would only wait for each other.
torch.set_num_threads(1)

BuildFile = Callable[..., bytes]


def build_file(
    contract: Contract,
    nodes: Sequence[onnx.NodeProto],
    initializers: Mapping[str, np.ndarray] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
    with_contract: bool = True,
) -> bytes:
    """An ONNX file whose inputs and outputs are exactly those of the contract."""

    def info(name: str, tensor: Port | State) -> onnx.ValueInfoProto:
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
        return helper.make_tensor_value_info(name, dtype, list(tensor.shape))

    graph = helper.make_graph(
        list(nodes),
        "test",
        [info(p.name, p) for p in contract.inputs] + [info(s.input, s) for s in contract.states],
        [info(p.name, p) for p in contract.outputs] + [info(s.output, s) for s in contract.states],
        [numpy_helper.from_array(value, name) for name, value in (initializers or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    entries = dict(metadata or {})
    if with_contract:
        entries[METADATA_KEY] = contract.to_json()
    for key, value in (tensors or {}).items():
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        entries[key] = base64.b64encode(little.tobytes()).decode()
    helper.set_model_props(model, entries)
    return model.SerializeToString()


@dataclass(frozen=True)
class Twin:
    """A recurrent network twice: as a model file, and as the PyTorch module it came from."""

    data: bytes
    module: torch.nn.RNNBase
    features: int

    @functools.cache  # noqa: B019 - as few as there are twins
    def load(self) -> Model:
        return load(self.data)

    def signal(self, batch: int, frames: int, seed: int = 0) -> np.ndarray:
        """Noise, float32 [batch, frames, features]."""
        rng = np.random.default_rng(seed)
        return rng.standard_normal((batch, frames, self.features), dtype=np.float32)

    def torch(self, x: np.ndarray, dtype: torch.dtype) -> dict[str, np.ndarray]:
        """Output and final states of PyTorch in `dtype`, as float64."""
        module = copy.deepcopy(self.module).to(dtype)
        with torch.no_grad():
            y, final = module(torch.from_numpy(x).to(dtype))
        finals = final if isinstance(final, tuple) else (final,)
        result = {"y": y.double().numpy()}
        for role, tensor in zip("hc", finals, strict=False):
            for layer, value in enumerate(tensor):
                result[f"rnn.{layer}.{role}"] = value[None].double().numpy()
        return result

    def assert_as_good_as_torch(self, x: np.ndarray, found: Mapping[str, np.ndarray]) -> None:
        """At most 4 times PyTorch's own float32 error, both against float64."""
        truth = self.torch(x, torch.float64)
        single = self.torch(x, torch.float32)
        assert set(found) == set(truth)
        for name, value in found.items():
            own = np.abs(single[name] - truth[name]).max(initial=0)
            floor = 4 * np.finfo(np.float32).eps * np.abs(truth[name]).max(initial=1)
            error = np.abs(value - truth[name]).max(initial=0)
            assert error <= max(4 * own, floor), f"{name}: {error} against torch's {own}"


# PyTorch's gate order to ONNX's: LSTM ifgo -> iofc, GRU rzn -> zrh.
_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


def _reordered(kind: str, weight: torch.Tensor) -> np.ndarray:
    blocks = np.split(weight.detach().numpy(), len(_ORDER[kind]))
    return np.concatenate([blocks[gate] for gate in _ORDER[kind]])


@functools.cache
def _twin(kind: str, features: int, hidden: int, layers: int, seed: int) -> Twin:
    torch.manual_seed(seed)
    module = getattr(torch.nn, kind)(features, hidden, layers, batch_first=True)
    roles = "hc" if kind == "LSTM" else "h"
    attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
    nodes = [helper.make_node("Transpose", ["x"], ["seq0"], perm=[1, 0, 2])]
    weights: dict[str, np.ndarray] = {"axis": np.array([1], np.int64)}
    states = []
    for k in range(layers):
        parameters = module.state_dict()
        weights[f"W{k}"] = _reordered(kind, parameters[f"weight_ih_l{k}"])[None]
        weights[f"R{k}"] = _reordered(kind, parameters[f"weight_hh_l{k}"])[None]
        biases = [_reordered(kind, parameters[f"bias_{part}_l{k}"]) for part in ("ih", "hh")]
        weights[f"B{k}"] = np.concatenate(biases)[None]
        names = [f"rnn.{k}.{role}" for role in roles]
        nodes += [
            helper.make_node(
                kind,
                [f"seq{k}", f"W{k}", f"R{k}", f"B{k}", "", *names],
                [f"y4_{k}", *(f"{name}.next" for name in names)],
                name=f"rnn_{k}",
                hidden_size=hidden,
                **attributes,
            ),
            helper.make_node("Squeeze", [f"y4_{k}", "axis"], [f"seq{k + 1}"]),
        ]
        kinds = {"h": "hidden", "c": "cell"}
        states += [
            State(n, n, f"{n}.next", "float32", (1, "batch", hidden), 1, kinds[n[-1]])
            for n in names
        ]
    nodes.append(helper.make_node("Transpose", [f"seq{layers}"], ["y"], perm=[1, 0, 2]))
    contract = Contract(
        mode="stream",
        inputs=(Port("x", "float32", ("batch", "time", features), 0, 1),),
        outputs=(Port("y", "float32", ("batch", "time", hidden), 0, 1),),
        states=tuple(states),
    )
    return Twin(build_file(contract, nodes, weights), module, features)


@pytest.fixture(scope="session")
def make_file() -> BuildFile:
    """Builds a file from a contract and nodes: see `build_file`."""
    return build_file


@pytest.fixture(scope="session")
def make_twin() -> Callable[..., Twin]:
    """Builds a twin: ``make_twin(kind, features, hidden, layers, seed)``."""
    return _twin


@pytest.fixture(scope="session")
def gru() -> Twin:
    return _twin("GRU", features=3, hidden=5, layers=1, seed=0)


@pytest.fixture(scope="session")
def lstm() -> Twin:
    return _twin("LSTM", features=3, hidden=5, layers=2, seed=0)


def port(name: str, *shape: int | str, dtype: str = "float32", **fields: Any) -> Port:
    """A port whose axes follow from the symbols in its shape."""
    return Port(name, dtype, shape, _axis(shape, "batch"), _axis(shape, "time"), **fields)


def state(name: str, *shape: int | str, dtype: str = "float32", **fields: Any) -> State:
    """A state whose axes follow from the symbols in its shape."""
    kind = fields.pop("kind", "buffer")
    return State(name, name, f"{name}.next", dtype, shape, _axis(shape, "batch"), kind, **fields)


def _axis(shape: Sequence[int | str], symbol: str) -> int | None:
    places = [i for i, dim in enumerate(shape) if str(dim).split("*")[-1] == symbol]
    return places[0] if places else None


@dataclass(frozen=True)
class Make:
    """Short ways to make contracts in tests."""

    port = staticmethod(port)
    state = staticmethod(state)
    file = staticmethod(build_file)
    node = staticmethod(helper.make_node)

    @staticmethod
    def sum_contract(**changes: Any) -> Contract:
        """``y`` is the running sum of ``x``; ``total`` carries it on."""
        fields: dict[str, Any] = {
            "mode": "stream",
            "inputs": (port("x", "batch", "time", 2),),
            "outputs": (port("y", "batch", "time", 2),),
            "states": (state("total", "batch", 2),),
        }
        return Contract(**(fields | changes))

    @staticmethod
    def sum_nodes() -> list[onnx.NodeProto]:
        node = helper.make_node
        return [
            node("CumSum", ["x", "one"], ["sums"]),
            node("Unsqueeze", ["total", "ones"], ["before"]),
            node("Add", ["sums", "before"], ["y"]),
            node("ReduceSum", ["x", "ones"], ["added"], keepdims=0),
            node("Add", ["total", "added"], ["total.next"]),
        ]

    @staticmethod
    def sum_constants() -> dict[str, np.ndarray]:
        return {"one": np.array(1, np.int64), "ones": np.array([1], np.int64)}

    @classmethod
    def sum_file(cls, graph: Contract | None = None, **changes: Any) -> bytes:
        """The running sum's file, with its contract changed and its graph left as it was."""
        honest = graph or cls.sum_contract()
        model = onnx.load_from_string(build_file(honest, cls.sum_nodes(), cls.sum_constants()))
        helper.set_model_props(model, {METADATA_KEY: cls.sum_contract(**changes).to_json()})
        return model.SerializeToString()

    @staticmethod
    def key(name: str) -> str:
        return TENSOR_KEY_PREFIX + name


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture(scope="session")
def running_sum(make: Make) -> Model:
    return load(make.sum_file())
