"""A state of all layers; tests are named after the rules of `layer_states.py`."""

import numpy as np
import pytest
import torch
from torch import nn

import rnnedge
from rnnedge_exporters import StreamingError, convert

INPUTS = {"x": "float32[batch, time, 3]"}


class Net(nn.Module):
    def __init__(self, kind=nn.GRU, layers=3):
        super().__init__()
        self.rnn = kind(3, 4, layers, batch_first=True)

    def forward(self, x, hidden):
        return self.rnn(x, hidden)


def operators(converted):
    return [node.op_type for node in converted.model.graph]


def names(converted):
    return [state.name for state in converted.contract.states]


@pytest.mark.slow
def test_a_state_of_all_layers_is_one_state_per_layer():
    converted = convert(Net(), INPUTS)
    assert names(converted) == ["hidden_l0", "hidden_l1", "hidden_l2"]
    assert not {"Split", "Concat"} & set(operators(converted))


@pytest.mark.slow
def test_each_part_of_a_tuple_is_divided():
    converted = convert(Net(nn.LSTM, 2), INPUTS)
    assert names(converted) == ["hidden.0_l0", "hidden.0_l1", "hidden.1_l0", "hidden.1_l1"]


@pytest.mark.slow
def test_a_single_layer_keeps_its_name():
    assert names(convert(Net(layers=1), INPUTS)) == ["hidden"]


@pytest.mark.slow
def test_a_state_that_forward_divides_by_itself_stays_whole_and_is_right():
    class Crossed(nn.Module):
        """The second row of its state is the first layer's."""

        def __init__(self):
            super().__init__()
            self.a, self.b = nn.GRU(3, 4, batch_first=True), nn.GRU(4, 4, batch_first=True)

        def forward(self, x, hidden=None):
            first, second = (None, None) if hidden is None else (hidden[1:], hidden[:1])
            y, first = self.a(x, first)
            y, second = self.b(y, second)
            return y, torch.cat([second, first])

    module = Crossed()
    converted = convert(module, INPUTS)
    assert names(converted) == ["hidden"]
    assert rnnedge.verify(converted.to_bytes(), module).passed


def test_layers_that_change_places_from_call_to_call_are_refused():
    class Swapped(Net):
        def forward(self, x, hidden):
            y, end = self.rnn(x, hidden)
            return y, torch.cat([end[1:], end[:1]])

    with pytest.raises(StreamingError, match="not the final state, as it is, of the layers"):
        convert(Swapped(layers=2), INPUTS)


@pytest.mark.slow
def test_a_state_that_comes_before_the_data_in_forward_keeps_its_place():
    class StateFirst(Net):
        def forward(self, hidden, x):
            return self.rnn(x, hidden)

    module = StateFirst()
    data = convert(module, INPUTS).to_bytes()
    assert rnnedge.verify(data, module).passed
    x = np.random.default_rng(0).standard_normal((2, 9, 3)).astype(np.float32)
    with torch.no_grad():
        expected = module(None, torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(rnnedge.load(data).stream(2).push(x), expected, atol=1e-6)
