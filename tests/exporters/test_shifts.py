"""Slices of time; tests are named after the rules of `shifts.py`."""

import pytest
import torch
from rules import BTC, assert_refused, assert_streams, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow


def test_frames_cut_off_at_the_start_are_delay():
    net = assert_streams(streamed(lambda m, x: x[:, 3:] * 2, BTC), shortest=4)
    assert (net.delay, net.states) == (3, {})
    assert net.contract.outputs[0].length_of(10) == 7


def test_frames_cut_off_at_the_end_are_length():
    net = assert_streams(streamed(lambda m, x: x[:, :-3] * 2, BTC), shortest=4)
    # Which frames are the last is known when the signal ends: they wait till then.
    assert net.contract.outputs[0].length_of(10) == 7
    assert net.states == {"slice.delay": ["batch", 3, 4]}


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: m.conv(functional.pad(x[..., :-2], (0, 2), value=0.3)),
        lambda m, x: m.conv(functional.pad(functional.pad(x, (1, -2)), (1, 1), value=0.3)),
        lambda m, x: m.conv(functional.pad(x[..., 1:-1] * 2, (2, 2), mode="reflect")),
        lambda m, x: m.up(x[..., :-2])[..., 1:-1],
        lambda m, x: m.conv(functional.pad(m.cut(x), (1, 1), value=0.3)),
        lambda m, x: m.conv(functional.pad(functional.pad(m.cut(x), (2, -1)), (0, 2), value=0.3)),
    ],
    ids=["slice", "negative padding", "mirrored", "transposed", "cut by it", "cut twice"],
)
def test_frames_that_are_cut_off_are_not_read_in_the_place_of_padding(compute):
    layers = {"conv": nn.Conv1d(4, 4, 3), "up": nn.ConvTranspose1d(4, 4, 5, stride=2)}
    layers["cut"] = nn.ConvTranspose1d(4, 4, 2, stride=2, padding=1)
    assert_streams(streamed(compute, **layers), shortest=8)


def test_a_result_cut_to_the_length_of_the_input_ends_earlier():
    net = streamed(lambda m, x: m.conv(x)[..., : x.shape[-1]], conv=nn.Conv1d(4, 4, 3, padding=2))
    assert net.states == {"conv.context": ["batch", 4, 2]}
    assert_streams(net)


@pytest.mark.parametrize(("first", "step"), [(0, 2), (1, 3), (2, 2)])
def test_every_so_manieth_frame_is_a_window_of_one_frame(first, step):
    net = assert_streams(streamed(lambda m, x: x[:, first::step] + 1, BTC), shortest=first + 1)
    assert net.program.multiple == step
    assert net.contract.outputs[0].ratio == pytest.approx(1 / step)


def test_every_so_manieth_frame_of_what_comes_late():
    net = streamed(lambda m, x: m.conv(x)[..., ::2] + 1, conv=nn.Conv1d(4, 4, 3, padding=1))
    assert_streams(net)


def test_a_shift_is_a_delay_line():
    net = streamed(lambda m, x: x + functional.pad(x[:, :-2], (0, 0, 2, 0)), BTC)
    assert net.delay == 0
    assert [shape for shape in net.states.values() if len(shape) == 3] == [["batch", 2, 4]]
    assert_streams(net, shortest=3)


def test_a_difference_of_neighbours_keeps_one_frame():
    net = assert_streams(streamed(lambda m, x: x[:, 1:] - x[:, :-1], BTC), shortest=2)
    assert (net.delay, net.states) == (1, {"slice.delay": ["batch", 1, 4]})


def test_a_shift_to_the_future_is_lookahead():
    net = assert_streams(
        streamed(lambda m, x: x - functional.pad(x[:, 2:], (0, 0, 0, 2)), BTC), shortest=3
    )
    assert net.delay == 2


def test_frames_counted_from_the_start_may_not_be_used():
    for compute in (lambda m, x: x - x[:, :3].mean(1, keepdim=True), lambda m, x: x - x[:, :1]):
        assert_refused("it uses frames counted from the start", compute, BTC)
    assert_refused(
        "it returns frames counted from the start or the end",
        lambda m, x: x[:, :3],
        BTC,
        fix="return all frames",
    )


def test_the_last_frame_is_latest():
    net = assert_streams(streamed(lambda m, x: (x[:, -1] * 2, x + 1), BTC))
    assert net.contract.outputs[0].time_axis is None


def test_the_last_frame_of_what_comes_late_is_refused():
    assert_refused(
        "what follows the last frame is returned, and that frame comes later",
        lambda m, x: m.conv(x)[..., -1],
        fix="return all frames instead",
        conv=nn.Conv1d(4, 4, 3, padding=1),
    )


def test_frames_counted_from_the_end_are_refused():
    assert_refused(
        "the number of its frames is",
        lambda m, x: x[:, x.shape[1] // 2 :],
        BTC,
    )


def test_a_cut_that_cuts_nothing_off_changes_nothing():
    assert assert_streams(streamed(lambda m, x: (x * 2)[..., : x.shape[-1]])).states == {}


def test_a_part_that_grows_with_the_signal_is_refused():
    assert_refused(
        "a part of the signal that grows with it",
        lambda m, x: x[:, : x.shape[1] // 2],
        BTC,
        fix="keep all frames but a number of them",
    )


def test_as_many_frames_from_the_end_as_the_shorter_of_two_has_are_a_cut_at_the_start():
    def compute(m, x):
        long = functional.pad(x, (6, 0))
        kept = torch.sym_min(m.c(long).shape[-1], long.shape[-1])
        return (long[..., -kept:] + m.c(long))[..., -(kept - 4) :] + x

    net = assert_streams(streamed(compute, c=nn.Conv1d(4, 4, 3)))
    assert net.delay == 0
