"""Speech: voice activity, keywords, recognition encoders. Our writing, from the papers."""

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


class LimitedAttention(nn.Module):
    """Self-attention over a limited past and future, with a bias by distance."""

    def __init__(self, width: int, heads: int, past: int, future: int) -> None:
        super().__init__()
        self.heads, self.past, self.future = heads, past, future
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        parts = self.qkv(x).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        place = torch.arange(time)
        distance = place[:, None] - place[None, :]
        allowed = (distance <= self.past) & (distance >= -self.future)
        scores = parts[0] @ parts[1].transpose(-1, -2) - 0.05 * distance.abs()
        weights = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
        return self.out((weights @ parts[2]).transpose(1, 2).reshape(batch, time, width))


class EncoderLayer(nn.Module):
    """A Conformer-like layer: two half feed-forwards, attention, a depthwise convolution."""

    def __init__(self, width: int, past: int, future: int, kernel: int, causal: bool) -> None:
        super().__init__()

        def feed() -> nn.Module:
            return nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, 2 * width),
                nn.SiLU(),
                nn.Linear(2 * width, width),
            )

        self.first, self.last = feed(), feed()
        self.norm_a, self.norm_c, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = LimitedAttention(width, 2, past, future)
        self.gate = nn.Conv1d(width, 2 * width, 1)
        self.depth = nn.Conv1d(width, width, kernel, groups=width)
        self.mix = nn.Sequential(nn.BatchNorm1d(width), nn.SiLU(), nn.Conv1d(width, width, 1))
        self.sides = (kernel - 1, 0) if causal else (kernel // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.attention(self.norm_a(x))
        y = F.glu(self.gate(self.norm_c(x).transpose(1, 2)), 1)
        x = x + self.mix(self.depth(F.pad(y, self.sides))).transpose(1, 2)
        return self.norm(x + 0.5 * self.last(x))


class LimitedConformer(nn.Module):
    """Conformer (Gulati et al., 2020) with limited attention and 4 times fewer frames."""

    def __init__(self, *, past: int, future: int, causal: bool, width: int = 16) -> None:
        super().__init__()
        self.sub = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, 2), nn.ReLU())
        self.start = nn.Linear(4 * 9, width)
        self.layers = nn.Sequential(
            *(EncoderLayer(width, past, future, 5, causal) for _ in range(2))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, 40] to [batch, about time / 4, width]."""
        return self.layers(self.start(self.sub(x[:, None]).transpose(1, 2).flatten(2)))


class Zipformer(nn.Module):
    """The shape of Zipformer (Yao et al., 2024): the middle stack runs at half the rate.

    Pairs of frames are joined with learned weights, and each result is repeated; a bypass mixes
    a stack's result with what it was given.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.start = nn.Linear(40, width)
        self.a = EncoderLayer(width, 8, 0, 5, True)
        self.b = EncoderLayer(width, 4, 0, 5, True)
        self.pair = nn.Parameter(torch.randn(2))
        self.bypass = nn.Parameter(torch.rand(width))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, 40], time even, to [batch, time, width]."""
        x = self.a(self.start(x))
        pairs = x.unflatten(1, (-1, 2))
        half = self.b((pairs * self.pair.softmax(0)[:, None]).sum(2))
        full = half.repeat_interleave(2, 1)
        return x + (full - x) * self.bypass


class CRDNN(nn.Module):
    """Convolutions, recurrent layers and dense ones (SpeechBrain's CRDNN).

    Args:
        bidirectional: over time, as its recipes for recognition have it.
    """

    def __init__(self, *, bidirectional: bool) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.LayerNorm(40), nn.LeakyReLU(), nn.MaxPool2d((1, 2)),
            nn.Conv2d(4, 4, 3, padding=1), nn.LayerNorm(20), nn.LeakyReLU(), nn.MaxPool2d((1, 2)),
        )  # fmt: skip
        self.pool = nn.MaxPool1d(4)
        self.rnn = nn.GRU(40, 16, 2, batch_first=True, bidirectional=bidirectional)
        self.out = nn.Sequential(nn.LazyLinear(12), nn.LeakyReLU())

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, 40] to [batch, time / 4, 12]."""
        y = self.convs(x[:, None]).transpose(1, 2).flatten(2)
        y = self.pool(y.transpose(1, 2)).transpose(1, 2)
        return self.out(self.rnn(y)[0])


class DeepSpeech2(nn.Module):
    """Deep Speech 2's streaming form (Amodei et al., 2016): GRUs, then a row convolution ahead."""

    def __init__(self, width: int = 16, ahead: int = 4) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 4, (5, 11), (2, 2), (2, 5)), nn.BatchNorm2d(4), nn.Hardtanh(0, 20)
        )
        self.grus = nn.ModuleList([nn.GRU(80, width), nn.GRU(width, width)])
        self.norm = nn.BatchNorm1d(width)
        self.row = nn.Conv1d(width, width, ahead + 1, groups=width, bias=False)
        self.ahead, self.out = ahead, nn.Linear(width, 29)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, time, 40] to [batch, time / 2, 29]."""
        y = self.conv(x).permute(2, 0, 1, 3).flatten(2)  # [time, batch, features]
        y = self.grus[0](y)[0]
        time, batch, width = y.shape
        y = self.norm(y.view(time * batch, width)).view(time, batch, width)
        y = self.grus[1](y)[0].permute(1, 2, 0)
        y = self.row(F.pad(y, (0, self.ahead))).transpose(1, 2)
        return self.out(F.hardtanh(y, 0, 20))


def crdnn(bidirectional: bool) -> nn.Module:
    module = CRDNN(bidirectional=bidirectional)
    module(torch.zeros(1, 8, 40))
    return module


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
    Case(
        "conformer-limited",
        "Gulati 2020",
        lambda: LimitedConformer(past=6, future=0, causal=True),
        FILTERBANK,
    ),
    Case(
        "conformer-lookahead",
        "Gulati 2020",
        lambda: LimitedConformer(past=6, future=2, causal=False),
        FILTERBANK,
    ),
    Case("zipformer-causal", "Yao 2024", Zipformer, FILTERBANK),
    Case("crdnn", "SpeechBrain 2021", lambda: crdnn(False), FILTERBANK),
    Case("crdnn-bidirectional", "SpeechBrain 2021", lambda: crdnn(True), FILTERBANK),
    Case("deep-speech-2", "Amodei 2016", DeepSpeech2, {"x": "float32[batch, 1, time, 40]"}),
]
