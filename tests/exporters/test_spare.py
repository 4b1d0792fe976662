"""What nobody reads at the end; tests are named after the rules of `spare.py`.

Padding that is read at the end of the signal needs to know where that is: a state ``signal.length``
tells whether it is written.
"""

import pytest
import torch
from rules import assert_streams, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow


def knows_the_end(net):
    assert_streams(net, shortest=3)
    return "signal.length" in net.states


def conv(kernel=3, **options):
    return nn.Conv1d(4, 4, kernel, **options)


def test_an_output_is_read_to_its_end():
    assert knows_the_end(streamed(lambda m, x: m.a(x), a=conv(padding=1)))


def test_what_is_made_frame_by_frame_reads_as_far_as_it_is_read_itself():
    net = streamed(lambda m, x: (m.a(x).tanh() + 1).transpose(1, 2)[:, :-2] * 2, a=conv(padding=2))
    assert not knows_the_end(net)


def test_frames_that_a_slice_cuts_off_are_not_read():
    assert not knows_the_end(streamed(lambda m, x: m.a(x)[..., :-2], a=conv(padding=2)))
    assert knows_the_end(streamed(lambda m, x: m.a(x)[..., :-1], a=conv(padding=2)))


def test_the_end_is_read_if_anything_reads_it():
    def compute(m, x):
        y = m.a(x)
        return y[..., :-2], y[..., :-1]

    assert knows_the_end(streamed(compute, a=conv(padding=2)))


def test_a_chain_of_paddings_cut_off_again_is_not_read():
    def compute(m, x):
        x = m.a(x)[..., :-2].relu()
        return m.b(x)[..., :-4] + x

    assert not knows_the_end(streamed(compute, a=conv(padding=2), b=conv(dilation=2, padding=4)))


def test_frames_that_a_stride_leaves_over_are_not_read():
    # Of 2 * n frames and one of padding, windows of two read all; of two of padding, too.
    even = streamed(lambda m, x: m.b(m.a(x)[..., ::2]), a=conv(padding=1), b=conv(1))
    assert_streams(even)


def test_padding_on_the_right_that_is_used_up_leaves_the_arguments_end_unread():
    def compute(m, x):
        y = functional.pad(m.a(x) + 1, (2, 1))
        return m.b(y)[..., :-3]

    assert not knows_the_end(streamed(compute, a=conv(padding=1), b=conv()))


def test_padding_on_the_right_that_alone_is_cut_off_leaves_the_arguments_end_to_be_read():
    def compute(m, x):
        y = functional.pad(m.a(x) + 1, (2, 1))
        return m.b(y)[..., :-1]

    assert knows_the_end(streamed(compute, a=conv(padding=1), b=conv()))


def test_what_a_transposed_convolution_adds_beyond_is_not_read_when_it_is_cut_off():
    def compute(m, x):
        y = m.down(functional.pad(x, (2, 0)))
        return m.up(y)[..., : x.shape[-1] - 2]

    net = streamed(compute, down=conv(4, stride=2), up=nn.ConvTranspose1d(4, 4, 4, 2))
    assert_streams(net, shortest=4)


def test_what_repeats_frames_reads_each_as_often():
    net = streamed(lambda m, x: m.a(x).repeat_interleave(2, -1)[..., :-4], a=conv(padding=2))
    assert not knows_the_end(net)


def test_the_last_frame_is_not_spared():
    net = streamed(lambda m, x: torch.stack([x, m.a(x)], 0).sum(0), a=conv(padding=1))
    assert knows_the_end(net)


@pytest.mark.parametrize(("mode", "sides"), [("reflect", 1), ("replicate", 2)])
def test_mirrored_frames_that_are_not_read_leave_the_signals_own_to_be_read(mode, sides):
    def compute(m, x):
        mirrored = functional.pad(m.a(x) + 1, (sides, sides), mode=mode)
        return m.b(mirrored)[..., :-sides]

    assert knows_the_end(streamed(compute, a=conv(padding=1), b=conv(2 * sides + 1)))
