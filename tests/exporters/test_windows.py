"""Windows over time; tests are named after the rules of `windows.py`."""

import itertools

import pytest
import torch
from blocks import Block
from chunked import stream
from rules import BCT, BTC, assert_refused, assert_streams, initial, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow


def convolution(kernel, *, left=0, right=0, fill=0.0, **options):
    return streamed(
        lambda m, x: m.conv(functional.pad(x, (left, right), value=fill)),
        conv=nn.Conv1d(4, 4, kernel, **options),
    )


def smallest_delay(span, stride, left):
    """By trial: emission j is there once the frames up to ``stride * (j + 1) - 1`` are."""
    return next(
        delay
        for delay in itertools.count(-span - left)
        if all(stride * i - left + span < stride * (i + delay + 1) for i in range(9))
    )


@pytest.mark.parametrize(
    ("kernel", "dilation", "stride", "left"),
    [(3, 2, 1, 4), (3, 1, 1, 1), (4, 1, 1, 0), (5, 1, 2, 1), (3, 1, 3, 0), (2, 3, 2, 4)],
)
def test_the_delay_is_the_smallest_at_which_the_last_frame_is_there(kernel, dilation, stride, left):
    net = convolution(kernel, left=left, dilation=dilation, stride=stride)
    span = (kernel - 1) * dilation
    assert net.delay == max(0, smallest_delay(span, stride, left))
    assert net.program.multiple == stride
    assert_streams(net, shortest=span + 1)


@pytest.mark.parametrize("padding", ["same", 2])
def test_padding_on_both_sides_is_lookahead(padding):
    net = streamed(lambda m, x: m.conv(x), conv=nn.Conv1d(4, 4, 5, padding=padding, groups=2))
    assert net.delay == 2
    assert_streams(net)


def test_the_context_is_what_the_window_reaches_back_and_no_more():
    assert convolution(3, left=4, dilation=2).states == {"conv.context": ["batch", 4, 4]}
    assert convolution(3, left=2, stride=2).states == {"conv.context": ["batch", 4, 2]}
    # Windows that do not overlap have no past.
    assert convolution(2, stride=2).states == {}


def test_at_the_start_the_context_holds_the_padding():
    net = assert_streams(convolution(3, left=2, fill=0.5))
    assert (initial(net, "conv.context") == 0.5).all()


def test_at_the_start_the_context_holds_what_is_computed_from_padding_alone():
    net = streamed(
        lambda m, x: m.b(m.a(functional.pad(x, (4, 0))).tanh()),
        a=nn.Conv1d(4, 4, 3),
        b=nn.Conv1d(4, 4, 3),
    )
    with torch.no_grad():
        expected = net.module.a(torch.zeros(1, 4, 4, dtype=torch.float64)).tanh()
    torch.testing.assert_close(initial(net, "b.context").double(), expected)
    assert net.delay == 0
    assert_streams(net)


def test_padding_stands_in_place_of_frames_that_are_no_part_of_the_signal():
    net = streamed(
        lambda m, x: m.b(m.a(x) + 1),
        a=nn.Conv1d(4, 4, 3, padding=1),
        b=nn.Conv1d(4, 4, 5, padding=2),
    )
    assert {"signal.position", "signal.length"} <= set(net.states)
    assert net.delay == 3
    assert_streams(net)


def test_padding_of_a_maximum_is_below_all_values():
    net = streamed(
        lambda m, x: functional.max_pool1d(m.conv(x) - 5, 3, 1, 1), conv=nn.Conv1d(4, 4, 3, 1, 1)
    )
    assert_streams(net)


@pytest.mark.parametrize(
    ("zeros", "states"),
    [
        ([3, 4], {"conv.context": ["batch", 4, 2]}),
        # Two taps, one frame apart; the younger of them is read as soon as it is there.
        ([0, 3, 4], {"conv.context": ["batch", 4, 1]}),
    ],
)
def test_taps_that_are_zero_are_not_read(zeros, states):
    conv = nn.Conv1d(4, 4, 5, padding=2)
    conv.weight.data[..., zeros] = 0
    net = stream(Block("", lambda m, x: m.conv(x), conv=conv), BCT)
    assert net.delay == 0
    assert net.states == states
    assert_streams(net)


