"""What streams is decided from the graph; tests are named after the rules of `clocks.py`."""

import re

import pytest
import rules
import torch
from torch import nn
from torch.nn import functional

from rnnedge_exporters.capture import bind, capture
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.specs import parse_inputs
from rnnedge_exporters.streaming import to_stream

SPEC = "float32[batch, time, 6]"


def streamed(module, spec=SPEC, **more):
    inputs = parse_inputs({"x": spec, **more})
    return to_stream(capture(module, bind(module, inputs)))


class Net(nn.Module):
    """A recurrent layer, and around it what each test is about."""

    def __init__(self, before=None, after=None):
        super().__init__()
        self.rnn = nn.GRU(6, 6, batch_first=True)
        self.before, self.after = before, after

    def forward(self, x):
        if self.before is not None:
            x = self.before(x)
        y, h = self.rnn(x)
        return y if self.after is None else self.after(x, y, h)


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.batch_norm = nn.BatchNorm1d(6)
        self.conv = nn.Conv1d(6, 6, 1)

    def forward(self, x):
        x = self.norm(torch.relu(self.linear(x)))
        return self.conv(self.batch_norm(x.transpose(1, 2))).transpose(1, 2)


FRAMEWISE = {
    "layers": Net(Layers()),
    "softmax over features": Net(lambda x: x.softmax(-1)),
    "statistics over features": Net(
        lambda x: x - x.mean(-1, keepdim=True) / x.std(2, keepdim=True)
    ),
    "split and join": Net(lambda x: torch.cat([x[..., 3:], x[..., :3]], -1)),
    "stack and unfold": Net(lambda x: torch.stack([x[..., :3], x[..., 3:]], 2).flatten(2)),
    "reshape": Net(lambda x: x.reshape(x.shape[0], x.shape[1], 2, 3).flip(2).reshape(x.shape)),
    "product per frame": Net(lambda x: (x.unsqueeze(2) @ torch.eye(6)).squeeze(2)),
    "gate": Net(lambda x: nn.functional.glu(torch.cat([x, x], -1), -1)),
    "whole slice": Net(lambda x: x[:, :]),
    "zeros of its length": Net(lambda x: x + torch.zeros(x.shape[0], x.shape[1], 1)),
    "where": Net(lambda x: torch.where(x > 0, x, x.exp() - 1)),
    "folded time": Net(lambda x: (x.reshape(-1, 6) @ torch.eye(6)).reshape(x.shape)),
    "one value repeated for all frames": Net(
        lambda x: x + torch.ones(1, 1, 6).expand_as(x) * torch.arange(6.0).repeat(1, x.shape[1], 1)
    ),
    "one value expanded to all frames": Net(
        lambda x: x + torch.arange(6.0).expand(x.shape[0], x.shape[1], 6)
    ),
    "zeros of its type": Net(lambda x: x + x.new_zeros(6)),
    "a slope for each channel": Net(
        lambda x: nn.functional.prelu(x.flatten(0, 1), torch.arange(6.0)).reshape(x.shape)
    ),
    "skip": Net(after=lambda x, y, h: x + y),
}


@pytest.mark.parametrize("net", rules.some_quick(FRAMEWISE, "layers", "skip", "folded time"))
def test_an_operator_that_works_frame_by_frame_stays_as_it_is(net):
    program = streamed(net.eval())
    x = torch.randn(2, 9, 6)
    with torch.no_grad():
        whole = net(x)
        h, parts = torch.zeros(1, 2, 6), []
        for chunk in x.split([1, 3, 5], 1):
            # The graph may hold views, which need the layout that it was traced with.
            part, h = program.graph_module(chunk.contiguous(), h)
            parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def written(base, h):
    """[batch, 1, features], the final state in it."""
    base[0] = h[0]
    return base.transpose(0, 1)


