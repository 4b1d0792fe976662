"""Models with lookahead and strides: files built by hand, and the modules they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from rnnedge_runtime import Contract, Port, State
from rnnedge_runtime.contract import METADATA_KEY

CHANNELS = 2
_node = helper.make_node


@dataclass(frozen=True)
class Aligned:
    """A model file's contents, and the whole-sequence module."""

    name: str
    contract: Contract
    nodes: list[onnx.NodeProto]
    constants: dict[str, np.ndarray]
    module: nn.Module

    def file(self) -> bytes:
        """The model file."""
        contract = self.contract
        tensors = {port.name: port for port in (*contract.inputs, *contract.outputs)}
        tensors |= {state.input: state for state in contract.states}
        tensors |= {state.output: state for state in contract.states}
        infos = {
            name: helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), list(tensor.shape)
            )
            for name, tensor in tensors.items()
        }
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [infos[tensor.name] for tensor in (*contract.inputs, *contract.states)],
            [infos[port.name] for port in contract.outputs]
            + [infos[state.output] for state in contract.states],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
        return model.SerializeToString()

    def signal(self, batch: int, frames: int, seed: int = 0) -> np.ndarray:
        """Noise, float32 [batch, channels, frames]."""
        rng = np.random.default_rng(seed)
        return rng.standard_normal((batch, CHANNELS, frames), dtype=np.float32)

    def whole(self, x: np.ndarray) -> np.ndarray:
        """What the module gives."""
        with torch.no_grad():
            return self.module(torch.from_numpy(x)).numpy()

    def changed(self, **output: object) -> Aligned:
        """The same, with its output described otherwise."""
        port = replace(self.contract.outputs[0], **output)
        return replace(self, contract=replace(self.contract, outputs=(port,)))


