"""Files that run one frame at a time; tests are named after the rules of `one_frame.py`."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import rnnedge_runtime
from rnnedge_exporters import SpecError, convert


class Net(nn.Module):
    """A recurrence of its own between layers; its frames lie on the axis that is given."""

    def __init__(self, dim):
        super().__init__()
        torch.manual_seed(5)
        self.a, self.u, self.b = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.dim = dim

    def forward(self, x):
        h, ys = x.new_zeros(x.shape[1 - self.dim], 6), []
        for frame in self.a(x).unbind(self.dim):
            h = torch.tanh(frame + self.u(h))
            ys.append(h)
        return self.b(torch.stack(ys, self.dim))


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.cell = nn.LSTMCell(4, 6)

    def forward(self, x, hc=None):
        h, c = self.cell(x, hc)
        return h * 2, (h, c)


MODULES = {
    "batch first": (lambda: Net(1), "float32[batch, time, 4]"),
    "time first": (lambda: Net(0), "float32[time, batch, 4]"),
    "cell": (Cell, "float32[batch, 4]"),
}


def operators(converted):
    return [node.op_type for node in converted.model.graph]


@pytest.mark.parametrize(
    "name", ["cell", *(pytest.param(n, marks=pytest.mark.long) for n in MODULES if n != "cell")]
)
@pytest.mark.slow
def test_the_step_is_in_the_graph_and_gives_what_the_scan_gives(name):
    make, spec = MODULES[name]
    scanned = convert(make().eval(), {"x": spec})
    stepped = convert(make().eval(), {"x": spec}, one_frame=True)
    assert "Scan" in operators(scanned)
    assert "Scan" not in operators(stepped)
    onnx.checker.check_model(onnx.load_from_string(stepped.to_bytes()), full_check=True)
    assert [s.name for s in stepped.contract.states] == [s.name for s in scanned.contract.states]
    assert stepped.contract.chunk_most == 1
    x = np.random.default_rng(0).standard_normal((2, 7, 4), dtype=np.float32)
    x = x.transpose(1, 0, 2) if name == "time first" else x
    streams = [rnnedge_runtime.load(c.to_bytes()).stream(2) for c in (scanned, stepped)]
    axis = 0 if name == "time first" else 1
    for part in np.split(x, (1, 3), axis):
        ours, theirs = (stream.push(part) for stream in streams)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for key, value in streams[0].state.items():
        np.testing.assert_allclose(value, streams[1].state[key], atol=1e-6)


@pytest.mark.slow
def test_a_frame_is_taken_by_its_axis_without_moving_it():
    make, spec = MODULES["cell"]
    assert "Transpose" not in operators(convert(make().eval(), {"x": spec}, one_frame=True))


class Causal(nn.Module):
    """Convolutions over time, one of them for each channel, and a recurrent layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.a, self.b = nn.Conv1d(4, 6, 3), nn.Conv1d(6, 6, 3, dilation=4)
        self.each, self.rnn = nn.Conv1d(6, 6, 5, groups=6), nn.GRU(6, 5, batch_first=True)
        self.norm, self.last = nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, x):
        y = torch.relu(self.a(nn.functional.pad(x.transpose(1, 2), (2, 0))))
        y = torch.relu(self.b(nn.functional.pad(y, (8, 0), value=0.5)))
        y = nn.functional.silu(self.each(nn.functional.pad(y, (4, 0))))
        y = self.rnn(y.transpose(1, 2))[0]
        return self.last(self.norm(y + y.tanh()))


@pytest.mark.slow
def test_a_file_without_a_scan_takes_the_forms_for_one_frame_too():
    module = Causal().eval()
    converted = convert(module, {"x": MODULES["batch first"][1]}, one_frame=True)
    assert converted.contract.chunk_most == 1
    assert {"contexts", "rnn.h"} <= {state.name for state in converted.contract.states}
    found = operators(converted)
    assert not {"Conv", "Transpose", "Shape", "Squeeze", "Sigmoid"} & set(found)
    assert {"CausalConvWithState", "SkipLayerNormalization", "GRU", "Gemm"} <= set(found)
    x = torch.randn(2, 15, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = module(x).numpy()
    stream = rnnedge_runtime.load(converted.to_bytes()).stream(2)
    got = np.concatenate([stream.push(part) for part in np.split(x.numpy(), (1, 3), 1)], 1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


class Strided(nn.Module):
    """One frame out of each four."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.rnn = nn.Conv1d(4, 6, 8, stride=4), nn.LSTM(6, 5, batch_first=True)

    def forward(self, x):
        y = self.conv(nn.functional.pad(x.transpose(1, 2), (4, 0)))
        return self.rnn(y.transpose(1, 2))[0]


@pytest.mark.slow
def test_runs_are_of_as_few_frames_as_the_rates_allow():
    module = Strided().eval()
    converted = convert(module, {"x": MODULES["batch first"][1]}, one_frame=True)
    assert (converted.contract.chunk_multiple, converted.contract.chunk_most) == (4, 4)
    assert list(converted.model.graph.outputs[0].shape)[1:] == [1, 5]
    x = torch.randn(2, 24, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = module(x).numpy()
    model = rnnedge_runtime.load(converted.to_bytes())
    got = np.concatenate([model.run(row[None].numpy()).outputs["output"] for row in x])
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
def test_a_scan_over_more_than_one_frame_of_a_run_is_left_as_it_is():
    class Both(nn.Module):
        """A smallest value so far, and one frame out of each four."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(5)
            self.conv = nn.Conv1d(4, 6, 4, stride=4)

        def forward(self, x):
            return self.conv(x.cummin(1).values.transpose(1, 2)).transpose(1, 2)

    module = Both().eval()
    converted = convert(module, {"x": MODULES["batch first"][1]}, one_frame=True)
    assert converted.contract.chunk_most == 4
    assert "Scan" in operators(converted)
    x = torch.randn(1, 24, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = module(x).numpy()
    got = rnnedge_runtime.load(converted.to_bytes()).run(x.numpy()).outputs["output"]
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
def test_a_whole_sequence_is_no_frame():
    with pytest.raises(SpecError, match="for streams"):
        convert(Net(1), {"x": MODULES["batch first"][1]}, mode="sequence", one_frame=True)
