"""Functions that are traced as others compute what torch's own do."""

import pytest
import torch
from rules import assert_streams, streamed
from torch import nn
from torch.nn import functional

from rnnedge_exporters.capture import instead
from rnnedge_exporters.errors import CaptureError

pytestmark = pytest.mark.slow

WINDOW = torch.hann_window(16, dtype=torch.float64) + 0.1
SIGNAL = torch.randn(3, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TRANSFORMS = {
    "as it comes": {"n_fft": 16},
    "a hop": {"n_fft": 16, "hop_length": 8, "window": WINDOW},
    "an odd size": {"n_fft": 15, "hop_length": 5},
    "a short window": {"n_fft": 16, "win_length": 10, "window": WINDOW[:10]},
    "not centred": {"n_fft": 16, "center": False, "window": WINDOW},
    "normalised": {"n_fft": 16, "normalized": True, "window": WINDOW},
    "normalised, not centred": {
        "n_fft": 15,
        "hop_length": 5,
        "win_length": 15,
        "window": WINDOW[:15],
        "normalized": True,
        "center": False,
    },
}
TRANSFORM = pytest.mark.parametrize("options", TRANSFORMS.values(), ids=TRANSFORMS.keys())


def same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@TRANSFORM
def test_a_transform_is_torchs(options):
    options = {"window": torch.ones(options.get("win_length", options["n_fft"])).double()} | options
    for signal in (SIGNAL, SIGNAL[0]):
        same(
            instead.stft(signal, **options, return_complex=True),
            torch.stft(signal, **options, return_complex=True),
        )


@pytest.mark.parametrize("mode", ["constant", "replicate"])
def test_a_transform_pads_in_the_mode_that_is_asked_for(mode):
    options = {"n_fft": 16, "window": WINDOW, "pad_mode": mode, "return_complex": True}
    same(instead.stft(SIGNAL, **options), torch.stft(SIGNAL, **options))


def test_a_transform_may_be_real_with_a_last_axis_of_two():
    options = {"n_fft": 16, "window": WINDOW}
    expected = torch.view_as_real(torch.stft(SIGNAL, **options, return_complex=True))
    same(instead.stft(SIGNAL, **options, return_complex=False), expected)


@TRANSFORM
@pytest.mark.parametrize("length", [None, 90])
def test_an_inverse_transform_is_torchs(options, length):
    options = {"window": torch.ones(options.get("win_length", options["n_fft"])).double()} | options
    spectrum = torch.stft(SIGNAL, **options, return_complex=True) * 0.5
    if length and not options.get("center", True):
        length = 80
    got = instead.istft(spectrum, **options, length=length)
    same(got, torch.istft(spectrum, **options, length=length))
    one = instead.istft(spectrum[0], **options, length=length)
    same(one, got[0])


@pytest.mark.parametrize(
    ("width", "options"),
    [(3, {}), (3, {"stride": 1}), ([2], {"stride": [3]}), (3, {"stride": 2, "padding": 1})],
)
def test_pooling_over_one_axis_is_torchs(width, options):
    for x in (SIGNAL.unsqueeze(1), SIGNAL):
        same(instead.max_pool1d(x, width, **options), functional.max_pool1d(x, width, **options))
        same(instead.avg_pool1d(x, width, **options), functional.avg_pool1d(x, width, **options))
    dilated = {"kernel_size": 2, "stride": 1, "dilation": 2}
    same(instead.max_pool1d(SIGNAL, **dilated), functional.max_pool1d(SIGNAL, **dilated))


def test_a_mean_may_leave_padding_out():
    options = {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False}
    same(instead.avg_pool1d(SIGNAL, **options), functional.avg_pool1d(SIGNAL, **options))


@pytest.mark.parametrize(
    "options",
    [{}, {"n": 2}, {"dim": 0}, {"prepend": SIGNAL[:, :1]}, {"append": SIGNAL[:, :2], "n": 2}],
)
def test_a_difference_is_torchs(options):
    same(instead.diff(SIGNAL, **options), torch.diff(SIGNAL, **options))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("stft", lambda: instead.stft(SIGNAL.to(torch.complex128), 16)),
        ("stft", lambda: instead.stft(SIGNAL, 16, onesided=False)),
        ("stft", lambda: instead.stft(SIGNAL, 16, align_to_window=True)),
        ("istft", lambda: instead.istft(torch.zeros(9, 5).cfloat(), 16, return_complex=True)),
        ("istft", lambda: instead.istft(torch.zeros(9, 5).cfloat(), 16, onesided=False)),
        ("max_pool1d", lambda: instead.max_pool1d(SIGNAL, 2, return_indices=True)),
    ],
)
def test_what_has_no_other_form_is_refused(name, call):
    with pytest.raises(CaptureError, match=f"torch.{name} with .* cannot be exported") as error:
        call()
    assert error.value.where == f"torch.{name}"
    assert error.value.fix.startswith("leave it out")


WAVE = "float32[batch, time]"


# The first sample of the next frame is not waited for where the window is zero.
@pytest.mark.parametrize(("least", "delay"), [(0.0, 8), (0.1, 16)])
def test_transforms_stream(least, delay):
    window = torch.hann_window(16) + least

    def masked(m, x):
        shaped = window.to(x.dtype)
        spectrum = torch.stft(x, 16, 8, window=shaped, return_complex=True)
        return torch.istft(
            spectrum * spectrum.abs().tanh(), 16, 8, window=shaped, length=x.shape[-1]
        )

    net = streamed(masked, WAVE)
    assert (net.program.multiple, net.delay) == (8, delay)
    assert_streams(net, shortest=12, longest=60, tolerance=1e-5)


def test_without_center_a_transform_waits_for_its_window():
    front = nn.Module()
    front.register_buffer("window", torch.hamming_window(16))
    net = streamed(
        lambda m, x: torch.stft(
            x, 16, 4, window=m.front.window, center=False, return_complex=True
        ).abs(),
        WAVE,
        front=front,
    )
    assert (net.contract.outputs[0].ratio.denominator, net.delay) == (4, 3)
    assert_streams(net, shortest=16, longest=60, tolerance=1e-5)


def test_differences_stream():
    net = streamed(lambda m, x: torch.diff(x, prepend=torch.zeros_like(x[:, :1])), WAVE)
    assert net.delay == 0
    assert_streams(net)
    assert_streams(streamed(lambda m, x: x.diff(n=2), WAVE), shortest=3)