REFUSED = {
    "sums over time": (Net(lambda x: x - x.mean(1, keepdim=True)), "mean runs along time"),
    "softmax over time": (Net(lambda x: x.softmax(1)), "softmax runs along time"),
    "reversed": (Net(lambda x: x.flip(1)), "flip runs along time"),
    "shifted": (Net(lambda x: x.roll(1, 1)), "roll runs along time"),
    "joined along time": (Net(lambda x: torch.cat([x, x], 1)), "not|2*"),
    "sorted": (Net(lambda x: x.sort(1)[0]), "sort runs along time"),
    "all of it": (Net(lambda x: x / x.abs().max()), "max"),
    "one frame for all": (Net(lambda x: x - x[:, :1]), "frames counted from the start"),
    "last frame for all": (Net(lambda x: x - x[:, -1:]), "known after the last frame only"),
    "attention": (
        Net(after=lambda x, y, h: (y @ y.transpose(1, 2)).softmax(-1) @ y),
        "attention over time without a limit",
    ),
    "its length": (Net(lambda x: x / x.shape[1]), "computes with the number of frames"),
    "its length as a fraction": (Net(lambda x: x * (1.0 / x.shape[1])), "number of frames"),
    "its length as a fill": (
        Net(lambda x: x / torch.full((x.shape[0], 1, 6), x.shape[1], dtype=torch.float32)),
        "number of frames",
    ),
    "its last positions": (
        Net(lambda x: x + torch.arange(x.shape[1] - 6, x.shape[1])),
        "number of frames",
    ),
    "frames and rows confused": (
        Net(lambda x: x.reshape(-1, 6).reshape(x.shape[1], x.shape[0], 6).transpose(0, 1)),
        "in another order",
    ),
    "frames doubled and every other taken": (
        Net(lambda x: torch.stack([x, x], 1).reshape(x.shape[0], -1, 6)[:, ::2]),
        "slice runs along time|another order|holds more",
    ),
    "a few frames": (Net(after=lambda x, y, h: y.narrow(1, 0, 2)), "frames counted from the start"),
    "final state repeated": (
        Net(after=lambda x, y, h: h[-1].unsqueeze(1).repeat(1, x.shape[1], 1)),
        "known after the last frame only",
    ),
    "final state written into a tensor": (
        Net(after=lambda x, y, h: y + written(x.new_zeros(1, x.shape[0], 6), h)),
        "known after the last frame only",
    ),
    "final state for all": (
        Net(after=lambda x, y, h: y + h[-1].unsqueeze(1)),
        "known after the last frame only",
    ),
    "weights from time": (Net(lambda x: x @ (x.transpose(1, 2) @ x)), "sums over time"),
    "group normalisation": (
        Net(lambda x: nn.functional.group_norm(x.transpose(1, 2), 2).transpose(1, 2)),
        "mean and variance of the whole signal",
    ),
    "unknown operator": (Net(lambda x: torch.special.i0(x)), "i0"),
}


@pytest.mark.parametrize(
    ("net", "reason"), rules.some_quick(REFUSED, "sums over time", "attention", "its length")
)
def test_an_operator_that_mixes_frames_is_refused_with_its_reason(net, reason):
    with pytest.raises(StreamingError) as error:
        streamed(net.eval())
    assert any(part in error.value.what for part in reason.split("|"))
    assert "--mode sequence" in error.value.fix
    assert "test_clocks.py:" in error.value.where


class Averaged(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(6, 6, 3, padding=1), nn.InstanceNorm1d(6))
        self.rnn = nn.GRU(6, 6, batch_first=True)

    def forward(self, x):
        return self.rnn(self.front(x.transpose(1, 2)).transpose(1, 2))[0]


def test_a_refusal_names_module_line_and_way_out():
    with pytest.raises(StreamingError, match="mean and variance of the whole signal") as error:
        streamed(Averaged())
    assert "module 'front.1' (InstanceNorm1d)" in error.value.where
    assert "test_clocks.py" in error.value.where
    assert "self.front(x.transpose(1, 2))" in error.value.where


def test_a_layer_that_is_bidirectional_over_time_is_refused():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.ModuleDict({"rnn": nn.LSTM(6, 4, bidirectional=True)})

        def forward(self, x):
            return self.encoder["rnn"](x)[0]

    with pytest.raises(StreamingError, match="bidirectional over time") as error:
        streamed(Both(), "float32[time, batch, 6]")
    assert "module 'encoder.rnn' (LSTM)" in error.value.where


