"""Transposed convolutions and repetition; tests are named after the rules of `upsampling.py`."""

import pytest
from rules import BTC, assert_refused, assert_streams, initial, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow


def transposed(*args, **options):
    return streamed(lambda m, x: m.up(x), up=nn.ConvTranspose1d(4, 4, *args, **options))


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "past"),
    [(4, 2, 1, 1), (5, 2, 1, 2), (2, 2, 1, 0), (3, 1, 1, 2), (3, 2, 2, 2)],
)
def test_it_gives_the_frames_that_no_later_frame_adds_to(kernel, stride, dilation, past):
    net = transposed(kernel, stride, dilation=dilation)
    assert net.contract.outputs[0].ratio == stride
    shapes = {name: shape for name, shape in net.states.items() if name == "up.context"}
    assert shapes == ({"up.context": ["batch", 4, past]} if past else {})
    assert_streams(net)


@pytest.mark.parametrize(
    ("layer", "delay"),
    [
        (nn.ConvTranspose1d(4, 4, 4, 2), 0),
        (nn.ConvTranspose1d(4, 4, 4, 2, padding=1), 1),
        (nn.ConvTranspose1d(4, 4, 5, 3, padding=1, output_padding=1), 1),
        (nn.ConvTranspose1d(4, 4, 3, 2, dilation=2), 0),
        (nn.ConvTranspose1d(4, 4, 2, 3), 1),
        (nn.Upsample(scale_factor=2), 0),
    ],
)
def test_the_delay_is_what_is_cut_off_or_missing(layer, delay):
    assert streamed(lambda m, x: m.up(x), up=layer).delay == delay


def test_before_the_signal_its_context_is_zero():
    assert not initial(transposed(4, 2), "up.context").any()


def test_a_kernel_shorter_than_the_stride_leaves_a_gap():
    assert_streams(transposed(2, 3))
    assert_streams(transposed(1, 2))


def test_frames_that_are_no_part_of_the_signal_add_nothing():
    net = streamed(
        lambda m, x: m.up(m.conv(x) + 1),
        conv=nn.Conv1d(4, 4, 3, padding=1),
        up=nn.ConvTranspose1d(4, 4, 4, 2),
    )
    assert {"signal.position", "signal.length"} <= set(net.states)
    assert_streams(net)


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": 2}])
def test_padding_on_the_left_is_delay(options):
    net = transposed(5, 2, **options)
    assert net.delay >= options["padding"]
    assert_streams(net)


def test_what_is_cut_off_or_added_on_the_right_is_length():
    net = assert_streams(transposed(5, 3, padding=1, output_padding=1))
    assert net.contract.outputs[0].length_of(10) == 9 * 3 + 5 - 2 + 1
    cut = streamed(lambda m, x: m.up(x)[..., : x.shape[-1] * 2], up=nn.ConvTranspose1d(4, 4, 4, 2))
    assert "signal.length" not in cut.states
    assert_streams(cut)


@pytest.mark.parametrize("ahead", [0, 1])
def test_down_and_up_again_beside_what_was_before(ahead):
    net = streamed(
        lambda m, x: x + m.up(m.down(functional.pad(x, (2, ahead))).tanh())[..., : x.shape[-1]],
        down=nn.Conv1d(4, 4, 4, 2),
        up=nn.ConvTranspose1d(4, 4, 4, 2),
    )
    assert net.program.multiple == 2
    # Two frames come at once, so even one ahead is there; what was before waits for nothing.
    assert net.delay == 0
    assert "add.delay" not in net.states
    assert_streams(net, shortest=2)


@pytest.mark.parametrize(
    "repeat",
    [
        lambda x: functional.interpolate(x, scale_factor=2),
        lambda x: x.repeat_interleave(3, -1),
        lambda x: functional.interpolate(x.unsqueeze(2), scale_factor=(1, 2)).squeeze(2),
    ],
)
def test_frames_repeated_are_as_in_the_whole_sequence(repeat):
    net = streamed(lambda m, x: repeat(m.conv(x)), conv=nn.Conv1d(4, 4, 3, padding=1))
    assert_streams(net)


def test_a_factor_that_is_no_whole_number_is_refused():
    assert_refused(
        "the number of its frames is",
        lambda m, x: functional.interpolate(x, scale_factor=1.5),
    )


def test_repetition_of_another_axis_is_left_alone():
    assert_streams(streamed(lambda m, x: x.repeat_interleave(2, -1), BTC))


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (2, 3), (1, 2)])
def test_what_is_added_on_the_right_holds_no_frame_after_the_signal(kernel, stride):
    # No frame overlaps another, and still the last ones are of no frame of the signal.
    assert_streams(transposed(kernel, stride, output_padding=stride - 1))


def test_frames_after_the_signal_add_nothing_where_nothing_overlaps():
    net = streamed(
        lambda m, x: m.after(m.up(m.before(x).tanh() + 1)),
        before=nn.Conv1d(4, 4, 3, padding=1),
        up=nn.ConvTranspose1d(4, 4, 2, 2, output_padding=1),
        after=nn.Conv1d(4, 4, 3, padding=1),
    )
    assert_streams(net)
