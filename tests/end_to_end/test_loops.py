"""Python loops over time become recurrences; the judge is the module, looping, in float64."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

import rnnedge
import rnnedge_runtime
from rnnedge_exporters import CaptureError, convert

X = "float32[batch, time, 4]"


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.gru, self.lstm, self.rnn = nn.GRUCell(4, 6), nn.LSTMCell(4, 6), nn.RNNCell(6, 6)
        self.out = nn.Linear(6, 3)

    def zeros(self, x):
        return torch.zeros(x.shape[0], 6)


class Stacked(Base):
    def forward(self, x):
        h, ys = self.zeros(x), []
        for t in range(x.shape[1]):
            h = self.gru(x[:, t], h)
            ys.append(self.out(h))
        return torch.stack(ys, 1)


class Joined(Base):
    def forward(self, x):
        h = c = self.zeros(x)
        ys = []
        for x_t in x.unbind(1):
            h, c = self.lstm(x_t, (h, c))
            ys.append(h.unsqueeze(1))
        return torch.cat(ys, 1)


class Written(Base):
    """Writes into a tensor that is there before the loop, and returns the last state, too."""

    def forward(self, x):
        h, y = x.new_zeros(x.shape[0], 6), torch.zeros(x.shape[0], x.shape[1], 6)
        for t in range(x.size(1)):
            h = self.gru(x[:, t, :], h)
            y[:, t, :] = h
        return y, h


class StartsByItself(Base):
    def forward(self, x):
        h, ys = None, []
        for frame in x.transpose(0, 1):
            h = self.gru(frame, h)
            ys.append(h)
        return torch.stack(ys).transpose(0, 1)


class KeepsAxis(Base):
    """Frames keep their axis of time."""

    def __init__(self):
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x):
        h, ys = torch.zeros(1, x.shape[0], 6), []
        for frame in x.split(1, dim=1):
            y, h = self.layer(frame, h)
            ys.append(y)
        return torch.cat(ys, dim=1)


class TwoLayers(Base):
    """Two cells in one loop."""

    def forward(self, x):
        a = b = self.zeros(x)
        ys = []
        for t in range(x.shape[1]):
            a = self.gru(x[:, t], a)
            b = self.rnn(a.relu(), b)
            ys.append(torch.cat([b, a], 1))
        return torch.stack(ys, 1)


class TwoLoops(Base):
    """One loop after the other, and a layer in between that sees all frames."""

    def forward(self, x):
        h, ys = self.zeros(x), []
        for t in range(x.shape[1]):
            h = self.gru(x[:, t], h)
            ys.append(h)
        hidden = torch.stack(ys, 1).tanh()
        h, ys = self.zeros(x), []
        for t in range(x.shape[1]):
            h = self.rnn(hidden[:, t], h)
            ys.append(self.out(h))
        return torch.stack(ys, 1)


class Own(Base):
    """Formulas of one's own; the product with the state comes before the frame is read."""

    def __init__(self):
        super().__init__()
        self.w, self.u = nn.Linear(4, 6), nn.Linear(6, 6)
        self.decay = nn.Parameter(torch.rand(6))

    def forward(self, x):
        h, slow, ys = self.zeros(x), self.zeros(x) + 0.1, []
        for t in range(x.shape[1]):
            past = self.u(h)
            h = torch.tanh(self.w(x[:, t]) + past)
            slow = self.decay.sigmoid() * slow + h
            ys.append(slow * h)
        return torch.stack(ys, dim=-2)


class ReadsThePrevious(Base):
    """Each iteration reads the frame before its own, too, from what it kept of it."""

    def forward(self, x):
        h, before, ys = self.zeros(x), torch.zeros(x.shape[0], 4), []
        for t in range(x.shape[1]):
            h = self.gru(x[:, t] - before, h)
            before = x[:, t]
            ys.append(h)
        return torch.stack(ys, 1)


class Decays(Base):
    """Values, a mask and the time since the last value, as of a recurrent net for gaps (GRU-D)."""

    def __init__(self):
        super().__init__()
        self.cell, self.rate = nn.GRUCell(8, 6), nn.Parameter(torch.rand(6))

    def forward(self, x, mask, delta):
        h, last, ys = self.zeros(x), torch.zeros(x.shape[0], 4), []
        for t in range(x.shape[1]):
            m = torch.sigmoid(mask[:, t])
            last = m * x[:, t] + (1 - m) * last
            h = h * torch.exp(-torch.relu(self.rate) * delta[:, t].abs())
            h = self.cell(torch.cat([last, m], 1), h)
            ys.append(h)
        return torch.stack(ys, 1)


class Given(Base):
    """Its first state is an argument, and its last one a result."""

    def forward(self, x, h):
        ys = []
        for t in range(x.shape[1]):
            h = self.gru(x[:, t], h)
            ys.append(h)
        return torch.stack(ys, 1), h


class Last(Base):
    def forward(self, x):
        h = self.zeros(x)
        for t in range(x.shape[1]):
            h = self.gru(x[:, t], h)
        return self.out(h)