class Alone(nn.Module):
    """One layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Recurrent(nn.Module):
    """A GRU, and every second frame of a convolution and of a skip over it.

    The convolution is padded before the signal only: after it, the GRU goes on without silence.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(CHANNELS, CHANNELS, batch_first=True)
        self.conv = nn.Conv1d(CHANNELS, CHANNELS, 4, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.gru(x.transpose(1, 2))[0].transpose(1, 2)
        y = self.conv(nn.functional.pad(hidden, (1, 0)))
        return y + x[..., ::2][..., : y.shape[2]]


class Lookahead(nn.Module):
    """Two convolutions that see 2 frames ahead each."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2)
        self.second = nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


def _contract(output: Port, *states: State, chunk_multiple: int = 1) -> Contract:
    x = Port("x", "float32", ("batch", CHANNELS, "time"), 0, 2)
    return Contract("stream", (x,), (output,), states, chunk_multiple=chunk_multiple)


def _output(ratio: Fraction | int, delay: int, length: Sequence[tuple[int, int, int]]) -> Port:
    shape = ("batch", CHANNELS, "time")
    return Port("output", "float32", shape, 0, 2, Fraction(ratio), delay, tuple(length))


def _context(name: str, frames: int) -> State:
    shape = ("batch", CHANNELS, frames)
    return State(name, name, f"{name}.next", "float32", shape, 0, "context")


def _remember(name: str, frames: int, source: str) -> list[onnx.NodeProto]:
    """``source`` behind what `name` holds, as ``name.full``; its last frames are kept."""
    return [
        _node("Concat", [name, source], [f"{name}.full"], axis=2),
        _node("Constant", [], [f"{name}.from"], value_ints=[-frames]),
        _node("Constant", [], [f"{name}.to"], value_ints=[2**40]),
        _node("Constant", [], [f"{name}.axis"], value_ints=[2]),
        _node(
            "Slice",
            [f"{name}.full", f"{name}.from", f"{name}.to", f"{name}.axis"],
            [f"{name}.next"],
        ),
    ]


def _arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in module.state_dict().items()}


def lookahead() -> Aligned:
    """Two convolutions that see 2 frames ahead each; zeros around the signal, not around a bias."""
    module = Lookahead()
    nodes = [
        *_remember("c1", 4, "x"),
        _node("Conv", ["c1.full", "first.weight", "first.bias"], ["inner"]),
        _node("Tanh", ["inner"], ["active"]),
        # Frame f of the inner layer is position - 2 + index; only 0 <= f < length is signal.
        _node("Shape", ["x"], ["n"], start=2, end=3),
        _node("Squeeze", ["n"], ["count"]),
        _node("Range", ["zero", "count", "one"], ["index"]),
        _node("Sub", ["pos", "two"], ["begin"]),
        _node("Unsqueeze", ["begin", "axes"], ["begin3"]),
        _node("Add", ["begin3", "index"], ["frame"]),
        _node("GreaterOrEqual", ["frame", "zero"], ["begun"]),
        _node("Unsqueeze", ["len", "axes"], ["len3"]),
        _node("Less", ["frame", "len3"], ["unended"]),
        _node("And", ["begun", "unended"], ["inside"]),
        _node("Where", ["inside", "active", "silence"], ["masked"]),
        *_remember("c2", 4, "masked"),
        _node("Conv", ["c2.full", "second.weight", "second.bias"], ["output"]),
        _node("Add", ["pos", "n"], ["pos.next"]),
        _node("Identity", ["len"], ["len.next"]),
    ]
    constants = _arrays(module) | {"silence": np.zeros((), np.float32)}
    constants |= {"zero": np.array(0), "one": np.array(1), "two": np.array(2)}
    constants["axes"] = np.array([1, 2])
    counts = [
        State("pos", "pos", "pos.next", "int64", ("batch",), 0, "position"),
        State("len", "len", "len.next", "int64", ("batch",), 0, "length", fill=2**62),
    ]
    contract = _contract(_output(1, 4, ()), _context("c1", 4), _context("c2", 4), *counts)

    return Aligned("lookahead", contract, nodes, constants, module)


def stride() -> Aligned:
    """Every second frame of a convolution that sees 2 frames ahead and 1 back."""
    module = Alone(nn.Conv1d(CHANNELS, CHANNELS, 4, stride=2, padding=1))
    nodes = [
        *_remember("c", 3, "x"),
        _node("Conv", ["c.full", "layer.weight", "layer.bias"], ["output"], strides=[2]),
    ]
    output = _output(Fraction(1, 2), 1, [(1, -2, 2), (1, 1, 1)])
    contract = _contract(output, _context("c", 3), chunk_multiple=2)

    return Aligned("stride", contract, nodes, _arrays(module), module)


def upsampling() -> Aligned:
    """Two frames for one, each made from its own and a neighbouring frame."""
    module = Alone(nn.ConvTranspose1d(CHANNELS, CHANNELS, 4, stride=2, padding=1))
    nodes = [
        *_remember("c", 1, "x"),
        # The first and the last two frames are half made: their neighbours are not there.
        _node(
            "ConvTranspose",
            ["c.full", "layer.weight", "layer.bias"],
            ["output"],
            strides=[2],
            pads=[2, 2],
        ),
    ]
    contract = _contract(_output(2, 1, ()), _context("c", 1))

    return Aligned("upsampling", contract, nodes, _arrays(module), module)


def shorter() -> Aligned:
    """An unpadded convolution of 3 frames: 2 frames less come out."""
    module = Alone(nn.Conv1d(CHANNELS, CHANNELS, 3))
    nodes = [
        *_remember("c", 2, "x"),
        _node("Conv", ["c.full", "layer.weight", "layer.bias"], ["output"]),
    ]
    contract = _contract(_output(1, 2, [(1, -2, 1)]), _context("c", 2))

    return Aligned("shorter", contract, nodes, _arrays(module), module)


def recurrent() -> Aligned:
    """A hidden state, a context behind it, and a delay line beside both."""
    module = Recurrent()
    arrays = _arrays(module)
    zrn = [
        np.concatenate([gate[CHANNELS : 2 * CHANNELS], gate[:CHANNELS], gate[2 * CHANNELS :]])
        for gate in (
            arrays[f"gru.{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
    ]
    constants = {name: arrays[name] for name in ("conv.weight", "conv.bias")}
    constants |= {"W": zrn[0][None], "R": zrn[1][None], "B": np.concatenate(zrn[2:])[None]}
    constants |= {"axis": np.array([1]), "from": np.array([0]), "to": np.array([2**40])}
    constants |= {"time": np.array([2]), "step": np.array([2]), "most": np.array([-2])}
    nodes = [
        _node("Transpose", ["x"], ["sequence"], perm=[2, 0, 1]),
        _node(
            "GRU",
            ["sequence", "W", "R", "B", "", "gru.h"],
            ["four", "gru.h.next"],
            hidden_size=CHANNELS,
            linear_before_reset=1,
        ),
        _node("Squeeze", ["four", "axis"], ["three"]),
        _node("Transpose", ["three"], ["hidden"], perm=[1, 2, 0]),
        *_remember("conv.context", 3, "hidden"),
        _node("Conv", ["conv.context.full", "conv.weight", "conv.bias"], ["conv"], strides=[2]),
        *_remember("skip", 2, "x"),
        _node("Slice", ["skip.full", "from", "most", "time", "step"], ["late"]),
        _node("Add", ["conv", "late"], ["output"]),
    ]
    hidden = State("gru.h", "gru.h", "gru.h.next", "float32", (1, "batch", CHANNELS), 1, "hidden")
    output = _output(Fraction(1, 2), 1, [(1, -3, 2), (1, 1, 1)])
    states = (hidden, _context("conv.context", 3), _context("skip", 2))
    contract = _contract(output, *states, chunk_multiple=2)
    return Aligned("recurrent", contract, nodes, constants, module)


torch.manual_seed(1)
ALL = [lookahead(), stride(), upsampling(), shorter(), recurrent()]
