"""Networks over samples: [batch, channels, time]. Our writing, from the papers."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from case import Case
from torch import Tensor, nn


class CumulativeNorm(nn.Module):
    """Conv-TasNet's cLN: mean and variance of all channels of all frames so far."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        count = torch.ones_like(x).sum(1, keepdim=True).cumsum(-1)
        mean = x.sum(1, keepdim=True).cumsum(-1) / count
        square = x.pow(2).sum(1, keepdim=True).cumsum(-1) / count
        return (x - mean) / (square - mean.pow(2) + 1e-8).sqrt() * self.gain + self.bias


class ConvTasNet(nn.Module):
    """Causal Conv-TasNet (Luo and Mesgarani, 2019), or with global normalisation as published."""

    def __init__(self, *, causal: bool, width: int = 8, kernel: int = 8) -> None:
        super().__init__()

        def norm(channels: int) -> nn.Module:
            return CumulativeNorm(channels) if causal else nn.GroupNorm(1, channels)

        hidden, self.causal = 12, causal
        self.encoder = nn.Conv1d(1, 16, kernel, kernel // 2, bias=False)
        self.start = nn.Sequential(norm(16), nn.Conv1d(16, width, 1))
        self.blocks = nn.ModuleList()
        for dilation in (1, 2, 4, 1, 2, 4):
            before = nn.Sequential(nn.Conv1d(width, hidden, 1), nn.PReLU(), norm(hidden))
            depth = nn.Conv1d(
                hidden, hidden, 3, padding=2 * dilation, dilation=dilation, groups=hidden
            )
            after = nn.Sequential(nn.PReLU(), norm(hidden))
            both = nn.Conv1d(hidden, 2 * width, 1)
            self.blocks.append(nn.ModuleList([before, depth, after, both]))
        self.mask = nn.Sequential(nn.PReLU(), nn.Conv1d(width, 2 * 16, 1), nn.Sigmoid())
        self.decoder = nn.ConvTranspose1d(16, 1, kernel, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, time] to two sources [batch, 2, time]."""
        spectrum = self.encoder(F.pad(x, (4, 4)))
        y, skips = self.start(spectrum), 0.0
        for before, depth, after, both in self.blocks:
            padding = depth.padding[0]
            z = depth(before(y))
            z = z[..., :-padding] if self.causal else z[..., padding // 2 : -(padding // 2)]
            residual, skip = both(after(z)).chunk(2, 1)
            y, skips = y + residual, skips + skip
        masks = self.mask(skips).unflatten(1, (2, 16))
        sources = [self.decoder(spectrum * masks[:, i])[..., 4:-4] for i in range(2)]
        return torch.cat(sources, 1)


class Demucs(nn.Module):
    """Causal Demucs (Defossez et al., 2020): strided encoder, LSTM, transposed decoder."""

    def __init__(self, depth: int = 3, hidden: int = 4) -> None:
        super().__init__()
        self.encoder, decoder, channels = nn.ModuleList(), [], 1
        for index in range(depth):
            self.encoder.append(
                nn.Sequential(
                    nn.Conv1d(channels, hidden, 8, 4),
                    nn.ReLU(),
                    nn.Conv1d(hidden, 2 * hidden, 1),
                    nn.GLU(1),
                )
            )
            last = [nn.ReLU()] if index else []
            decoder.append(
                nn.Sequential(
                    nn.Conv1d(hidden, 2 * hidden, 1),
                    nn.GLU(1),
                    nn.ConvTranspose1d(hidden, channels, 8, 4),
                    *last,
                )
            )
            channels, hidden = hidden, 2 * hidden
        self.decoder = nn.ModuleList(reversed(decoder))
        self.lstm = nn.LSTM(channels, channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, time], unpadded, to [batch, 1, at most time]."""
        skips = []
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        x = self.lstm(x.permute(2, 0, 1))[0].permute(1, 2, 0)
        for layer in self.decoder:
            x = layer(x + skips.pop()[..., : x.shape[-1]])
        return x


class WaveUNet(nn.Module):
    """Wave-U-Net (Stoller et al., 2018) with causal convolutions: decimation, interpolation."""

    def __init__(self, depth: int = 3, width: int = 4) -> None:
        super().__init__()
        sizes = [1, *(width * (i + 1) for i in range(depth + 1))]
        self.down = nn.ModuleList(nn.Conv1d(sizes[i], sizes[i + 1], 7) for i in range(depth))
        self.middle = nn.Conv1d(sizes[depth], sizes[depth + 1], 7)
        self.up = nn.ModuleList(
            nn.Conv1d(sizes[i + 1] + sizes[i + 2], sizes[i + 1], 5) for i in reversed(range(depth))
        )
        self.out = nn.Conv1d(1 + sizes[1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, time], a multiple of 8, to the same."""
        skips, y = [], x
        for layer in self.down:
            skips.append(F.leaky_relu(layer(F.pad(y, (6, 0))), 0.2))
            y = skips[-1][..., ::2]
        y = F.leaky_relu(self.middle(F.pad(y, (6, 0))), 0.2)
        for layer in self.up:
            y = F.interpolate(y, scale_factor=2, mode="nearest")
            y = torch.cat([y[..., : skips[-1].shape[-1]], skips.pop()], 1)
            y = F.leaky_relu(layer(F.pad(y, (4, 0))), 0.2)
        return self.out(torch.cat([x, y], 1)).tanh()


class WaveNet(nn.Module):
    """WaveNet as a distortion model (Wright et al., 2020): gated dilated convolutions, skips."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.start = nn.Conv1d(1, width, 1)
        dilations = [2**i for i in range(6)] * 2
        self.convs = nn.ModuleList(nn.Conv1d(width, 2 * width, 3, dilation=d) for d in dilations)
        self.mixes = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in dilations)
        self.out = nn.Conv1d(width * len(dilations), 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, time] to the same."""
        x, skips = self.start(x), []
        for conv, mix in zip(self.convs, self.mixes, strict=True):
            a, b = conv(F.pad(x, (2 * conv.dilation[0], 0))).chunk(2, 1)
            skips.append(a.tanh() * b.sigmoid())
            x = x + mix(skips[-1])
        return self.out(torch.cat(skips, 1))


class LSTMAmp(nn.Module):
    """An LSTM with a residual (Wright et al., 2019): what amp plug-ins run."""

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(1, hidden, batch_first=True), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, 1] to the same."""
        return self.out(self.lstm(x)[0]) + x


class DTLN(nn.Module):
    """Dual-signal LSTM network (Westhausen and Meyer, 2020): STFT mask, then a learned one.

    Args:
        instant: normalise each frame of the learned features, as published.
    """

    def __init__(self, size: int = 32, hop: int = 8, hidden: int = 16) -> None:
        super().__init__()
        self.size, self.hop = size, hop
        self.mask = nn.LSTM(size // 2 + 1, hidden, 2, batch_first=True)
        self.mask_out = nn.Linear(hidden, size // 2 + 1)
        self.encode = nn.Conv1d(size, 24, 1, bias=False)
        self.norm = nn.LayerNorm(24)
        self.learned = nn.LSTM(24, hidden, 2, batch_first=True)
        self.learned_out = nn.Linear(hidden, 24)
        self.decode = nn.Conv1d(24, size, 1, bias=False)
        self.register_buffer("identity", torch.eye(size)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time] to [batch, time]; time a multiple of the hop."""
        frames = F.pad(x, (self.size - self.hop, 0)).unfold(1, self.size, self.hop)
        spectrum = torch.fft.rfft(frames)
        mask = self.mask_out(self.mask(spectrum.abs())[0]).sigmoid()
        y = torch.fft.irfft(spectrum * mask, n=self.size)
        coded = self.encode(y.transpose(1, 2)).transpose(1, 2)
        mask = self.learned_out(self.learned(self.norm(coded))[0]).sigmoid()
        frames = self.decode((coded * mask).transpose(1, 2))
        return F.conv_transpose1d(frames, self.identity, stride=self.hop)[:, 0, : x.shape[1]]


MONO = {"x": "float32[batch, 1, time]"}
CASES = [
    Case("conv-tasnet-causal", "Luo 2019", lambda: ConvTasNet(causal=True), MONO),
    Case("conv-tasnet-global", "Luo 2019", lambda: ConvTasNet(causal=False), MONO),
    Case("demucs-causal", "Defossez 2020", Demucs, MONO),
    Case("wave-u-net-causal", "Stoller 2018", WaveUNet, MONO),
    Case("wavenet-amp", "Wright 2020", WaveNet, MONO),
    Case("lstm-amp", "Wright 2019", LSTMAmp, {"x": "float32[batch, time, 1]"}),
    Case("dtln", "Westhausen 2020", DTLN, {"x": "float32[batch, time]"}),
]
