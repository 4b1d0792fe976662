"""Networks composed at random from blocks, each ``[batch, 4, time]`` to the same shape."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 4


class Block(nn.Module):
    """A forward function over submodules, and how to call it in a failure."""

    def __init__(self, name: str, function: Callable[..., Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.name, self.function = name, function
        for key, module in modules.items():
            self.add_module(key, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)

    def __repr__(self) -> str:
        return self.name


def _conv(span: int = 3, dilation: int = 1, **more: object) -> nn.Conv1d:
    return nn.Conv1d(CHANNELS, CHANNELS, span, dilation=dilation, **more)  # type: ignore[arg-type]


def causal(r: random.Random) -> Block:
    k, d, g = r.choice([2, 3, 5]), r.choice([1, 2, 3]), r.choice([1, 2, 4])
    past = (k - 1) * d
    return Block(
        f"causal(k={k}, d={d}, g={g})",
        lambda m, x: m.conv(functional.pad(x, (past, 0))),
        conv=_conv(k, d, groups=g),
    )


def chomp(r: random.Random) -> Block:
    k, d = r.choice([2, 3]), r.choice([1, 2, 4])
    past = (k - 1) * d
    return Block(
        f"chomp(k={k}, d={d})",
        lambda m, x: m.conv(x)[:, :, :-past],
        conv=_conv(k, d, padding=past),
    )


def both_sides(r: random.Random) -> Block:
    k = r.choice([3, 5])
    return Block(f"both_sides(k={k})", lambda m, x: m.conv(x) + 0.5, conv=_conv(k, padding=k // 2))


def ahead(r: random.Random) -> Block:
    before, after = r.choice([(0, 2), (1, 1), (2, 1)])
    return Block(
        f"ahead({before}, {after})",
        lambda m, x: m.conv(functional.pad(x, (before, after), value=0.3)),
        conv=_conv(before + after + 1),
    )


def own_frames(r: random.Random) -> Block:
    mode, before, after = r.choice(
        [("reflect", 2, 2), ("replicate", 2, 0), ("replicate", 1, 1), ("reflect", 1, 1)]
    )
    return Block(
        f"own_frames({mode}, {before}, {after})",
        lambda m, x: m.conv(functional.pad(x, (before, after), mode=mode)),
        conv=_conv(before + after + 1),
    )


def one_large_padding(r: random.Random) -> Block:
    d = r.choice([1, 2])
    return Block(
        f"one_large_padding(d={d})",
        lambda m, x: m.second(m.first(functional.pad(x, (2 + 2 * d, 0))).tanh()),
        first=_conv(3),
        second=_conv(3, d),
    )


def unpadded_with_skip(r: random.Random) -> Block:
    return Block(
        "unpadded_with_skip",
        lambda m, x: (lambda z: m.conv(z) + z[:, :, 2:])(functional.pad(x, (2, 0))),
        conv=_conv(3),
    )


def u_net(r: random.Random) -> Block:
    stride = r.choice([2, 3])
    inner = r.choice([causal, gru, both_sides, pointwise])(r)
    width = stride * r.choice([1, 2])

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        low = m.inner(m.down(functional.pad(x, (width - 1, 0))))  # type: ignore[operator]
        return x + m.up(low)[..., : x.shape[-1]]  # type: ignore[operator, no-any-return]

    return Block(
        f"u_net(stride={stride}, width={width}, {inner!r})",
        forward,
        down=nn.Conv1d(CHANNELS, CHANNELS, width, stride=stride),
        inner=inner,
        up=nn.ConvTranspose1d(CHANNELS, CHANNELS, width, stride=stride),
    )


def pooled(r: random.Random) -> Block:
    pool = r.choice([functional.max_pool1d, functional.avg_pool1d])
    return Block(
        f"pooled({'max' if pool is functional.max_pool1d else 'avg'})",
        lambda m, x: pool(functional.pad(x, (2, 0)), 3, 1),
    )


def shifted(r: random.Random) -> Block:
    return Block("shifted", lambda m, x: x + functional.pad(x[:, :, :-1], (1, 0)))


def differences(r: random.Random) -> Block:
    return Block("differences", lambda m, x: functional.pad(x[..., 1:] - x[..., :-1], (1, 0)))


def running_mean(r: random.Random) -> Block:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        count = torch.arange(1, x.shape[-1] + 1)
        return x - x.cumsum(-1) / count

    return Block("running_mean", forward)


def running_peak(r: random.Random) -> Block:
    return Block("running_peak", lambda m, x: x - 0.5 * x.cummax(-1)[0])


def positions(r: random.Random) -> Block:
    return Block("positions", lambda m, x: x + torch.sin(torch.arange(x.shape[-1]) * 0.3))


def _rnn(kind: type[nn.RNNBase], layers: int) -> nn.RNNBase:
    return kind(CHANNELS, CHANNELS, layers, batch_first=True)


def gru(r: random.Random) -> Block:
    kind, layers = r.choice([nn.GRU, nn.LSTM, nn.RNN]), r.choice([1, 2])
    return Block(
        f"{kind.__name__.lower()}(layers={layers})",
        lambda m, x: m.rnn(x.transpose(1, 2))[0].transpose(1, 2),
        rnn=_rnn(kind, layers),
    )


def across(r: random.Random) -> Block:
    """A recurrent layer over the channels, time folded into its batch."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        batch, channels, time = x.shape
        y = m.rnn(x.transpose(1, 2).reshape(batch * time, channels, 1))[0]  # type: ignore[operator]
        return y.mean(-1).reshape(batch, time, channels).transpose(1, 2)  # type: ignore[no-any-return]

    return Block("across", forward, rnn=nn.GRU(1, 3, batch_first=True, bidirectional=True))


