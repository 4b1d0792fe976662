"""A causal convolutional-recurrent speech denoiser, written for whole signals.

Waveform in, waveform out, 16 kHz. A U-Net over frequency, around two dual-path recurrent blocks and
a stack of dilated temporal convolutions, predicts a complex mask. Every layer looks at the past
alone; nothing here knows about streaming.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE_RATE = 16_000
N_FFT, HOP = 320, 160  # windows of 20 ms, every 10 ms
BINS = N_FFT // 2 + 1


class DownBlock(nn.Module):
    """Halves the frequencies; sees `frames` frames, the present one and those before it."""

    def __init__(self, inputs: int, outputs: int, frames: int) -> None:
        super().__init__()
        self.past = frames - 1
        self.conv = nn.Conv2d(inputs, outputs, (frames, 5), stride=(1, 2), padding=(0, 2))
        self.norm = nn.BatchNorm2d(outputs)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, inputs, time, freq]`` to ``[batch, outputs, time, freq // 2 + 1]``."""
        x = F.pad(x, (0, 0, self.past, 0))
        return self.act(self.norm(self.conv(x)))


class UpBlock(nn.Module):
    """Doubles the frequencies of what comes from below, beside the skip of the same size."""

    def __init__(self, inputs: int, outputs: int, last: bool = False) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * inputs, inputs, 1)
        self.conv = nn.ConvTranspose2d(inputs, outputs, (1, 5), stride=(1, 2), padding=(0, 2))
        self.norm = nn.Identity() if last else nn.BatchNorm2d(outputs)
        self.act = nn.Identity() if last else nn.PReLU(outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Both ``[batch, inputs, time, freq]``; to ``[batch, outputs, time, 2 * freq - 1]``."""
        x = self.mix(torch.cat([x, skip], dim=1))
        return self.act(self.norm(self.conv(x)))


class DualPath(nn.Module):
    """A GRU along the frequencies of each frame, then a GRU along time for each frequency."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.across = nn.GRU(channels, hidden // 2, batch_first=True, bidirectional=True)
        self.across_out = nn.Linear(hidden, channels)
        self.across_norm = nn.LayerNorm(channels)
        self.along = nn.GRU(channels, hidden, batch_first=True)
        self.along_out = nn.Linear(hidden, channels)
        self.along_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, time, freq]``, the same shape out."""
        batch, channels, time, freq = x.shape
        x = x.permute(0, 2, 3, 1)  # [batch, time, freq, channels]

        y = x.reshape(batch * time, freq, channels)
        y = self.across_out(self.across(y)[0])
        x = x + self.across_norm(y).reshape(batch, time, freq, channels)

        y = x.transpose(1, 2).reshape(batch * freq, time, channels)
        y = self.along_out(self.along(y)[0])
        y = self.along_norm(y).reshape(batch, freq, time, channels)
        x = x + y.transpose(1, 2)

        return x.permute(0, 3, 1, 2)


class TemporalBlock(nn.Module):
    """A residual depthwise convolution over time, dilated, with a gate."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.past = 2 * dilation
        self.enter = nn.Conv2d(channels, channels, 1)
        self.enter_act = nn.PReLU(channels)
        self.conv = nn.Conv2d(channels, channels, (3, 1), dilation=(dilation, 1), groups=channels)
        self.norm = nn.BatchNorm2d(channels)
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, time, freq]``, the same shape out."""
        y = self.enter_act(self.enter(x))
        y = self.conv(F.pad(y, (0, 0, self.past, 0)))
        return x + self.leave(torch.tanh(self.norm(y)))


class SpectralCore(nn.Module):
    """Noisy spectrum in, denoised spectrum out."""

    def __init__(self, widths: tuple[int, int, int] = (8, 16, 32), hidden: int = 32) -> None:
        super().__init__()
        first, second, third = widths
        self.down1 = DownBlock(3, first, frames=2)
        self.down2 = DownBlock(first, second, frames=2)
        self.down3 = DownBlock(second, third, frames=3)
        self.dual1 = DualPath(third, hidden)
        self.temporal = nn.Sequential(*(TemporalBlock(third, d) for d in (1, 2, 4, 8)))
        self.dual2 = DualPath(third, hidden)
        self.up3 = UpBlock(third, second)
        self.up2 = UpBlock(second, first)
        self.up1 = UpBlock(first, 2, last=True)

    def forward(self, spec: Tensor) -> Tensor:
        """Real and imaginary part, ``[batch, time, freq, 2]``; the same shape out."""
        power = spec.square().sum(dim=-1, keepdim=True) + 1e-8
        # Magnitudes to the power 0.3: what is quiet still shows.
        features = torch.cat([power**0.15, spec * power**-0.35], dim=-1)
        x = features.permute(0, 3, 1, 2)  # [batch, 3, time, freq]

        skip1 = self.down1(x)
        skip2 = self.down2(skip1)
        skip3 = self.down3(skip2)
        x = self.dual2(self.temporal(self.dual1(skip3)))
        x = self.up3(x, skip3)
        x = self.up2(x, skip2)
        mask = self.up1(x, skip1)  # [batch, 2, time, freq]

        real, imag = spec[..., 0], spec[..., 1]
        mask_real, mask_imag = mask[:, 0], mask[:, 1]
        return torch.stack(
            [real * mask_real - imag * mask_imag, real * mask_imag + imag * mask_real], dim=-1
        )


class Denoiser(nn.Module):
    """Noisy waveform in, denoised waveform out."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.core = SpectralCore()
        window = torch.hann_window(N_FFT).sqrt()
        self.register_buffer("window", window, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """``[batch, time]`` samples at 16 kHz; the same shape out."""
        spec = torch.stft(wave, N_FFT, HOP, window=self.window, return_complex=True)
        x = torch.view_as_real(spec).transpose(1, 2)  # [batch, frames, bins, 2]
        y = self.core(x).transpose(1, 2).contiguous()
        spec = torch.view_as_complex(y)
        return torch.istft(spec, N_FFT, HOP, window=self.window, length=wave.shape[-1])


def make_model() -> Denoiser:
    """The whole model, waveform to waveform."""
    return Denoiser()


def make_core() -> SpectralCore:
    """The network between the two Fourier transforms alone.

    Its weights are those of `make_model` without the prefix ``core.``; see `core_weights`.
    """
    return SpectralCore()


def core_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Picks the spectral core's weights out of the whole model's."""
    return {name.removeprefix("core."): value for name, value in weights.items()}
