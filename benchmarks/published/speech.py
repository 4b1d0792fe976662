"""Speech: voice activity, keywords, convolutional recognition. Our writing, from the papers."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from case import Case
from torch import Tensor, nn


class FSMN(nn.Module):
    """Deep feed-forward sequential memory network (Zhang et al., 2018): memory both ways."""

    def __init__(self, layers: int = 3, width: int = 16, past: int = 5, future: int = 2) -> None:
        super().__init__()
        self.start, self.past, self.future = nn.Linear(40, width), past, future
        self.up = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(layers))
        self.down = nn.ModuleList(nn.Linear(2 * width, width, bias=False) for _ in range(layers))
        self.left = nn.ModuleList(
            nn.Conv1d(width, width, past, dilation=2, groups=width, bias=False)
            for _ in range(layers)
        )
        self.right = nn.ModuleList(
            nn.Conv1d(width, width, future, groups=width, bias=False) for _ in range(layers)
        )
        self.out = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, 40] to [batch, time, 10]."""
        x = self.start(x)
        for up, down, left, right in zip(self.up, self.down, self.left, self.right, strict=True):
            z = down(up(x).relu()).transpose(1, 2)
            behind = left(F.pad(z, (2 * (self.past - 1), 0)))
            ahead = right(F.pad(z[..., 1:], (0, self.future)))
            x = x + (z + behind + ahead).transpose(1, 2)
        return self.out(x)


class VoiceActivity(nn.Module):
    """The shape of Silero VAD: a learned STFT, strided convolutions, an LSTM, one probability."""

    def __init__(self) -> None:
        super().__init__()
        window, bins = 64, 33
        angle = 2 * torch.pi / window * torch.arange(bins)[:, None] * torch.arange(window)
        basis = torch.cat([angle.cos(), -angle.sin()]) * torch.hann_window(window)
        self.register_buffer("basis", basis[:, None])
        self.encoder = nn.Sequential(
            nn.Conv1d(bins, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(16, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv1d(8, 8, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.out = nn.Conv1d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time] to [batch, time / 128]; windows of 64, a hop of 32, then strides of 4."""
        parts = F.conv1d(F.pad(x[:, None], (32, 0)), self.basis, stride=32)
        real, imaginary = parts.chunk(2, 1)
        y = self.encoder((real.pow(2) + imaginary.pow(2)).sqrt())
        y = self.lstm(y.transpose(1, 2))[0].transpose(1, 2)
        return self.out(y.relu()).sigmoid()[:, 0]


class Separable(nn.Module):
    """QuartzNet's block: separable convolutions with a residual, symmetric padding."""

    def __init__(self, channels: int, kernel: int, repeats: int = 2, dilation: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(repeats):
            layers += [
                nn.Conv1d(
                    channels,
                    channels,
                    kernel,
                    padding=dilation * (kernel // 2),
                    dilation=dilation,
                    groups=channels,
                ),
                nn.Conv1d(channels, channels, 1, bias=False),
                nn.BatchNorm1d(channels),
                *([nn.ReLU()] if index < repeats - 1 else []),
            ]
        self.body = nn.Sequential(*layers)
        self.side = nn.Sequential(nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.side(x))


class QuartzNet(nn.Module):
    """QuartzNet (Kriman et al., 2020) and MarbleNet (Jia et al., 2021).

    Args:
        stride: of the first convolution; QuartzNet has 2.
        pooled: MarbleNet's mean over the whole signal before the classifier.
    """

    def __init__(self, *, stride: int = 2, pooled: bool = False, width: int = 16) -> None:
        super().__init__()
        self.pooled = pooled
        self.start = nn.Sequential(
            nn.Conv1d(64, width, 11, stride, padding=5), nn.BatchNorm1d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(Separable(width, 13), Separable(width, 15))
        self.late = Separable(width, 9, 1, dilation=2)
        self.out = nn.Conv1d(width, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 64, time] to [batch, 12, frames]."""
        y = self.late(self.blocks(self.start(x)))
        return self.out(y.mean(-1, keepdim=True) if self.pooled else y).log_softmax(1)


class SubSpectral(nn.Module):
    """BC-ResNet's normalisation: each of `groups` parts of the spectrum by its own statistics."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups, self.norm = groups, nn.BatchNorm2d(channels * groups)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, bands, time = x.shape
        y = self.norm(x.view(batch, channels * self.groups, bands // self.groups, time))
        return y.view(batch, channels, bands, time)


class BCResNet(nn.Module):
    """Broadcasted residual network (Kim et al., 2021) for keywords, over [batch, 1, bands, time].

    Args:
        padding: ``same`` as published (it looks ahead); ``causal``.
        pooled: the mean over the whole signal at the end, as published for clips.
    """

    def __init__(self, *, padding: str, pooled: bool = False, width: int = 8) -> None:
        super().__init__()
        self.causal, self.pooled = padding == "causal", pooled
        self.start = nn.Conv2d(1, width, (5, 1), (2, 1), (2, 0))
        self.bands, self.norms, self.times, self.mixes = (nn.ModuleList() for _ in range(4))
        for _ in range(2):
            self.bands.append(nn.Conv2d(width, width, (3, 1), padding=(1, 0), groups=width))
            self.norms.append(SubSpectral(width, 5))
            self.times.append(nn.Conv2d(width, width, (1, 3), dilation=(1, 2), groups=width))
            self.mixes.append(nn.Sequential(nn.BatchNorm2d(width), nn.SiLU(), nn.Conv2d(8, 8, 1)))
        self.out = nn.Conv2d(width, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, 40, time] to [batch, 12, time]."""
        x = self.start(x).relu()
        layers = zip(self.bands, self.norms, self.times, self.mixes, strict=True)
        for band, norm, time, mix in layers:
            y = norm(band(x))
            mean = y.mean(2, keepdim=True)
            mean = mix(time(F.pad(mean, (4, 0) if self.causal else (2, 2))))
            x = (x + y + mean).relu()  # what has no bands is broadcast to all
        x = x.mean(2, keepdim=True)
        return self.out(x.mean(3, keepdim=True) if self.pooled else x)[:, :, 0]


FILTERBANK = {"x": "float32[batch, time, 40]"}
BANDS = {"x": "float32[batch, 64, time]"}
PICTURE = {"x": "float32[batch, 1, 40, time]"}
CASES = [
    Case("fsmn", "Zhang 2018", FSMN, FILTERBANK),
    Case("vad-like-silero", "Silero VAD's layers", VoiceActivity, {"x": "float32[batch, time]"}),
    Case("quartznet", "Kriman 2020", QuartzNet, BANDS),
    Case("marblenet-frames", "Jia 2021", lambda: QuartzNet(stride=1), BANDS),
    Case("marblenet-clip", "Jia 2021", lambda: QuartzNet(stride=1, pooled=True), BANDS),
    Case("bc-resnet", "Kim 2021", lambda: BCResNet(padding="same"), PICTURE),
    Case("bc-resnet-causal", "Kim 2021", lambda: BCResNet(padding="causal"), PICTURE),
    Case("bc-resnet-clip", "Kim 2021", lambda: BCResNet(padding="same", pooled=True), PICTURE),
]