class BesideConvolution(Base):
    """The loop runs on what a causal convolution gives, whose padding is of a number of frames."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3)

    def forward(self, x):
        x = self.conv(nn.functional.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2)
        h, ys = self.zeros(x), []
        for t in range(x.shape[1]):
            h = self.gru(x[:, t], h)
            ys.append(h)
        return torch.stack(ys, 1).reshape(x.shape[0], x.shape[1], 2, 3).sum(2)


LAYERS = {
    Stacked: ["GRU"],
    Joined: ["LSTM"],
    Written: ["GRU"],
    StartsByItself: ["GRU"],
    TwoLayers: ["GRU", "RNN"],
    TwoLoops: ["GRU", "RNN"],
    Given: ["GRU"],
    Last: ["GRU"],
    BesideConvolution: ["GRU"],
    ReadsThePrevious: ["Scan"],
    KeepsAxis: ["Scan"],
    Own: ["Scan"],
    Decays: ["Scan"],
}


@contextmanager
def default_float64():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def exported(kind, mode="stream"):
    inputs = {"x": X}
    if kind is Decays:
        inputs |= {"mask": X, "delta": "float32[batch, time, 1]"}
    module = kind().eval()
    states = ["h: float32[batch, 6] -> 1"] if kind is Given else []
    return module, convert(module, inputs, states=states, mode=mode)


QUICK = (Stacked,)


@pytest.fixture(
    scope="module",
    params=[k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in LAYERS],
)
def case(request):
    return request.param, *exported(request.param)


def test_a_loop_streams_as_it_runs(case):
    kind, module, converted = case
    stream = rnnedge_runtime.load(converted.to_bytes()).stream(2)
    rng = np.random.default_rng(0)
    inputs = {
        port.name: rng.standard_normal((2, 23, *port.shape[2:]), dtype=np.float32)
        for port in converted.contract.inputs
    }
    ends = (1, 2, 5, 6, 16, 23)
    pushed = [
        stream.push({name: x[:, a:b] for name, x in inputs.items()})
        for a, b in zip((0, *ends), ends, strict=False)
    ]
    arguments = {name: torch.from_numpy(x) for name, x in inputs.items()}
    arguments |= {"h": torch.zeros(2, 6)} if kind is Given else {}
    with torch.no_grad(), default_float64():
        result = module.double()(**{n: a.double() for n, a in arguments.items()})
    module.float()
    expected = result[0] if isinstance(result, tuple) else result
    first = [next(iter(p.values())) if isinstance(p, dict) else p for p in pushed]
    got = first[-1] if kind is Last else np.concatenate(first, 1)
    np.testing.assert_allclose(got, expected.numpy(), atol=2e-6)


@pytest.mark.long
def test_its_file_is_proven(case):
    _, module, converted = case
    report = rnnedge.verify(converted.to_bytes(), module)
    assert report.passed, report


def test_a_loop_around_cells_becomes_layers_any_other_a_scan(case):
    kind, _, converted = case
    operators = [node.op_type for node in converted.model.graph]
    assert [o for o in operators if o in ("GRU", "LSTM", "RNN", "Scan")] == LAYERS[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Stacked, Own, pytest.param(Written, marks=pytest.mark.long)])
def test_a_loop_runs_whole_in_sequence_mode(kind):
    module, converted = exported(kind, "sequence")
    assert rnnedge.verify(converted.to_bytes(), module).passed


class Weighs(Base):
    """What an iteration does depends on its number."""

    def forward(self, x):
        h, ys = self.zeros(x), []
        for t in range(x.shape[1]):
            h = self.gru(x[:, t], h) * (t + 1)
            ys.append(h)
        return torch.stack(ys, 1)


class Alternates(Base):
    """Every other iteration does something else."""

    def forward(self, x):
        h, ys = self.zeros(x), []
        for t in range(x.shape[1]):
            h = self.gru(x[:, t], h)
            if t % 2:
                h = self.rnn(h, h)
            ys.append(h)
        return torch.stack(ys, 1)


class Backward(Base):
    def forward(self, x):
        h, ys = self.zeros(x), []
        for t in reversed(range(x.shape[1])):
            h = self.gru(x[:, t], h)
            ys.append(h)
        return torch.stack(ys[::-1], 1)


class TwoBack(Base):
    """Reads the result of the iteration before the previous one."""

    def forward(self, x):
        hs = [self.zeros(x), self.zeros(x)]
        for t in range(x.shape[1]):
            hs.append(self.gru(x[:, t], hs[-2]))
        return torch.stack(hs[2:], 1)


@pytest.mark.parametrize(
    "kind",
    [Weighs, Backward, *(pytest.param(k, marks=pytest.mark.long) for k in (Alternates, TwoBack))],
)
@pytest.mark.slow
def test_iterations_that_are_not_alike_are_refused_with_the_way_out(kind):
    with pytest.raises(CaptureError, match="whose iterations are not alike") as error:
        convert(kind().eval(), {"x": X})
    assert "takes a frame and a state" in error.value.fix
