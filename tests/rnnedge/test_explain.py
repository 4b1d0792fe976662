"""The explanation names the module where a wrong file, or a wrong stream, parts from the truth."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

import rnnedge
from rnnedge.parity.explain import explain
from rnnedge_exporters import convert
from rnnedge_exporters.streaming.windows import Window
from rnnedge_runtime.contract import read
from rnnedge_runtime.providers import SessionRequest

X = {"x": "float32[batch, time, 6]"}


class Net(nn.Module):
    """A causal convolution, two recurrent layers, a look ahead, and the skip that waits for it."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv1d(6, 12, 3)
        self.norm = nn.LayerNorm(12)
        self.gru = nn.GRU(12, 8, 2, batch_first=True)
        self.ahead = nn.Conv1d(8, 8, 5, padding=2)
        self.out = nn.Linear(8, 4)

    def forward(self, x):
        y = nn.functional.pad(x.transpose(1, 2), (2, 0))
        y = self.norm(torch.relu(self.conv(y)).transpose(1, 2))
        y = self.gru(y)[0]
        z = self.ahead(y.transpose(1, 2)).transpose(1, 2)
        return self.out(y + torch.sigmoid(z))


@pytest.fixture(scope="module")
def exported():
    return convert(Net(), X).to_bytes()


def explained(file, module=None):
    """As `verify` asks, without its checks: they take longer."""
    data = file if isinstance(file, bytes) else file.SerializeToString()
    stored = {e.key: e.value for e in onnx.load_model_from_string(data).metadata_props}
    return explain(
        data,
        module or Net(),
        read(stored["rnnedge.contract"]),
        inputs=X,
        states=(),
        request=SessionRequest(),
        seed=0,
        index_bound=2,
    )


def node_of(model, name):
    return next(node for node in model.graph.node if node.name == name)


@pytest.mark.slow
def test_a_right_file_has_nothing_to_explain(exported):
    found = explained(exported)
    assert (found.first, found.causes, found.module, found.obstacle) == (None, (), None, "")
    assert found.lines()[0].startswith("no tensor differs")
    # All operators of forward, and every value that the file computes from the signal.
    assert found.compared_streaming == 17
    assert found.compared_file > 30


