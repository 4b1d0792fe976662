"""Slices, padding, joins and rate changes; tests are named after the rules of the passes."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from rnnedge_exporters import StreamingError

from .driver import Lambda, Streamed

BTF = "float32[batch, time, 4]"
BFT = "float32[batch, 4, time]"


def conv(span=3, **more):
    return nn.Conv1d(4, 4, span, **more)


@pytest.mark.parametrize(
    ("function", "delay", "states"),
    [
        (lambda m, x: x[:, 3:] * 2, 3, {}),
        (lambda m, x: x[:, :-2] * 2, 2, {"mul.delay": ["batch", 2, 4]}),
        (lambda m, x: x[:, 1:] - x[:, :-1], 1, {"sub.delay": ["batch", 1, 4]}),
        (lambda m, x: torch.diff(x, dim=1), 1, {"sub.delay": ["batch", 1, 4]}),
        (
            lambda m, x: x + functional.pad(x[:, :-1], (0, 0, 1, 0)),
            0,
            {"add.delay": ["batch", 1, 4]},
        ),
        (
            lambda m, x: torch.cat([torch.ones_like(x[:, :2]), x[:, :-2]], 1) - x,
            0,
            {"sub.delay": ["batch", 2, 4]},
        ),
        (lambda m, x: x[:, 1::3] * 2, 0, {}),
    ],
    ids=["start", "end", "difference", "diff", "shift", "joined frames", "every third"],
)
def test_slices_cost_nothing_but_the_waiting_of_branches(function, delay, states):
    stream = Streamed(Lambda(function), BTF)
    assert stream.output.delay == delay
    assert stream.states == states
    stream.check()


def test_branches_meet_at_the_time_of_the_latest():
    module = Lambda(
        lambda m, x: x + m.a(x) * m.b(m.c(x)),
        a=conv(3, padding=1),
        b=conv(5, padding=2),
        c=conv(3, padding=1),
    )
    stream = Streamed(module, BFT)
    assert stream.output.delay == 3
    assert stream.states["mul.delay"] == ["batch", 4, 2]
    assert stream.states["add.delay"] == ["batch", 4, 3]
    stream.check()


def test_padding_after_the_signal_is_a_delay_where_it_is_read():
    module = Lambda(lambda m, x: m.c(functional.pad(x, (0, 2), value=0.7)), c=conv())
    stream = Streamed(module, BFT)
    assert stream.output.delay == 2
    stream.check()


@pytest.mark.parametrize(
    ("layer", "ratio", "delay"),
    [
        (nn.ConvTranspose1d(4, 4, 4, stride=2), 2, 0),
        (nn.ConvTranspose1d(4, 4, 4, stride=2, padding=1), 2, 1),
        (nn.ConvTranspose1d(4, 4, 5, stride=3, padding=1, output_padding=1), 3, 1),
        (nn.ConvTranspose1d(4, 4, 3, stride=2, dilation=2), 2, 0),
        (nn.ConvTranspose1d(4, 4, 2, stride=3), 3, 1),
        (nn.Upsample(scale_factor=2), 2, 0),
    ],
)
def test_transposed_convolutions_give_what_no_later_frame_adds_to(layer, ratio, delay):
    stream = Streamed(Lambda(lambda m, x: m.up(x), up=layer), BFT)
    assert (stream.output.ratio, stream.output.delay) == (ratio, delay)
    stream.check()


def test_a_u_net_runs_at_its_own_rates_and_its_skip_waits_for_nothing():
    module = Lambda(
        lambda m, x: x + m.up(m.down(functional.pad(x, (2, 0))).tanh())[..., : x.shape[-1]],
        down=conv(4, stride=2),
        up=nn.ConvTranspose1d(4, 4, 4, stride=2),
    )
    stream = Streamed(module, BFT)
    assert stream.contract.chunk_multiple == 2
    assert stream.output.delay == 0
    assert "add.delay" not in stream.states
    stream.check()


def test_frames_flattened_with_features_are_frames_at_a_higher_rate():
    module = Lambda(
        lambda m, x: m.c(functional.pad(x.flatten(1)[:, None], (2, 0))), c=nn.Conv1d(1, 1, 3)
    )
    stream = Streamed(module, BTF)
    assert stream.output.ratio == 4
    stream.check()


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x.cumsum(1),
        lambda m, x: x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None],
        lambda m, x: x.cummax(1)[0] + x.cummin(1)[0],
        lambda m, x: (x * 0.1 + 1).cumprod(1),
        lambda m, x: m.c(x.transpose(1, 2)).add(1).cumsum(2),
        lambda m, x: functional.pad(x, (0, 0, 3, 0), value=1.0).cumsum(1)[:, 3:],
    ],
    ids=["sum", "mean", "extremes", "product", "behind lookahead", "over padding"],
)
def test_accumulation_goes_on_from_the_last_chunk(function):
    Streamed(Lambda(function, c=conv(3, padding=1)), BTF).check()


def test_where_an_extreme_was_found_is_refused():
    with pytest.raises(StreamingError, match="counted from the start of the signal"):
        Streamed(Lambda(lambda m, x: x + x.cummax(1)[1]), BTF)


def test_positions_go_on_counting_for_all_rows_together():
    stream = Streamed(Lambda(lambda m, x: x + torch.arange(2, x.shape[1] + 2)[:, None] * 0.5), BTF)
    assert stream.states == {"signal.shared_position": [1]}
    assert stream.contract.states[0].batch_axis is None
    stream.check()


def test_a_table_of_positions_has_an_end_and_a_stream_has_none():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(1000, 4))

        def forward(self, x):
            return x + self.table[: x.shape[1]]

    with pytest.raises(Exception, match=r"at most 1000(.|\n)*rounded up"):
        Streamed(Table(), BTF)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_a_recurrent_layer_behind_lookahead_starts_with_the_signals_first_frame(kind):
    module = Lambda(
        lambda m, x: m.rnn((m.c(x) + 1).transpose(1, 2))[0],
        c=conv(5, padding=2),
        rnn=kind(4, 4, 2, batch_first=True),
    )
    stream = Streamed(module, BFT)
    assert stream.output.delay == 2
    assert {s.delay for s in stream.contract.states if s.kind in ("hidden", "cell")} == {2}
    stream.check()


def test_a_recurrent_layer_has_run_over_the_padding_before_the_signal():
    module = Lambda(
        lambda m, x: m.rnn(functional.pad(x, (0, 0, 3, 0)))[0][:, 3:],
        rnn=nn.GRU(4, 4, batch_first=True),
    )
    stream = Streamed(module, BTF)
    assert list(stream.states) == ["rnn.h"]
    assert stream.contract.states[0].tensor is not None
    stream.check(tolerance=1e-7)  # the file holds the state in float32


def test_a_part_of_the_signal_that_grows_with_it_is_refused():
    with pytest.raises(StreamingError, match="a part of the signal that grows with it"):
        Streamed(Lambda(lambda m, x: x[:, : x.shape[1] // 2] * 2), BTF)


def test_frames_after_the_signal_add_nothing_where_nothing_overlaps():
    module = Lambda(
        lambda m, x: m.after(m.up(m.before(x).tanh() + 1)),
        before=conv(3, padding=1),
        up=nn.ConvTranspose1d(4, 4, 2, stride=2, output_padding=1),
        after=conv(3, padding=1),
    )
    Streamed(module, BFT).check()


def test_mirrored_frames_are_read_where_they_lie_when_the_end_is_cut_off():
    module = Lambda(
        lambda m, x: m.c(functional.pad(m.a(x) + 1, (2, 2), mode="reflect"))[..., :-1],
        a=conv(3, padding=1),
        c=conv(5),
    )
    Streamed(module, BFT).check()