def test_an_initial_state_computed_from_the_signal_is_refused():
    class FromSignal(Net):
        def forward(self, x):
            return self.rnn(x, x[:, -1].tanh().unsqueeze(0))[0]

    with pytest.raises(StreamingError, match="initial state is computed from the signal"):
        streamed(FromSignal())


def test_a_decoder_that_starts_from_an_encoders_end_is_refused():
    class Decoder(Net):
        def __init__(self):
            super().__init__()
            self.decoder = nn.GRU(6, 6, batch_first=True)

        def forward(self, x):
            return self.decoder(x, self.rnn(x)[1])[0]

    with pytest.raises(StreamingError, match=r"known after the last|computed from"):
        streamed(Decoder())


def test_a_forward_state_goes_into_the_recurrence_and_nowhere_else():
    class Elsewhere(Net):
        def forward(self, x, h):
            y, end = self.rnn(x, h)
            return y + (0 if h is None else h[0].unsqueeze(1)), end

    with pytest.raises(StreamingError, match="depends on where chunks begin"):
        streamed(Elsewhere())


def test_a_state_that_forward_takes_is_no_output():
    class Shown(Net):
        def forward(self, x, h):
            y, n = self.rnn(x, h)
            return y, n, torch.zeros(1, x.shape[0], 6) if h is None else h.transpose(0, 1)

    with pytest.raises(StreamingError, match="depends on where chunks begin"):
        to_stream(
            capture(
                module := Shown(),
                bind(module, parse_inputs({"x": SPEC}), ["h: float32[1, batch, 6] -> 1"]),
            )
        )


def test_squeeze_has_to_name_its_axis():
    with pytest.raises(StreamingError, match="squeeze without an axis"):
        streamed(Net(lambda x: x.unsqueeze(2).squeeze()))


def test_without_an_axis_of_time_there_is_nothing_to_stream():
    with pytest.raises(StreamingError, match="no input has an axis named 'time'"):
        streamed(Net(), "float32[batch, 16, 6]")


def test_values_after_the_last_frame_may_go_to_an_output():
    program = streamed(Net(after=lambda x, y, h: (y[:, -1], h[0])))
    x = torch.randn(2, 5, 6)
    last, final, state = program.graph_module(x, torch.zeros(1, 2, 6))
    torch.testing.assert_close(last, final)
    torch.testing.assert_close(state[0], final)


def test_the_time_axis_may_not_be_a_fixed_length():
    class Fixed(Net):
        def forward(self, x):
            return self.rnn(x + torch.zeros(1, 16, 6))[0]

    with pytest.raises(Exception, match=re.escape("specialized the axis")):
        streamed(Fixed())


def test_of_frames_counted_from_the_start_only_the_sizes_may_be_used():
    net = rules.streamed(lambda m, x: torch.cat([torch.zeros_like(x[:, :2]), x], 1) * 2, rules.BTC)
    rules.assert_streams(net, shortest=2)
    rules.assert_refused(
        "it uses frames counted from the start", lambda m, x: x + x[:, :1], rules.BTC
    )


def test_frames_flattened_with_features_are_frames_at_a_higher_rate():
    net = rules.streamed(lambda m, x: m.head(x).flatten(1), rules.BTC, head=nn.Linear(4, 3))
    assert net.contract.outputs[0].ratio == 3
    rules.assert_streams(net)


@pytest.mark.slow
def test_frames_in_groups_are_frames_at_a_lower_rate():
    net = rules.streamed(
        lambda m, x: m.head(x.unflatten(1, (-1, 2)).flatten(2)), rules.BTC, head=nn.Linear(8, 3)
    )
    assert net.program.multiple == 2
    for frames, lengths in ((6, [1, 5]), (8, [3, 3, 2])):
        rules.assert_same(net, torch.randn(2, frames, 4, dtype=torch.float64), lengths)


@pytest.mark.slow
def test_frames_at_a_higher_rate_are_read_by_windows():
    def compute(m, x):
        return m.conv(functional.pad(m.head(x).flatten(1).unsqueeze(1), (2, 0)))

    net = rules.streamed(compute, rules.BTC, head=nn.Linear(4, 3), conv=nn.Conv1d(1, 2, 3))
    rules.assert_streams(net)
