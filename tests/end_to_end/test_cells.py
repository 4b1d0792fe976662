"""Modules that see one frame become streams; the judge is the module, called frame by frame."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rnnedge
import rnnedge_runtime
from rnnedge_exporters import SpecError, StreamingError, convert

X = "float32[batch, 4]"


class Nested(nn.Module):
    """A cell of one's own with a nested state and a weight that each step uses twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x, state):
        h = torch.tanh(self.a(x) + self.b(state["h"]) + self.b(state["slow"][0]))
        slow = 0.9 * state["slow"][0] + 0.1 * h
        return self.out(h), {"h": h, "slow": (slow,)}


class Optional(nn.Module):
    """Starts by itself where it is given no state."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, x, h=None):
        h = self.cell(x, h)
        return h[:, :2], h


class Two(nn.Module):
    """Takes and returns two states beside its output."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 6)

    def forward(self, x, h, c):
        h = torch.tanh(self.a(x) + h)
        c = 0.5 * c + h
        return c.sin(), h, c


class StateFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(4, 4)

    def forward(self, x, h):
        h = self.cell(x, h)
        return h, 2 * h


CELLS = {
    "GRUCell": (lambda: nn.GRUCell(4, 6), [], "GRU"),
    "GRUCell without bias": (lambda: nn.GRUCell(4, 6, bias=False), [], "GRU"),
    "LSTMCell": (lambda: nn.LSTMCell(4, 6), [], "LSTM"),
    "RNNCell tanh": (lambda: nn.RNNCell(4, 6), [], "RNN"),
    "RNNCell relu": (lambda: nn.RNNCell(4, 6, nonlinearity="relu"), [], "RNN"),
    "nested": (Nested, ["state: {h: float32[batch, 6], slow: (float32[batch, 6],)}"], None),
    "optional": (Optional, [], "GRU"),
    "two": (Two, ["h: float32[batch, 6]", "c: float32[batch, 6]"], None),
    "state first": (StateFirst, ["h: float32[batch, 4] -> 0"], "RNN"),
}


QUICK = ("LSTMCell",)
SOME_QUICK = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CELLS]


@functools.cache
def converted_cell(name):
    module = made(name)
    return convert(module, {name_of_input(module): X}, states=CELLS[name][1])


def made(name):
    torch.manual_seed(4)
    return CELLS[name][0]().eval()


def name_of_input(module):
    return "input" if isinstance(module, nn.RNNCellBase) else "x"


def called(name, x):
    """The outputs of a cell for all frames of x, [batch, time, 4]; the first, if there are two."""
    module, rows = made(name), x.shape[0]
    zeros = torch.zeros(rows, 6)
    ys = []
    with torch.no_grad():
        if name == "nested":
            state = {"h": zeros, "slow": (zeros,)}
            for x_t in x.unbind(1):
                y, state = module(x_t, state)
                ys.append(y)
        elif name == "two":
            h = c = zeros
            for x_t in x.unbind(1):
                y, h, c = module(x_t, h, c)
                ys.append(y)
        elif name == "state first":
            h = torch.zeros(rows, 4)
            for x_t in x.unbind(1):
                h, y = module(x_t, h)
                ys.append(y)
        else:
            state = None
            for x_t in x.unbind(1):
                result = module(x_t, state)
                y, state = result if name == "optional" else (result, result)
                ys.append(y[0] if isinstance(y, tuple) else y)
    return torch.stack(ys, 1).numpy()


