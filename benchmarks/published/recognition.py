"""Speech: recognition encoders. Our writing, from the papers."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from case import Case
from torch import Tensor, nn


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
CASES = [
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
