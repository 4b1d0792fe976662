"""The state of recurrent layers; tests are named after the rules of `recurrent_state.py`."""

import pytest
import torch
from rules import assert_streams, initial, streamed
from torch import nn
from torch.nn import functional

from rnnedge_exporters.capture import bind, capture
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.specs import parse_inputs
from rnnedge_exporters.streaming import to_stream


def states_of(module, spec="float32[batch, time, 3]"):
    inputs = parse_inputs({"x": spec})
    program = to_stream(capture(module.eval(), bind(module, inputs)))
    return {state.name: state for state in program.states}


class Encoder(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (nn.GRU(3, 4, batch_first=True), ["net.layer.h"]),
        (nn.RNN(3, 4, 2, batch_first=True), ["net.layer.h_l0", "net.layer.h_l1"]),
        (nn.LSTM(3, 4, batch_first=True), ["net.layer.h", "net.layer.c"]),
    ],
)
def test_states_are_named_after_the_module(layer, names):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Encoder(layer)

        def forward(self, x):
            return self.net(x)

    assert list(states_of(Outer())) == names


def test_a_module_called_twice_has_two_states():
    class Twice(Encoder):
        def forward(self, x):
            return self.layer(self.layer(x)[0])[0]

    module = Twice(nn.GRU(3, 3, batch_first=True))
    states = states_of(module)
    assert list(states) == ["layer.h_l0", "layer.h_l1"]


@pytest.mark.slow
def test_a_name_that_is_taken_is_not_given_again():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.GRU(3, 4, batch_first=True)

        def forward(self, x):
            return {"a.h": self.a(x)[0]}

    assert list(states_of(Named())) == ["a.h_"]


@pytest.mark.slow
def test_a_learned_start_is_kept():
    class Learned(Encoder):
        def __init__(self, layer):
            super().__init__(layer)
            self.start = nn.Parameter(torch.randn(2, 1, 4))

        def forward(self, x):
            return self.layer(x, self.start.tanh().expand(-1, x.shape[0], -1).contiguous())[0]

    module = Learned(nn.GRU(3, 4, 2, batch_first=True))
    states = states_of(module)
    for layer in (0, 1):
        expected = module.start[layer : layer + 1].tanh()
        torch.testing.assert_close(states[f"layer.h_l{layer}"].initial, expected.detach())


def test_a_start_that_differs_between_rows_is_refused():
    class ByRow(Encoder):
        def forward(self, x):
            rows = torch.arange(x.shape[0], dtype=torch.float32)
            return self.layer(x, rows[None, :, None].expand(1, -1, 4).contiguous())[0]

    with pytest.raises(StreamingError, match="mixes the rows of the batch"):
        states_of(ByRow(nn.GRU(3, 4, batch_first=True)))


def test_a_layer_over_another_axis_is_left_alone():
    class OverFrequency(Encoder):
        def forward(self, x):
            rows = x.reshape(-1, x.shape[2], x.shape[3])
            return self.layer(rows)[0].reshape(x.shape[0], x.shape[1], x.shape[2], -1)

    both = nn.GRU(3, 4, batch_first=True, bidirectional=True)
    assert states_of(OverFrequency(both), "float32[batch, time, 5, 3]") == {}


@pytest.mark.parametrize("frequency_first", [False, True])
@pytest.mark.slow
def test_a_folded_batch_gives_a_folded_state(frequency_first):
    class OverTime(Encoder):
        def forward(self, x):
            batch, time, freq, channels = x.shape
            order = (2, 0, 1, 3) if frequency_first else (0, 2, 1, 3)
            rows = x.permute(order).reshape(-1, time, channels)
            y = self.layer(rows)[0]
            sizes = (freq, batch) if frequency_first else (batch, freq)
            y = y.reshape(*sizes, time, 4)
            return y.permute((1, 2, 0, 3) if frequency_first else (0, 2, 1, 3))

    states = states_of(OverTime(nn.GRU(3, 4, batch_first=True)), "float32[batch, time, 5, 3]")
    place = states["layer.h"].batch
    assert (int(place.outer), int(place.inner)) == ((5, 1) if frequency_first else (1, 5))
    assert tuple(states["layer.h"].initial.shape) == (1, 5, 4)


@pytest.mark.slow
def test_a_path_that_is_no_identifier_names_a_state():
    class Last(nn.Module):
        def forward(self, pair):
            return pair[0]

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.GRU(3, 3, batch_first=True)
            self.a = nn.Sequential(layer, Last())
            self.a_0 = nn.GRU(3, 3, batch_first=True)

        def forward(self, x):
            return self.a_0(self.a(x))[0]

    assert list(states_of(Outer())) == ["a.0.h", "a_0.h"]
    assert list(states_of(RootSequential())) == ["0.h"]


class RootSequential(nn.Module):
    """Paths of its children begin with a digit."""

    def __init__(self):
        super().__init__()
        self.add_module("0", nn.GRU(3, 3, batch_first=True))

    def forward(self, x):
        return self.get_submodule("0")(x)[0]


