"""A small module that is proven often, and files of it that are wrong in one way."""

from __future__ import annotations

import functools
from dataclasses import replace

import onnx
import torch
from onnx import helper
from torch import nn

from rnnedge_exporters import convert
from rnnedge_runtime.contract import METADATA_KEY, Contract, read

INPUTS = {"x": "float32[batch, time, 3]"}
PUSHES = 20
"""Frames of the pushes that `wrong_in_some_pushes` is wrong in; the verifier's own are others."""


class Net(nn.Module):
    """An LSTM and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.rnn = nn.LSTM(3, 6, batch_first=True)
        self.out = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(x)[0])


@functools.cache
def right() -> bytes:
    """The module's file."""
    return convert(Net(), INPUTS).to_bytes()


@functools.cache
def whole() -> bytes:
    """The module's file for whole sequences."""
    return convert(Net(), INPUTS, mode="sequence").to_bytes()


def other_weights() -> Net:
    """A module whose second output is 1e-4 off."""
    module = Net()
    with torch.no_grad():
        module.out.bias[1] += 1e-4
    return module


def without_cell() -> bytes:
    """The cell state is left out: every run starts it from zero."""
    model = onnx.load_model_from_string(right())
    node = next(node for node in model.graph.node if node.op_type == "LSTM")
    node.input[6] = ""
    for values, name in ((model.graph.input, "rnn.c"), (model.graph.output, "rnn.c.next")):
        values.remove(next(value for value in values if value.name == name))
    contract = contract_of(model)
    states = tuple(state for state in contract.states if state.name != "rnn.c")
    return with_contract(model, replace(contract, states=states))


def wrong_in_some_pushes() -> bytes:
    """One is added to the output of runs of `PUSHES` frames."""
    model = onnx.load_model_from_string(right())
    maker = next(node for node in model.graph.node if "output" in node.output)
    maker.output[0] = "honest"
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["x"], ["frames"], start=1, end=2),
            helper.make_node("Constant", [], ["wrong"], value_ints=[PUSHES]),
            helper.make_node("Equal", ["frames", "wrong"], ["is_wrong"]),
            helper.make_node("Cast", ["is_wrong"], ["extra"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Add", ["honest", "extra"], ["output"]),
        ]
    )
    return model.SerializeToString()


def contract_of(model: onnx.ModelProto) -> Contract:
    """What the file promises."""
    return read(next(p.value for p in model.metadata_props if p.key == METADATA_KEY))


def with_contract(model: onnx.ModelProto, contract: Contract) -> bytes:
    """The file with another promise."""
    for prop in model.metadata_props:
        if prop.key == METADATA_KEY:
            prop.value = contract.to_json()
    return model.SerializeToString()
