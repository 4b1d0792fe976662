"""Front ends: transforms traced as convolutions, and how lengths are counted."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rnnedge_exporters.capture import instead
from rnnedge_exporters.streaming.length import Length

from .driver import Lambda, Streamed

pytestmark = pytest.mark.slow

WAVE = "float32[batch, time]"
HANN = torch.hann_window(16, dtype=torch.float64)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(("size", "hop", "width"), [(16, 4, 16), (16, 8, 12), (15, 5, 15)])
def test_the_transform_and_its_inverse_are_torchs_own(center, normalized, size, hop, width):
    x = torch.randn(2, 200, dtype=torch.float64)
    window = torch.hamming_window(width, dtype=torch.float64)
    options = {"window": window, "center": center, "normalized": normalized}
    whole = torch.stft(x, size, hop, width, return_complex=True, **options)
    ours = instead.stft(x, size, hop, width, return_complex=True, **options)
    torch.testing.assert_close(ours, whole)
    if not center and width < size:
        return  # torch refuses a window that is zero at the start
    torch.testing.assert_close(
        instead.istft(whole, size, hop, width, **options),
        torch.istft(whole, size, hop, width, **options),
    )


def test_a_waveform_streams_through_a_transform_and_back_half_a_window_late():
    module = Lambda(lambda m, x: _masked(x, HANN.to(x.dtype), x.shape[-1]))
    stream = Streamed(module, WAVE)
    assert stream.contract.chunk_multiple == 8
    assert stream.output.delay == 8
    stream.check(frames=61, tolerance=1e-6)


class Magnitudes(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hamming_window(16))

    def forward(self, x):
        return torch.stft(x, 16, 4, window=self.window, center=False, return_complex=True).abs()


def test_without_center_the_transform_waits_for_its_window():
    stream = Streamed(Magnitudes(), WAVE)
    assert (stream.output.ratio.denominator, stream.output.delay) == (4, 3)
    stream.check(frames=61, tolerance=1e-5)


def _masked(x, window, length):
    spectrum = torch.stft(x, 16, 8, window=window, return_complex=True)
    gain = spectrum.abs() / (spectrum.abs() + 1)
    return torch.istft(spectrum * gain, 16, 8, window=window, length=length)


STEPS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(-6, 6), st.integers(1, 4)), min_size=1, max_size=4
)


@given(STEPS, st.integers(50, 400))
def test_merged_steps_count_as_the_steps_one_after_the_other(steps, frames):
    merged, count = Length(), frames
    for mul, add, div in steps:
        merged = merged.then(mul, add, div)
        count = (count * mul + add) // div
    assert merged(frames) == max(count, 0)
