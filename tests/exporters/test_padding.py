"""Padding of time; tests are named after the rules of `padding.py`."""

import pytest
import torch
from rules import BTC, assert_refused, assert_streams, initial, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow


def conv(kernel=3, **options):
    return nn.Conv1d(4, 4, kernel, **options)


def test_padding_of_the_past_is_the_initial_content_of_what_reads_it():
    net = assert_streams(
        streamed(lambda m, x: m.c(functional.pad(x, (2, 0), value=-0.5)), c=conv())
    )
    assert net.states == {"c.context": ["batch", 4, 2]}
    assert (initial(net, "c.context") == -0.5).all()


def test_padding_of_the_past_that_is_returned_is_in_a_delay_line():
    net = assert_streams(streamed(lambda m, x: functional.pad(x, (3, 0), value=2.0)))
    assert list(net.states.values()) == [["batch", 4, 3]]
    assert net.delay == 0


def test_padding_of_the_future_that_is_not_read_is_not_written():
    net = assert_streams(streamed(lambda m, x: m.c(functional.pad(x, (2, 2)))[..., :-2], c=conv()))
    assert net.states == {"c.context": ["batch", 4, 2]}


def test_padding_of_the_future_that_is_read_is_written():
    net = assert_streams(streamed(lambda m, x: m.c(functional.pad(x, (0, 2), value=1.0)), c=conv()))
    assert set(net.states) == {"c.context", "signal.position", "signal.length"}
    assert net.delay == 2


def test_frames_that_are_no_part_of_the_signal_are_set_to_the_paddings_value():
    net = streamed(
        lambda m, x: m.d(functional.pad(m.c(x) + 1, (2, 1), value=0.5)),
        c=conv(padding=1),
        d=conv(4),
    )
    assert {"signal.position", "signal.length"} <= set(net.states)
    assert_streams(net)


def test_other_axes_are_padded_in_passing():
    net = streamed(
        lambda m, x: m.c(functional.pad(x.unsqueeze(1), (1, 1, 2, 0))), BTC, c=nn.Conv2d(1, 2, 3)
    )
    assert_streams(net)


def test_negative_padding_cuts_frames_off():
    assert_streams(streamed(lambda m, x: functional.pad(x, (-2, -1))), shortest=4)
    assert_streams(streamed(lambda m, x: m.c(functional.pad(x, (2, -1))), c=conv()), shortest=2)


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: torch.cat([torch.zeros_like(x[..., :2]), x[..., :-2]], -1),
        lambda m, x: torch.cat([m.start.expand(x.shape[0], -1, -1), x], -1),
        lambda m, x: m.c(torch.cat([m.start.expand(x.shape[0], -1, -1), x], -1)),
        lambda m, x: m.c(torch.cat([x, torch.ones_like(x[..., :2])], -1)),
    ],
    ids=["a shift", "a learned start", "a learned start, read", "after"],
)
def test_joining_constant_frames_is_padding_with_them(compute):
    torch.manual_seed(1)
    c = conv()
    start = nn.Parameter(torch.randn(1, 4, 2))
    net = streamed(lambda m, x: compute(_With(c, start), x), c=c, start=nn.ParameterList([start]))
    assert_streams(net, shortest=3)


class _With:
    def __init__(self, c, start):
        self.c, self.start = c, start


def test_padding_that_wraps_around_is_refused():
    assert_refused(
        "padding in mode 'circular' puts the end of the signal before its start",
        lambda m, x: functional.pad(x, (2, 0), mode="circular"),
        fix="pad with zeros",
    )


def test_padding_by_a_length_is_refused():
    assert_refused(
        "it computes with the number of frames",
        lambda m, x: functional.pad(x, (x.shape[-1], 0))[..., : x.shape[-1]],
        fix="leave the length out",
    )


def test_padding_what_is_padded_with_the_signals_own_frames_is_refused():
    for again, fix in (
        (lambda x: functional.pad(x, (1, 0)), "--mode sequence"),
        (lambda x: torch.cat([torch.zeros_like(x[..., :1]), x], -1), "--mode sequence"),
    ):
        assert_refused(
            "it pads what is padded with the signal's own frames",
            lambda m, x, again=again: m.c(again(functional.pad(x, (1, 1), mode="reflect"))),
            fix=fix,
            c=conv(),
        )
    assert_refused(
        "it pads time in mode 'replicate' together with other axes, or twice",
        lambda m, x: m.c(
            functional.pad(functional.pad(x, (1, 0), mode="replicate"), (1, 0), mode="replicate")
        ),
        fix="pad time on its own, once",
        c=conv(),
    )


def test_cutting_off_more_than_was_padded_is_refused():
    assert_refused(
        "it cuts off more than was padded with the signal's own frames",
        lambda m, x: m.c(functional.pad(x, (2, 0), mode="replicate")[..., 3:]),
        fix="cut the signal before it is padded",
        c=conv(),
    )


def test_joining_two_signals_is_refused():
    assert_refused(
        "it joins two signals one after the other",
        lambda m, x: torch.cat([x, x * 2], -1),
    )


def test_joining_frames_that_are_computed_from_an_input_is_refused():
    assert_refused(
        "it uses frames counted from the start",
        lambda m, x: torch.cat([x[..., :1], x], -1),
    )


def test_joining_frames_that_differ_to_a_signal_that_comes_late_is_refused():
    start = nn.Parameter(torch.randn(1, 4, 2))
    assert_refused(
        "frames that differ from each other are joined to a signal that comes late",
        lambda m, x: m.d(torch.cat([start.expand(x.shape[0], -1, -1), m.c(x)], -1)),
        fix="join frames of one value",
        c=conv(padding=1),
        d=conv(),
    )


def test_joining_zeros_of_a_shape_behind_a_window_is_padding():
    def compute(m, x):
        y = m.c(x)
        return torch.cat([torch.zeros_like(y[..., :2]), y], -1)

    assert_streams(streamed(compute, c=conv()), shortest=4)


@pytest.mark.parametrize(
    "compute",
    [
        lambda rows, m: torch.cat([m[0](rows[..., :2]), m[1](rows[..., 2:])], -1),
        lambda rows, m: torch.cat([m[0](rows[..., :2])[:, :-1], torch.ones_like(rows[:, :2])], 1),
        lambda rows, m: functional.pad(m[0](rows[..., :2]), (0, 1, 2, 0), value=0.5),
    ],
    ids=["halves of the features", "constants", "padding"],
)
def test_other_axes_are_padded_and_joined_where_time_is_folded_into_the_batch(compute):
    def folded(m, x):
        rows = x.flatten(0, 1)  # [batch * time, bands, features]
        return compute(rows, [lambda y: m.a(y)[0], lambda y: m.b(y)[0]]).unflatten(
            0, (x.shape[0], x.shape[1])
        )

    a, b = (nn.GRU(2, 2, batch_first=True, bidirectional=True) for _ in range(2))
    net = assert_streams(streamed(folded, "float32[batch, time, 5, 4]", a=a, b=b))
    assert net.states == {}


@pytest.mark.parametrize(
    "compute",
    [
        lambda y: functional.pad(y, (2, 0)),
        lambda y: torch.cat([y.new_zeros(y.shape[0], 2), y], 1),
    ],
    ids=["pad", "cat"],
)
def test_adding_frames_where_time_is_folded_is_refused(compute):
    assert_refused(
        "it adds frames along an axis in which time is folded with something else",
        lambda m, x: compute(x.flatten(1)),
        fix="add them before time is folded",
    )
