"""Padding with the signal's own frames; tests are named after the rules of `edges.py`."""

import pytest
from rules import BTC, assert_refused, assert_streams, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow


def padded(mode, left, right, kernel, *, before=False):
    def compute(m, x):
        x = m.before(x) + 1 if before else x
        return m.conv(functional.pad(x, (left, right), mode=mode))

    return streamed(compute, before=nn.Conv1d(4, 4, 3, padding=1), conv=nn.Conv1d(4, 4, kernel))


@pytest.mark.parametrize(
    ("mode", "left", "delay"),
    # Frame 0 of the result reads frame 2 in the mirror; and the first frame repeated.
    [("reflect", 2, 2), ("replicate", 2, 0), ("reflect", 1, 1)],
)
def test_a_window_waits_until_the_frames_mirrored_at_the_start_are_there(mode, left, delay):
    net = padded(mode, left, 0, left + 1)
    assert net.delay == delay
    assert_streams(net, shortest=left + 1)


@pytest.mark.parametrize(("mode", "back"), [("reflect", 4), ("replicate", 2)])
def test_the_context_reaches_back_to_the_frames_mirrored_at_the_end(mode, back):
    net = padded(mode, 0, 2, 3)
    assert net.states["conv.context"][2] >= back
    assert_streams(net, shortest=3)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_both_ends_of_a_signal_that_comes_late(mode):
    assert_streams(padded(mode, 2, 2, 5, before=True), shortest=3)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_windows_with_a_stride_read_the_mirror_too(mode):
    net = streamed(
        lambda m, x: m.conv(functional.pad(x, (3, 2), mode=mode)), conv=nn.Conv1d(4, 4, 4, stride=2)
    )
    assert_streams(net, shortest=4)


def test_what_is_made_of_mirrored_frames_one_by_one_is_mirrored_too():
    net = streamed(
        lambda m, x: m.conv(functional.pad(x, (2, 2), mode="reflect").tanh() * 2),
        conv=nn.Conv1d(4, 4, 5),
    )
    assert net.delay == 2
    assert_streams(net, shortest=3)


def test_mirrored_frames_are_read_where_they_lie_when_the_end_is_cut_off():
    net = streamed(
        lambda m, x: m.conv(functional.pad(m.before(x) + 1, (2, 2), mode="reflect"))[..., :-1],
        before=nn.Conv1d(4, 4, 3, padding=1),
        conv=nn.Conv1d(4, 4, 5),
    )
    assert_streams(net, shortest=3)


def test_padding_that_is_cut_off_again_is_less_padding():
    net = streamed(
        lambda m, x: m.conv(functional.pad(x, (3, 3), mode="reflect")[..., 1:-2]),
        conv=nn.Conv1d(4, 4, 4),
    )
    assert_streams(net, shortest=4)


@pytest.mark.parametrize(
    ("what", "compute"),
    [
        ("it returns what is padded", lambda m, x: x),
        ("it reads padding with the signal's own", lambda m, x: m.rnn(x.transpose(1, 2))[0]),
        ("it reads padding with the signal's own", lambda m, x: x.cumsum(-1)),
        ("it reads padding with the signal's own", lambda m, x: m.up(x)),
        ("it leaves out frames of what is padded", lambda m, x: x[..., ::2]),
        ("it gives 2 frames for each", lambda m, x: x.repeat_interleave(2, -1)),
    ],
)
def test_what_reads_it_otherwise_than_a_window_is_refused(what, compute):
    fix = "cut the padding off" if "returns" in what else "--mode sequence"
    assert_refused(
        what,
        lambda m, x: compute(m, functional.pad(x, (2, 0), mode="replicate")),
        fix=fix,
        rnn=nn.GRU(4, 4, batch_first=True),
        up=nn.ConvTranspose1d(4, 4, 3, 2),
    )


def test_a_branch_that_is_not_padded_beside_one_that_is_is_refused():
    assert_refused(
        "it joins a signal that is padded with its own frames to one that is not",
        lambda m, x: m.conv(functional.pad(x, (1, 1), mode="reflect") + functional.pad(x, (2, 0))),
        fix="pad just before the layer that needs it",
        conv=nn.Conv1d(4, 4, 3),
    )


def test_other_axes_in_the_same_call_are_refused():
    assert_refused(
        "it pads time in mode 'reflect' together with other axes, or twice",
        lambda m, x: m.conv(functional.pad(x.unsqueeze(1), (1, 1, 2, 0), mode="reflect")),
        BTC,
        fix="pad time on its own, once",
        conv=nn.Conv2d(1, 2, 3),
    )


def test_rows_and_channels_may_be_folded():
    def compute(m, x):
        rows = functional.pad(x.reshape(-1, 1, x.shape[-1]), (2, 2), mode="reflect")
        return m.conv(rows).reshape(x.shape)

    assert_streams(streamed(compute, conv=nn.Conv1d(1, 1, 5)), shortest=3)
