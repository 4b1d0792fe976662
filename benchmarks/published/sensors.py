"""Sensors and control: [batch, time, channels] or [batch, channels, time]. Our writing."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from case import Case
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class TemporalBlock(nn.Module):
    """The block of a temporal convolutional network (Bai et al., 2018): pad both, cut the end."""

    def __init__(self, inputs: int, outputs: int, dilation: int, kernel: int = 3) -> None:
        super().__init__()
        self.cut = (kernel - 1) * dilation
        options = {"padding": self.cut, "dilation": dilation}
        self.a = weight_norm(nn.Conv1d(inputs, outputs, kernel, **options))
        self.b = weight_norm(nn.Conv1d(outputs, outputs, kernel, **options))
        self.drop = nn.Dropout(0.2)
        self.side = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.a(x)[..., : -self.cut].contiguous().relu())
        y = self.drop(self.b(y)[..., : -self.cut].contiguous().relu())
        return F.relu(y + self.side(x))


class TCN(nn.Module):
    """Temporal convolutional network (Bai et al., 2018).

    Args:
        last: the last frame only, as its classifiers have it.
    """

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        sizes = [6, 8, 8, 12]
        self.body = nn.Sequential(*(TemporalBlock(sizes[i], sizes[i + 1], 2**i) for i in range(3)))
        self.out, self.last = nn.Linear(12, 5), last

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 6, time] to [batch, time, 5] or [batch, 5]."""
        y = self.body(x)
        return self.out(y[:, :, -1] if self.last else y.transpose(1, 2))


class DeepConvLSTM(nn.Module):
    """DeepConvLSTM (Ordonez and Roggen, 2016): activity from inertial sensors."""

    def __init__(self, sensors: int = 6) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(1, 8, (5, 1)), nn.ReLU(), nn.Conv2d(8, 8, (5, 1)), nn.ReLU()
        )
        self.lstm = nn.LSTM(8 * sensors, 16, 2, batch_first=True)
        self.out = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, sensors] to [batch, 5]: after the last frame."""
        y = self.convs(x[:, None]).permute(0, 2, 1, 3).flatten(2)
        return self.out(self.lstm(y)[0][:, -1])


class GatedResidual(nn.Module):
    """The gated residual network of a temporal fusion transformer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(inputs, outputs), nn.Linear(outputs, 2 * outputs)
        self.side = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.side(x) + F.glu(self.b(F.elu(self.a(x))), -1))


class TemporalFusion(nn.Module):
    """Temporal fusion (Lim et al., 2021): variable selection, an LSTM, masked attention.

    Args:
        past: how many frames the attention sees; None for all of them, as published.
    """

    def __init__(self, past: int | None, variables: int = 4, width: int = 8) -> None:
        super().__init__()
        self.past = past
        self.embed = nn.ModuleList(nn.Linear(1, width) for _ in range(variables))
        self.each = nn.ModuleList(GatedResidual(width, width) for _ in range(variables))
        self.select = GatedResidual(variables * width, variables)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.after, self.out = GatedResidual(width, width), nn.Linear(width, 3)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, variables] to quantiles [batch, time, 3]."""
        parts = [embed(x[..., i : i + 1]) for i, embed in enumerate(self.embed)]
        weights = self.select(torch.cat(parts, -1)).softmax(-1)
        values = torch.stack([e(p) for e, p in zip(self.each, parts, strict=True)], -1)
        y = (values * weights[..., None, :]).sum(-1)
        y = self.after(y + self.lstm(y)[0])
        place = torch.arange(x.shape[1])
        distance = place[:, None] - place[None, :]
        hidden = distance < 0
        if self.past is not None:
            hidden = hidden | (distance > self.past)
        return self.out(y + self.attention(y, y, y, attn_mask=hidden, need_weights=False)[0])


class RecurrentPolicy(nn.Module):
    """A recurrent policy: normalised observations, an encoder, a GRU, a mean for each action."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(12))
        self.register_buffer("deviation", torch.rand(12) + 0.5)
        self.encoder = nn.Sequential(nn.Linear(12, 32), nn.ELU(), nn.Linear(32, 16), nn.ELU())
        self.gru, self.out = nn.GRU(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """[time, batch, 12] and the state [1, batch, 16] to actions and the next state."""
        y = self.encoder(((x - self.mean) / self.deviation).clamp(-5, 5))
        y, hidden = self.gru(y, hidden)
        return self.out(y).tanh(), hidden


class GRUD(nn.Module):
    """GRU-D (Che et al., 2018): decays towards the mean; a Python loop over time."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.cell, self.decay = nn.GRUCell(2 * width, 8), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, 6] to [batch, time, 8]."""
        state, seen = x.new_zeros(x.shape[0], 8), []
        for frame in x.unbind(1):
            weight = (-self.decay(frame).relu()).exp()
            state = self.cell(torch.cat([frame * weight, weight], -1), state)
            seen.append(state)
        return torch.stack(seen, 1)


class EEGNet(nn.Module):
    """EEGNet (Lawhern et al., 2018) up to its classifier: symmetric windows, pooling by 4 and 8."""

    def __init__(self, electrodes: int = 6) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, (1, 17), padding=(0, 8), bias=False),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 8, (electrodes, 1), groups=4, bias=False),
            nn.BatchNorm2d(8),
            nn.ELU(),
            nn.AvgPool2d((1, 4)),
            nn.Conv2d(8, 8, (1, 9), padding=(0, 4), groups=8, bias=False),
            nn.Conv2d(8, 8, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ELU(),
            nn.AvgPool2d((1, 8)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, electrodes, time] to [batch, 8, time / 32]."""
        return self.body(x)[:, :, 0]


CASES = [
    Case("tcn", "Bai 2018", lambda: TCN(last=False), {"x": "float32[batch, 6, time]"}),
    Case("tcn-last", "Bai 2018", lambda: TCN(last=True), {"x": "float32[batch, 6, time]"}),
    Case("deep-conv-lstm", "Ordonez 2016", DeepConvLSTM, {"x": "float32[batch, time, 6]"}),
    Case(
        "temporal-fusion-limited",
        "Lim 2021",
        lambda: TemporalFusion(past=8),
        {"x": "float32[batch, time, 4]"},
    ),
    Case(
        "temporal-fusion",
        "Lim 2021",
        lambda: TemporalFusion(past=None),
        {"x": "float32[batch, time, 4]"},
    ),
    Case("recurrent-policy", "Ni 2022", RecurrentPolicy, {"x": "float32[time, batch, 12]"}),
    Case("gru-d", "Che 2018", GRUD, {"x": "float32[batch, time, 6]"}),
    Case("eegnet-body", "Lawhern 2018", EEGNet, {"x": "float32[batch, 1, 6, time]"}),
]