@pytest.mark.parametrize(
    ("parameter", "weight"),
    [
        pytest.param("conv.bias", "conv.bias", marks=pytest.mark.slow),
        pytest.param("norm.weight", "norm.weight", marks=pytest.mark.slow),
        ("gru.weight_hh_l1", "gru.R_l1"),
        pytest.param("ahead.weight", "ahead.weight", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_a_file_made_from_other_weights_in_one_layer_names_the_layer(exported, parameter, weight):
    other = Net()
    with torch.no_grad():
        other.get_parameter(parameter).add_(0.01)
    found = explained(exported, other)
    layer = parameter.partition(".")[0]
    assert found.module == found.first.module == layer
    assert found.first.stage == "file"
    assert [(cause.kind, cause.name, cause.module) for cause in found.causes] == [
        ("weight", weight, layer)
    ]
    assert found.causes[0].text == (
        f"initializer {weight} differs from the module's by up to 0.01: "
        "the file was made from other weights"
    )


@pytest.mark.slow
def test_an_edited_initializer_names_module_operator_node_and_line(exported):
    model = onnx.load_model_from_string(exported)
    tensor = next(t for t in model.graph.initializer if t.name == "gru.W_l0")
    values = numpy_helper.to_array(tensor).copy()
    values[0, 5, 3] += 0.25
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    found = explained(model)
    assert found.first.module == "gru"
    assert found.first.onnx_node.startswith("gru/GRU (GRU)")
    assert "y = self.gru(y)[0]" in found.first.where
    assert "test_explain.py:" in found.first.where
    assert "rnnedge.gru" in found.first.where
    assert "initializer gru.W_l0 differs from the module's by up to 0.25" in str(found)


@pytest.mark.slow
def test_a_context_that_is_cut_by_one_names_the_convolution(exported):
    model = onnx.load_model_from_string(exported)
    place = next(i for i, n in enumerate(model.graph.node) if n.name == "ahead/Conv")
    constants = {"one": [1], "end": [2**60], "axis": [2], "pads": [0, 0, 1, 0, 0, 0]}
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    model.graph.node[place].input[0] = "shorter"
    nodes = [
        helper.make_node("Slice", ["ahead/Concat", "one", "end", "axis"], ["cut"], "cut"),
        helper.make_node("Pad", ["cut", "pads"], ["shorter"], "shorter"),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(place, node)
    found = explained(model)
    assert found.first.module == "ahead"
    assert found.first.onnx_node == "cut (Slice), shorter (Pad), ahead/Conv (Conv)"
    assert (
        "node ahead/Conv reads 'shorter'; in an export of the module it reads 'ahead/Concat'"
        in (str(found))
    )


@pytest.mark.slow
def test_a_wrong_initial_state_is_told(exported):
    model = onnx.load_model_from_string(exported)
    entry = next(e for e in model.metadata_props if e.key == "rnnedge.contract")
    contract = read(entry.value)
    states = [replace(s, fill=0.5) if s.name == "gru.h_l1" else s for s in contract.states]
    entry.value = replace(contract, states=tuple(states)).to_json()
    found = explained(model)
    assert found.module == "gru"
    assert [cause.text for cause in found.causes] == [
        "state gru.h_l1 starts from other values than the module's, by up to 0.5"
    ]


@pytest.mark.slow
def test_a_state_that_is_never_written_names_its_owner(exported):
    model = onnx.load_model_from_string(exported)
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == "conv.context.next":
                node.output[index] = "lost"
    model.graph.node.append(
        helper.make_node("Identity", ["conv.context"], ["conv.context.next"], "kept")
    )
    found = explained(model)
    assert (found.module, found.first.tensor) == ("conv", "conv.context.next")


@pytest.mark.slow
def test_a_wrong_delay_in_the_contract_is_told(exported):
    model = onnx.load_model_from_string(exported)
    entry = next(e for e in model.metadata_props if e.key == "rnnedge.contract")
    contract = read(entry.value)
    entry.value = replace(contract, outputs=(replace(contract.outputs[0], delay=1),)).to_json()
    found = explained(model)
    assert found.first is None
    assert found.causes[0].text == ("the contract says delay 1 of output output; an export says 2")


@pytest.mark.slow
def test_a_wrong_streaming_pass_is_told_from_a_wrong_file(exported, monkeypatch):
    kept = Window.write

    def forgetful(self, node, writer):
        """A pass with a bug: the window moves by one frame."""
        if "ahead" in str(node.meta["nn_module_stack"]):
            made = kept(self, node, writer)
            return writer.call(node, torch.ops.aten.roll.default, made, [1], [2])
        return kept(self, node, writer)

    monkeypatch.setattr(Window, "write", forgetful)
    found = explained(exported)
    assert found.first.stage == "streaming"
    assert found.module == "ahead"
    assert "self.ahead(y.transpose(1, 2))" in found.first.where
    assert "please report this with the module" in str(found)


@pytest.mark.slow
def test_a_module_that_cannot_be_exported_is_an_obstacle(exported):
    class Wrong(Net):
        def forward(self, x):
            return super().forward(x).softmax(1)

    found = explained(exported, Wrong())
    assert found.obstacle.startswith("the module cannot be exported: this cannot stream: softmax")


@pytest.mark.slow
def test_the_explanation_is_part_of_the_report_and_of_its_json():
    module = nn.GRU(6, 4, batch_first=True)
    file = convert(module, {"input": "float32[batch, time, 6]"}).to_bytes()
    with torch.no_grad():
        module.bias_hh_l0.add_(0.1)
    report = rnnedge.verify(file, module, explain=True)
    assert not report.passed
    assert report.explanation.first.stage == "file"
    assert "the file was made from other weights" in str(report)
    told = json.loads(json.dumps(report.to_dict()))["explanation"]
    assert told["causes"][0]["kind"] == "weight"
    assert told["first"]["module"] == report.explanation.module