@pytest.mark.parametrize("name", SOME_QUICK)
def test_a_cell_streams_as_it_does_frame_by_frame(name):
    model = rnnedge_runtime.load(converted_cell(name).to_bytes())

    @settings(max_examples=10, deadline=None, database=None, derandomize=True)
    @given(
        lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
        rows=st.integers(1, 3),
        seed=st.integers(0, 99),
    )
    def compare(lengths, rows, seed):
        rng = np.random.default_rng(seed)
        chunks = [rng.standard_normal((rows, n, 4), dtype=np.float32) for n in lengths]
        stream = model.stream(rows)
        pushed = [stream.push(chunk) for chunk in chunks]
        parts = [next(iter(p.values())) if isinstance(p, dict) else p for p in pushed]
        whole = torch.from_numpy(np.concatenate(chunks, 1))
        np.testing.assert_allclose(np.concatenate(parts, 1), called(name, whole), atol=2e-6)

    compare()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["nested", *(pytest.param(n, marks=pytest.mark.long) for n in CELLS if n != "nested")]
)
def test_a_cells_file_is_proven(name):
    assert rnnedge.verify(converted_cell(name).to_bytes(), made(name)).passed


@pytest.mark.parametrize("name", SOME_QUICK)
def test_a_cell_of_torch_is_an_operator_of_its_own(name):
    model = converted_cell(name).model
    bodies = [a.value for node in model.graph for a in node.attributes.values() if a.name == "body"]
    operators = [node.op_type for graph in (model.graph, *bodies) for node in graph]
    cells = [operator for operator in operators if operator in ("RNN", "GRU", "LSTM")]
    assert cells == ([CELLS[name][2]] if CELLS[name][2] else [])
    assert "Sigmoid" not in operators


@pytest.mark.slow
def test_a_cell_without_a_batch_has_time_in_front():
    contract = convert(nn.GRUCell(4, 6), {"input": "float32[4]"}).contract
    assert contract.inputs[0].shape == ("time", 4)
    assert contract.states[0].shape == (6,)


@pytest.mark.slow
def test_cells_stay_cells_inside_a_module_of_sequences():
    class Net(nn.Module):
        """Runs a cell over the channels, not over time."""

        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(1, 3)

        def forward(self, x):
            h = torch.zeros(x.shape[0] * x.shape[1], 3)
            for channel in range(4):
                h = self.cell(x[..., channel].reshape(-1, 1), h)
            return h.reshape(x.shape[0], x.shape[1], 3)

    module = Net()
    converted = convert(module, {"x": "float32[batch, time, 4]"})
    assert [node.op_type for node in converted.model.graph].count("GRU") == 4
    assert converted.contract.states == ()
    assert rnnedge.verify(converted.to_bytes(), module).passed


def test_a_state_whose_form_nothing_tells_is_an_error_that_says_how_to_tell_it():
    with pytest.raises(SpecError, match="h, c") as error:
        convert(Two(), {"x": X})
    assert "--state" in error.value.fix


def test_a_module_of_one_frame_without_state_has_nothing_to_stream():
    with pytest.raises(StreamingError, match="no input has an axis named 'time'"):
        convert(nn.Linear(4, 2), {"input": X})


def test_a_cell_whose_result_can_be_read_in_two_ways_asks():
    class Either(nn.Module):
        """Returns a pair that may be its state, or an output and its state."""

        def forward(self, x, state=None):
            before = state[0] if isinstance(state, tuple) else state
            h = x if before is None else x + 0.5 * before
            return h, h

    with pytest.raises(SpecError, match="more than one part of its result"):
        convert(Either(), {"x": X})


@pytest.mark.long
@pytest.mark.parametrize("one_frame", [False, True])
def test_a_cells_file_can_be_explained(one_frame):
    module = made("nested")
    converted = convert(module, {"x": X}, states=CELLS["nested"][1], one_frame=one_frame)
    explanation = rnnedge.verify(converted.to_bytes(), module, explain=True).explanation
    assert (explanation.first, explanation.causes, explanation.obstacle) == (None, (), "")
    with torch.no_grad():
        module.b.weight[0, 0] += 0.1
    explanation = rnnedge.verify(converted.to_bytes(), module, explain=True).explanation
    assert explanation.causes


def test_an_input_that_a_cell_does_not_take_is_told_as_such():
    with pytest.raises(SpecError, match="forward of GRUCell has no argument 'x'") as error:
        convert(nn.GRUCell(4, 6), {"x": X})
    assert "input, hx" in error.value.fix