def along(r: random.Random) -> Block:
    """A recurrent layer over time, the channels folded into its batch."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        batch, channels, time = x.shape
        y = m.rnn(x.reshape(batch * channels, time, 1))[0]  # type: ignore[operator]
        return y.mean(-1).reshape(batch, channels, time)  # type: ignore[no-any-return]

    return Block("along", forward, rnn=nn.GRU(1, 3, batch_first=True))


def attention(r: random.Random) -> Block:
    back, following = r.choice([2, 5]), r.choice([0, 0, 2])

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        y = x.transpose(1, 2)
        i = torch.arange(y.shape[1])
        apart = i[:, None] - i[None, :]
        seen = (apart >= -following) & (apart < back)
        scores = (y @ x).masked_fill(~seen, float("-inf"))
        return (scores.softmax(-1) @ y).transpose(1, 2)

    return Block(f"attention(back={back}, following={following})", forward)


def in_two_dimensions(r: random.Random) -> Block:
    return Block(
        "in_two_dimensions",
        lambda m, x: m.conv(functional.pad(x.unsqueeze(1), (2, 0, 1, 1))).mean(1),
        conv=nn.Conv2d(1, 3, 3),
    )


def pointwise(r: random.Random) -> Block:
    return Block("pointwise", lambda m, x: m.norm(m.conv(x)).tanh(), conv=_conv(1), norm=_norm())


def _norm() -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(CHANNELS)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    return norm


BLOCKS = (
    *(causal, chomp, both_sides, ahead, own_frames, one_large_padding, unpadded_with_skip, u_net),
    *(pooled, shifted, differences, running_mean, running_peak, positions, gru, across, along),
    *(attention, in_two_dimensions, pointwise),
)


class Network(nn.Module):
    """Blocks in a row, some with a skip around them."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        r = random.Random(seed)
        torch.manual_seed(seed)
        self.blocks = nn.ModuleList([r.choice(BLOCKS)(r) for _ in range(r.randint(1, 4))])
        self.skips = [r.random() < 0.4 for _ in self.blocks]

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, 4, time]``, the same out."""
        for block, has_skip in zip(self.blocks, self.skips, strict=True):
            y = block(x)
            x = x + y if has_skip else y
        return x

    def __repr__(self) -> str:
        parts = [
            f"x + {b!r}" if s else repr(b) for b, s in zip(self.blocks, self.skips, strict=True)
        ]
        return " -> ".join(parts)


class Spectral(nn.Module):
    """A network between a short-time Fourier transform and its inverse."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        r = random.Random(seed)
        self.size = r.choice([8, 16])
        self.hop = self.size // r.choice([2, 4])
        self.center = r.random() < 0.7
        self.inner = Network(seed)
        self.enter = nn.Linear(self.size // 2 + 1, CHANNELS)
        self.leave = nn.Linear(CHANNELS, self.size // 2 + 1)
        # Nowhere zero, so that without center the first samples are defined.
        self.register_buffer("window", torch.hamming_window(self.size))

    def forward(self, x: Tensor) -> Tensor:
        """Waveforms ``[batch, time]``, the same out (without center as many as frames cover)."""
        spectrum = torch.stft(
            x, self.size, self.hop, window=self.window, center=self.center, return_complex=True
        )
        features = self.enter(spectrum.abs().transpose(1, 2)).transpose(1, 2)
        mask = self.leave(self.inner(features).transpose(1, 2)).transpose(1, 2).sigmoid()
        return torch.istft(
            spectrum * mask, self.size, self.hop, window=self.window, center=self.center
        )

    def __repr__(self) -> str:
        return f"stft({self.size}, {self.hop}, center={self.center}) -> {self.inner!r} -> istft"