def test_what_is_read_late_waits_in_a_delay_line_and_not_in_the_context():
    conv = nn.Conv1d(4, 4, 5)
    conv.weight.data[..., [0, 3, 4]] = 0
    net = stream(Block("", lambda m, x: m.conv(functional.pad(x, (4, 0))), conv=conv), BCT)
    assert net.states == {"conv.context": ["batch", 4, 1], "conv.delay": ["batch", 4, 2]}
    assert_streams(net)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_a_window_waits_for_the_frames_that_are_mirrored(mode):
    net = streamed(lambda m, x: m.conv(x), conv=nn.Conv1d(4, 4, 3, padding=1, padding_mode=mode))
    assert net.delay == 1
    assert_streams(net, shortest=3)


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: m.conv(x),
        lambda m, x: functional.max_pool1d(x.transpose(1, 2), 3, 1, 1).transpose(1, 2),
        lambda m, x: x.unfold(1, 2, 2).flatten(1, 1).mean(-1),
    ],
)
def test_a_window_over_another_axis_or_of_one_frame_stays_as_it_is(compute):
    net = streamed(compute, BCT, conv=nn.Conv1d(4, 4, 1))
    assert net.states == {}
    assert_streams(net)


@pytest.mark.parametrize("pool", [functional.max_pool1d, functional.avg_pool1d])
@pytest.mark.parametrize(("width", "step"), [(3, 1), (2, 2), (3, 2)])
def test_pools_are_windows(pool, width, step):
    assert_streams(streamed(lambda m, x: pool(functional.pad(x, (width - 1, 0)), width, step)))


def test_pools_behind_pools_are_windows():
    net = streamed(lambda m, x: functional.avg_pool1d(functional.max_pool1d(x, 2), 2))
    assert net.program.multiple == 4
    assert_streams(net, shortest=4)


@pytest.mark.parametrize(("size", "step"), [(3, 1), (4, 2), (2, 2), (2, 3)])
def test_unfolding_is_a_window(size, step):
    assert_streams(streamed(lambda m, x: x.unfold(2, size, step).mean(-1)), shortest=size)


def test_a_window_in_two_dimensions_keeps_the_other_as_it_is():
    net = streamed(
        lambda m, x: m.conv(x.unsqueeze(1))[:, :, :-4].mean(1),
        BTC,
        conv=nn.Conv2d(1, 3, (3, 3), dilation=(2, 1), padding=(4, 1)),
    )
    assert net.states == {"conv.context": ["batch", 1, 4, 4]}
    assert_streams(net)


def test_a_window_in_three_dimensions_keeps_the_others_as_they_are():
    net = streamed(
        lambda m, x: m.conv(x[:, None, :, None])[..., 0, :].flatten(1, 2)[..., :-2],
        conv=nn.Conv3d(1, 2, (3, 1, 3), padding=(1, 0, 2)),
    )
    assert net.states == {"conv.context": ["batch", 1, 4, 1, 2]}
    assert_streams(net)


def test_windows_whose_number_is_rounded_up_are_refused():
    assert_refused(
        "the number of its windows is rounded up",
        lambda m, x: functional.max_pool1d(x, 3, 2, ceil_mode=True),
        fix="set ceil_mode=False",
    )


def test_a_mean_that_leaves_padding_out_is_refused():
    assert_refused(
        "its mean leaves the padding out",
        lambda m, x: functional.avg_pool1d(x, 3, 1, 1, count_include_pad=False),
        fix="set count_include_pad=True",
    )


def test_padding_of_the_other_axis_by_one_more_on_one_side_is_refused():
    assert_refused(
        "pads its other axis by one more on one side",
        lambda m, x: m.conv(x.unsqueeze(1)),
        BTC,
        fix="pad that axis with F.pad",
        where="module 'conv' (Conv2d)",
        conv=nn.Conv2d(1, 2, (3, 2), padding="same"),
    )


def test_padding_of_what_is_padded_with_the_signals_own_frames_is_refused():
    assert_refused(
        "it pads what is padded with the signal's own frames",
        lambda m, x: m.conv(functional.pad(x, (1, 0), mode="replicate")),
        conv=nn.Conv1d(4, 4, 3, padding=1),
    )
