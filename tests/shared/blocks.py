"""Blocks of which networks are composed at random: each takes and gives [batch, 4, time]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 4


class Block(nn.Module):
    """A part of a network.

    Attributes:
        text: what it is, so that a failure can be read.
    """

    def __init__(
        self, text: str, compute: Callable[[Block, Tensor], Tensor], **parts: nn.Module
    ) -> None:
        super().__init__()
        self.text = text
        self._compute = compute
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self._compute(self, x)


def conv(pick: Random, kernel: int, **options) -> nn.Conv1d:
    groups = pick.choice([1, 1, 2, CHANNELS])
    return nn.Conv1d(CHANNELS, CHANNELS, kernel, groups=groups, **options)


def causal(pick: Random) -> Block:
    kernel, dilation = pick.randint(2, 4), pick.randint(1, 3)
    past, fill = (kernel - 1) * dilation, pick.choice([0.0, 0.0, 0.5])
    return Block(
        f"causal convolution {kernel}, dilation {dilation}, filled with {fill}",
        lambda m, x: m.conv(functional.pad(x, (past, 0), value=fill)),
        conv=conv(pick, kernel, dilation=dilation),
    )


def chomp(pick: Random) -> Block:
    kernel, dilation = pick.randint(2, 4), pick.randint(1, 3)
    past = (kernel - 1) * dilation
    return Block(
        f"convolution {kernel}, dilation {dilation}, padded on both sides, end cut off",
        lambda m, x: m.conv(x)[..., :-past],
        conv=conv(pick, kernel, dilation=dilation, padding=past),
    )


def unpadded(pick: Random) -> Block:
    kernels = [pick.randint(2, 4) for _ in range(pick.randint(1, 3))]
    past = sum(kernels) - len(kernels)
    given = pick.choice([past, past, 0, past + 2])

    def compute(m: Block, x: Tensor) -> Tensor:
        x = functional.pad(x, (given, 0))
        for layer in m.layers:
            x = (layer(x) + 0.3).tanh()
        return x

    layers = nn.ModuleList(conv(pick, kernel) for kernel in kernels)
    return Block(
        f"unpadded convolutions {kernels} after one pad of {given}", compute, layers=layers
    )


def lookahead(pick: Random) -> Block:
    kernel = pick.choice([3, 5])
    padding = pick.choice(["same", kernel // 2, 1])
    return Block(
        f"convolution {kernel} with padding={padding!r}",
        lambda m, x: m.conv(x),
        conv=conv(pick, kernel, padding=padding),
    )


def ahead(pick: Random) -> Block:
    kernel = pick.randint(2, 4)
    right, fill = pick.randint(1, kernel - 1), pick.choice([0.0, 0.3])
    return Block(
        f"convolution {kernel}, {right} ahead, filled with {fill}",
        lambda m, x: m.conv(functional.pad(x, (kernel - 1 - right, right), value=fill)),
        conv=conv(pick, kernel),
    )


def unpadded_skip(pick: Random) -> Block:
    def compute(m: Block, x: Tensor) -> Tensor:
        x = functional.pad(x, (2, 0))
        return m.conv(x) + x[..., 2:]

    return Block("unpadded convolution beside what it reads", compute, conv=conv(pick, 3))


def strided(pick: Random) -> Block:
    kernel, stride = pick.randint(2, 5), pick.choice([2, 2, 3])
    left, right = pick.randint(0, kernel - 1), pick.choice([0, 0, 1])
    return Block(
        f"convolution {kernel}, stride {stride}, padding {left}, {right}",
        lambda m, x: m.conv(functional.pad(x, (left, right))),
        conv=conv(pick, kernel, stride=stride),
    )


def transposed(pick: Random) -> Block:
    kernel, stride = pick.randint(1, 5), pick.choice([1, 2, 3])
    cut = pick.randint(0, max(0, min(kernel - 1, 2)))
    more = pick.randint(0, stride - 1)
    dilation = pick.choice([1, 1, 2])
    last = pick.choice([None, None, -1])
    layer = nn.ConvTranspose1d(
        CHANNELS, CHANNELS, kernel, stride, cut, output_padding=more, dilation=dilation
    )
    return Block(
        f"transposed convolution {kernel}, stride {stride}, padding {cut}, more {more}, dilation "
        f"{dilation}, up to {last}",
        lambda m, x: m.conv(x)[..., :last],
        conv=layer,
    )


def pooling(pick: Random) -> Block:
    kernel = pick.choice([2, 3])
    stride, left = pick.choice([1, 1, 2]), pick.choice([0, kernel - 1])
    own = pick.choice([0, 1]) if left == 0 else 0
    pool = pick.choice([functional.max_pool1d, functional.avg_pool1d])
    return Block(
        f"{pool.__name__} {kernel}, stride {stride}, padding {left} and {own}",
        lambda m, x: pool(functional.pad(x, (left, 0)), kernel, stride, own),
    )


def shift(pick: Random) -> Block:
    by, future = pick.randint(1, 3), pick.choice([True, False])
    if future:
        return Block(
            f"plus {by} frames later", lambda m, x: x + functional.pad(x[..., by:], (0, by))
        )
    return Block(
        f"plus {by} frames before",
        lambda m, x: x + torch.cat([torch.zeros_like(x[..., :by]), x[..., :-by]], -1),
    )


def difference(pick: Random) -> Block:
    forms: Mapping[str, Callable[[Block, Tensor], Tensor]] = {
        "difference of neighbours": lambda m, x: x[..., 1:] - x[..., :-1],
        "torch.diff": lambda m, x: torch.diff(x),
        "torch.diff, prepended": lambda m, x: torch.diff(x, prepend=torch.zeros_like(x[..., :1])),
        "twice torch.diff": lambda m, x: torch.diff(x, n=2),
    }
    return Block(*pick.choice(list(forms.items())))


def crop(pick: Random) -> Block:
    first, last = pick.randint(0, 2), pick.choice([None, -1, -2])
    return Block(f"frames {first} to {last}", lambda m, x: x[..., first:last])


def subsampled(pick: Random) -> Block:
    first = pick.randint(0, 1)
    return Block(f"every other frame from {first}", lambda m, x: x[..., first::2])


def repeated(pick: Random) -> Block:
    if pick.choice([True, False]):
        return Block("interpolate", lambda m, x: functional.interpolate(x, scale_factor=2))
    return Block("repeat_interleave", lambda m, x: x.repeat_interleave(2, -1))


def accumulated(pick: Random) -> Block:
    def mean(m: Block, x: Tensor) -> Tensor:
        return x.cumsum(-1) / torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)

    forms: Mapping[str, Callable[[Block, Tensor], Tensor]] = {
        "cumsum": lambda m, x: (x * 0.1).cumsum(-1),
        "running mean": mean,
        "cummax": lambda m, x: x.cummax(-1)[0],
        "cummin": lambda m, x: x.cummin(-1).values,
        "above the running mean": lambda m, x: x - mean(m, x),
    }
    return Block(*pick.choice(list(forms.items())))


def positions(pick: Random) -> Block:
    start, step = pick.choice([0, 3]), pick.choice([1, 2])

    def compute(m: Block, x: Tensor) -> Tensor:
        at = torch.arange(start, start + step * x.shape[-1], step)
        return x + (at % 7).to(x.dtype) / 7

    return Block(f"positions from {start} by {step}", compute)


def recurrent(pick: Random) -> Block:
    kind, layers = pick.choice([nn.GRU, nn.LSTM, nn.RNN]), pick.choice([1, 1, 2])
    return Block(
        f"{layers} {kind.__name__} over time",
        lambda m, x: m.rnn(x.transpose(1, 2))[0].transpose(1, 2),
        rnn=kind(CHANNELS, CHANNELS, layers, batch_first=True),
    )


def over_frequency(pick: Random) -> Block:
    both = pick.choice([True, False])

    def compute(m: Block, x: Tensor) -> Tensor:
        batch, channels, _ = x.shape
        rows = x.transpose(1, 2).reshape(-1, channels, 1)
        y = m.head(m.rnn(rows)[0])
        return x + y.reshape(batch, -1, channels).transpose(1, 2)

    return Block(
        f"GRU over channels, both ways: {both}",
        compute,
        rnn=nn.GRU(1, 3, batch_first=True, bidirectional=both),
        head=nn.Linear(3 * (1 + both), 1),
    )


def over_time_by_frequency(pick: Random) -> Block:
    kind = pick.choice([nn.GRU, nn.LSTM])

    def compute(m: Block, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1], 1)
        return m.head(m.rnn(rows)[0]).reshape(x.shape)

    return Block(
        f"{kind.__name__} over time, batch and channels folded",
        compute,
        rnn=kind(1, 3, batch_first=True),
        head=nn.Linear(3, 1),
    )


def attention(pick: Random) -> Block:
    back, forth = pick.randint(1, 4), pick.choice([0, 0, 2])
    fused = pick.choice([True, False])

    def compute(m: Block, x: Tensor) -> Tensor:
        at = torch.arange(x.shape[-1])
        apart = at[:, None] - at
        seen = (apart <= back) & (apart >= -forth)
        query, key, value = m.parts(x.transpose(1, 2)).chunk(3, -1)
        if fused:
            y = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        else:
            scores = (query @ key.transpose(1, 2)).masked_fill(~seen, float("-inf"))
            y = scores.softmax(-1) @ value
        return y.transpose(1, 2)

    text = f"attention to {back} back and {forth} ahead, fused: {fused}"
    return Block(text, compute, parts=nn.Linear(CHANNELS, 3 * CHANNELS))


def mirrored(pick: Random) -> Block:
    kernel, mode = pick.choice([3, 5]), pick.choice(["reflect", "replicate"])
    left, right = pick.choice([(kernel - 1, 0), (kernel // 2, kernel // 2), (1, 0), (0, 2)])
    return Block(
        f"convolution {kernel}, {mode} padding {left}, {right}",
        lambda m, x: m.conv(functional.pad(x, (left, right), mode=mode)),
        conv=conv(pick, kernel),
    )


def two_dimensional(pick: Random) -> Block:
    width, dilation = pick.choice([2, 3]), pick.choice([1, 2])
    past = (width - 1) * dilation
    right, time_last = pick.choice([0, 0, 1]), pick.choice([True, False])

    def compute(m: Block, x: Tensor) -> Tensor:
        if time_last:
            return m.conv(functional.pad(x.unsqueeze(1), (past - right, right, 1, 1))).mean(1)
        image = functional.pad(x.transpose(1, 2).unsqueeze(1), (1, 1, past - right, right))
        return m.conv(image).mean(1).transpose(1, 2)

    size, spread = ((3, width), (1, dilation)) if time_last else ((width, 3), (dilation, 1))
    layer = nn.Conv2d(1, 3, size, dilation=spread)
    return Block(
        f"convolution over time ({width}, dilation {dilation}, {right} ahead) and channels, time "
        f"last: {time_last}",
        compute,
        conv=layer,
    )


def unfolded(pick: Random) -> Block:
    width, step = pick.choice([2, 3, 4]), pick.choice([1, 2])
    return Block(
        f"unfold {width}, step {step}",
        lambda m, x: m.head(x.unfold(-1, width, step)).squeeze(-1),
        head=nn.Linear(width, 1),
    )


def spectral(pick: Random) -> Block:
    hop = pick.choice([2, 4])

    def compute(m: Block, x: Tensor) -> Tensor:
        signal = x.reshape(-1, x.shape[-1])
        spectrum = torch.stft(signal, 8, hop, window=m.head.window, return_complex=True)
        mask = m.head(spectrum.abs().transpose(1, 2)).sigmoid().transpose(1, 2)
        y = torch.istft(spectrum * mask, 8, hop, window=m.head.window, length=x.shape[-1])
        return y.reshape(x.shape)

    head = nn.Linear(5, 5)
    head.register_buffer("window", torch.hann_window(8) + 0.1)
    return Block(f"stft 8, hop {hop}, a mask, istft", compute, head=head)


def overlap_add(pick: Random) -> Block:
    kernel, stride = pick.choice([(4, 2), (3, 2), (6, 3)])

    def compute(m: Block, x: Tensor) -> Tensor:
        frames = m.encode(functional.pad(x, (kernel - stride, 0))).relu()
        return m.decode(frames * m.gate(frames).sigmoid())

    return Block(
        f"encoder and decoder {kernel}, stride {stride}",
        compute,
        encode=nn.Conv1d(CHANNELS, CHANNELS, kernel, stride),
        gate=nn.Conv1d(CHANNELS, CHANNELS, 1),
        decode=nn.ConvTranspose1d(CHANNELS, CHANNELS, kernel, stride),
    )


def pointwise(pick: Random) -> Block:
    forms: list[tuple[str, Callable[[Block, Tensor], Tensor], dict[str, nn.Module]]] = [
        ("tanh", lambda m, x: x.tanh(), {}),
        ("relu, plus 1", lambda m, x: x.relu() + 1, {}),
        ("sigmoid gate", lambda m, x: x * (x + 1).sigmoid(), {}),
        ("PReLU", lambda m, x: m.a(x), {"a": nn.PReLU(CHANNELS)}),
        ("linear", lambda m, x: m.a(x), {"a": nn.Conv1d(CHANNELS, CHANNELS, 1)}),
        (
            "layer normalisation",
            lambda m, x: m.a(x.transpose(1, 2)).transpose(1, 2),
            {"a": nn.LayerNorm(CHANNELS)},
        ),
        ("batch normalisation", lambda m, x: m.a(x) + 0.2, {"a": nn.BatchNorm1d(CHANNELS)}),
        (
            "linear, batch normalisation, tanh",
            lambda m, x: m.b(m.a(x)).tanh(),
            {"a": nn.Conv1d(CHANNELS, CHANNELS, 1), "b": nn.BatchNorm1d(CHANNELS)},
        ),
    ]
    text, compute, parts = pick.choice(forms)
    return Block(text, compute, **parts)


LEAVES = [
    *(causal, chomp, unpadded, lookahead, ahead, strided, transposed, pooling, shift, difference),
    *(crop, subsampled, repeated, accumulated, positions, recurrent, over_frequency),
    *(over_time_by_frequency, attention, mirrored, two_dimensional, unfolded, spectral),
    *(overlap_add, pointwise, pointwise, recurrent, causal, unpadded_skip),
]