def test_zeros_made_from_the_sequence_are_zeros():
    class Zeros(Encoder):
        def forward(self, x):
            return self.layer(x, x.new_zeros(1, x.shape[0], 4))[0]

    assert not states_of(Zeros(nn.GRU(3, 4, batch_first=True)))["layer.h"].initial.any()


def test_a_start_computed_from_an_input_without_time_is_refused():
    class Conditioned(Encoder):
        def forward(self, x, speaker):
            return self.layer(x, speaker[None].tanh())[0]

    module = Conditioned(nn.GRU(3, 4, batch_first=True)).eval()
    inputs = parse_inputs({"x": "float32[batch, time, 3]", "speaker": "float32[batch, 4]"})
    with pytest.raises(StreamingError, match="computed from an input") as error:
        to_stream(capture(module, bind(module, inputs)))
    assert "as an argument of forward" in error.value.fix


@pytest.mark.slow
def test_a_start_that_is_written_in_place_is_kept():
    class Written(Encoder):
        def __init__(self, layer):
            super().__init__(layer)
            self.start = nn.Parameter(torch.randn(4))

        def forward(self, x):
            h = x.new_zeros(1, x.shape[0], 4)
            h[0] = self.start
            h[:, :, :2] += 1
            return self.layer(x, h)[0]

    module = Written(nn.GRU(3, 4, batch_first=True))
    expected = module.start.detach() + torch.tensor([1.0, 1, 0, 0])
    torch.testing.assert_close(states_of(module)["layer.h"].initial.flatten(), expected)


def test_a_fixed_start_beside_one_that_forward_takes_is_lifted_too():
    class Half(Encoder):
        def forward(self, x, h=None):
            h = x.new_zeros(1, x.shape[0], 4) if h is None else h
            y, (end, _) = self.layer(x, (h, torch.zeros_like(h)))
            return y, end

    assert list(states_of(Half(nn.LSTM(3, 4, batch_first=True)))) == ["h", "layer.c"]


@pytest.mark.slow
def test_a_call_that_nothing_reads_has_no_state():
    class Dead(Encoder):
        def forward(self, x):
            y = self.layer(x)[0]
            self.layer(y)
            return y

    assert list(states_of(Dead(nn.GRU(3, 3, batch_first=True)))) == ["layer.h"]


def front(m, x):
    """A layer that looks ahead, and so gives frames before the signal's first."""
    return (m.conv(x) + 1).transpose(1, 2)


def conv():
    return nn.Conv1d(4, 4, 5, padding=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [
        nn.GRU(4, 4, 2, batch_first=True),
        nn.LSTM(4, 4, batch_first=True),
        nn.RNN(4, 4, batch_first=True),
    ],
)
def test_behind_a_layer_that_looks_ahead_it_starts_with_the_signals_first_frame(layer):
    net = streamed(lambda m, x: m.rnn(front(m, x))[0], rnn=layer, conv=conv())
    assert net.delay == 2
    lags = {state.name: state.delay for state in net.contract.states if state.kind == "hidden"}
    assert set(lags.values()) == {2}
    assert_streams(net)


@pytest.mark.slow
def test_it_starts_with_the_signals_first_frame_where_batch_and_features_are_folded():
    def compute(m, x):
        rows = (m.conv(x) + 1).reshape(-1, x.shape[-1], 1)
        return m.rnn(rows)[0].reshape(x.shape[0], 4, x.shape[-1], 3)

    net = streamed(compute, rnn=nn.GRU(1, 3, batch_first=True), conv=conv())
    assert_streams(net)


@pytest.mark.slow
def test_a_learned_start_waits_for_the_signals_first_frame():
    start = nn.Parameter(torch.randn(1, 1, 4, dtype=torch.float32))

    def compute(m, x):
        h = m.start[0].tanh().expand(-1, x.shape[0], -1).contiguous()
        return m.rnn(front(m, x), h)[0]

    net = streamed(
        compute,
        rnn=nn.GRU(4, 4, batch_first=True),
        conv=conv(),
        start=nn.ParameterList([start]),
    )
    assert_streams(net)


def test_where_padding_comes_before_the_signal_the_layer_has_run_over_it():
    net = streamed(
        lambda m, x: m.rnn(functional.pad(x, (3, 0), value=0.5).transpose(1, 2))[0],
        rnn=nn.LSTM(4, 4, batch_first=True),
    )
    padding = torch.full((1, 3, 4), 0.5, dtype=torch.float64)
    with torch.no_grad():
        _, (h, c) = net.module.rnn(padding)
    for name, expected in (("rnn.h", h), ("rnn.c", c)):
        got = initial(net, name).double()
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_padding_before_a_state_that_forward_takes_is_refused():
    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(4, 4, batch_first=True)

        def forward(self, x, h):
            return self.rnn(functional.pad(x, (0, 0, 2, 0)), h)

    module = Given()
    inputs = parse_inputs({"x": "float32[batch, time, 4]"})
    with pytest.raises(StreamingError, match="it runs over padding before it runs over") as error:
        to_stream(capture(module, bind(module, inputs)))
    assert "module 'rnn' (GRU)" in error.value.where
    assert "--mode sequence" in error.value.fix
