"""What an exported file holds, read back with onnx."""

import re
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import rnnedge_runtime
from rnnedge_exporters import SpecError, convert
from rnnedge_exporters.errors import LoweringError

X = {"x": "float32[batch, time, 48]"}
GATES = {nn.RNN: "h", nn.GRU: "rzh", nn.LSTM: "ifco"}
"""PyTorch's order of gates, and ONNX's."""
ONNX_GATES = {nn.RNN: "h", nn.GRU: "zrh", nn.LSTM: "iofc"}


class Net(nn.Module):
    """More than 8192 elements in each weight of the layers: what the exporter would not fold."""

    def __init__(self, kind=nn.GRU, hidden=64):
        super().__init__()
        torch.manual_seed(2)
        self.front = nn.Linear(48, 160)
        self.gru = kind(160, hidden, 2, batch_first=True)

    def forward(self, x):
        return self.gru(self.front(x))[0]


def exported(module, inputs=X, **options):
    return onnx.load_model_from_string(convert(module, inputs, **options).to_bytes())


def shape(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def arrays(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize(
    "kind", [nn.GRU, *(pytest.param(kind, marks=pytest.mark.slow) for kind in (nn.LSTM, nn.RNN))]
)
@pytest.mark.slow
def test_large_weights_are_initializers_in_onnxs_order(kind):
    module = Net(kind, hidden=128)
    model = exported(module)
    onnx.checker.check_model(model, full_check=True)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count(kind.__name__) == 2
    assert not {"Split", "Concat", "Slice", "Gather"} & set(operators)
    order = [GATES[kind].index(gate) for gate in ONNX_GATES[kind]]
    found = arrays(model)
    nodes = [node for node in model.graph.node if node.op_type == kind.__name__]
    for layer, node in enumerate(nodes):
        assert list(node.input[1:4]) == [f"gru.{letter}_l{layer}" for letter in "WRB"]
        for letter, weight in (("W", "weight_ih"), ("R", "weight_hh")):
            ours = getattr(module.gru, f"{weight}_l{layer}").detach().numpy()
            expected = ours.reshape(len(order), 128, -1)[order].reshape(ours.shape)
            assert expected.size > 8192
            np.testing.assert_array_equal(found[f"gru.{letter}_l{layer}"][0], expected)


@pytest.mark.slow
def test_names_and_symbols_are_readable():
    model = exported(Net())
    assert [node.name for node in model.graph.node if node.op_type == "GRU"] == [
        "gru/GRU",
        "gru/GRU_2",
    ]
    assert all(re.fullmatch(r"(gru|front)/[A-Z]\w+", node.name) for node in model.graph.node)
    assert {"front.bias", "gru.W_l0", "gru.R_l1"} <= arrays(model).keys()
    assert {value.name: shape(value) for value in (*model.graph.input, *model.graph.output)} == {
        "x": ["batch", "time", 48],
        "output": ["batch", "time", 64],
        **{f"gru.h_l{k}{end}": [1, "batch", 64] for k in (0, 1) for end in ("", ".next")},
    }


@pytest.mark.slow
def test_no_path_of_the_exporting_machine_is_in_the_file():
    data = convert(Net(), X).to_bytes()
    for path in {Path(__file__).parent, Path.cwd(), Path.home(), Path(tempfile.gettempdir())}:
        assert str(path).encode() not in data
    assert b"site-packages" not in data
    assert b".py" not in data


@pytest.mark.slow
def test_the_same_module_gives_the_same_bytes():
    assert convert(Net(), X).to_bytes() == convert(Net(), X).to_bytes()


@pytest.mark.slow
def test_metadata_of_the_module_travels():
    module = Net()
    module.rnnedge_metadata = {"vocabulary": "äöü\n", "empty": ""}
    model = rnnedge_runtime.load(convert(module, X).to_bytes())
    assert model.metadata == {"vocabulary": "äöü\n", "empty": ""}


@pytest.mark.parametrize(
    "metadata", [{"size": 3}, {"rnnedge.contract": "{}"}, {3: "size"}, ["text"], None, "text"]
)
def test_metadata_that_is_not_text_by_name_is_refused(metadata):
    module = Net()
    module.rnnedge_metadata = metadata
    with pytest.raises(SpecError) as error:
        convert(module, X)
    assert error.value.where == "Net.rnnedge_metadata"
    assert "json.dumps" in error.value.fix


@pytest.mark.slow
@pytest.mark.parametrize("opset", range(18, 24))
def test_any_opset_within_the_bounds_is_written_and_runs(opset):
    module = Net(nn.LSTM, hidden=5)
    data = convert(module, X, opset=opset).to_bytes()
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] == [opset]
    x = torch.randn(2, 7, 48)
    with torch.no_grad():
        expected = module.double()(x.double()).numpy()
    got = rnnedge_runtime.load(data).run(x.numpy()).outputs["output"]
    np.testing.assert_allclose(got, expected, atol=2e-6)


@pytest.mark.parametrize("opset", [17, 24, 0, -1])
def test_another_opset_is_refused(opset):
    with pytest.raises(SpecError, match=f"opset {opset} is not between 18 and 23") as error:
        convert(Net(), X, opset=opset)
    assert (error.value.where, error.value.fix) == ("--opset", "leave it at 21")


class OverTime(nn.Module):
    """A GRU over time for each of 5 bands, rows in the order [band, batch], from a learned start.

    The start is one value per band and unit.
    """

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.gru = nn.GRU(2, 4)
        self.start = nn.Parameter(torch.randn(5, 1, 4))

    def forward(self, x):
        batch, time, bands, _ = x.shape
        rows = x.permute(1, 2, 0, 3).reshape(time, bands * batch, 2)
        start = self.start.expand(bands, batch, 4).reshape(1, bands * batch, 4)
        return self.gru(rows, start)[0].reshape(time, bands, batch, 4).permute(2, 0, 1, 3)


@pytest.mark.slow
def test_a_folded_state_and_its_stored_start_run_as_the_module_does():
    module = OverTime().eval()
    data = convert(module, {"x": "float32[batch, time, 5, 2]"}).to_bytes()
    model = rnnedge_runtime.load(data)
    (state,) = model.contract.states
    assert (state.shape, state.batch_axis, state.batch_outer) == ((1, "5*batch", 4), 1, 5)
    assert state.tensor == "rnnedge.tensor.gru.h"
    np.testing.assert_array_equal(
        model.initial_state(1)["gru.h"], module.start.detach().numpy().reshape(1, 5, 4)
    )
    x = torch.randn(3, 9, 5, 2)
    stream = model.stream(3)
    got = np.concatenate([stream.push(part.numpy()) for part in x.split([4, 1, 4], 1)], 1)
    with torch.no_grad():
        expected = module.double()(x.double()).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-6)
    # One stream of the three starts anew; only its rows may change.
    stream.reset(rows=[1])
    again = stream.push(x.numpy())
    np.testing.assert_allclose(again[1], expected[1], atol=1e-6)
    assert np.abs(again[0] - expected[0]).max() > 1e-3


def test_an_operator_that_onnx_lacks_is_named():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    with pytest.raises(LoweringError, match="bessel_j0") as error:
        convert(Odd(), X)
    assert "\n" not in error.value.what
    assert "\x1b" not in error.value.what
