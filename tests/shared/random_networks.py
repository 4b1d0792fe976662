"""Networks composed at random of the blocks that streaming networks are made of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from blocks import CHANNELS, LEAVES, Block
from torch import Tensor, nn
from torch.nn import functional

LENGTHS = (64, 61, 90, 41)
"""At which a network is tried while it is composed."""
_MOST_FRAMES = 400
_SPECTRAL = 8
"""One network in so many is between a short-time Fourier transform and its inverse."""
_TRIES = 40


@dataclass(frozen=True)
class Network:
    """A network and what it is made of.

    Attributes:
        module: [batch, 4, time], [batch, time, 4] or [batch, time], to one or two results.
        spec: of its input.
        shape: of its input, batch and time by name.
        text: its parts, in order.
    """

    module: nn.Module
    spec: str
    shape: tuple[int | str, ...]
    text: str

    def signal(self, batch: int, frames: int) -> Tensor:
        """Noise, in float64."""
        sizes = {"batch": batch, "time": frames}
        return torch.randn([sizes.get(dim, dim) for dim in self.shape], dtype=torch.float64)


def compose(seed: int) -> Network:
    """The network of that seed."""
    pick = Random(seed)
    torch.manual_seed(seed)
    module, shape, text = _spectral(pick) if seed % _SPECTRAL == _SPECTRAL - 1 else _whole(pick)
    spec = f"float32[{', '.join(map(str, shape))}]"
    return Network(_shaken(module).eval(), spec, shape, f"seed {seed}: {text}")


def _whole(pick: Random) -> tuple[nn.Module, tuple[int | str, ...], str]:
    body = _chain(pick, pick.randint(1, 3), depth=0)
    time_last, tapped = pick.choice([True, False]), pick.random() < 0.15
    module = _Whole(body, time_last=time_last, tap=_tap(pick) if tapped else None)
    shape = ("batch", CHANNELS, "time") if time_last else ("batch", "time", CHANNELS)
    return module, shape, body.text + (f"; beside it: {module.tap.text}" if module.tap else "")


def _spectral(pick: Random) -> tuple[nn.Module, tuple[int | str, ...], str]:
    """A waveform's transform, masked by what a network makes of it, and back."""
    size = pick.choice([8, 16])
    hop, center = size // pick.choice([2, 4]), pick.random() < 0.7
    inner = _same_length(pick)

    def compute(m: Block, x: Tensor) -> Tensor:
        # The window is nowhere zero, so that without center the first samples are defined.
        options = {"window": m.enter.window, "center": center}
        spectrum = torch.stft(x, size, hop, **options, return_complex=True)
        y = m.inner(m.enter(spectrum.abs().transpose(1, 2)).transpose(1, 2))
        mask = m.leave(y.transpose(1, 2)).transpose(1, 2).sigmoid()
        return torch.istft(spectrum * mask, size, hop, **options)

    enter, leave = nn.Linear(size // 2 + 1, CHANNELS), nn.Linear(CHANNELS, size // 2 + 1)
    enter.register_buffer("window", torch.hamming_window(size))
    text = f"stft {size}, hop {hop}, center: {center} > {inner.text} > istft"
    module = Block(text, compute, enter=enter, inner=inner, leave=leave)
    return module, ("batch", "time"), text


def _same_length(pick: Random) -> Block:
    """Blocks that give as many frames as they take."""
    for _ in range(_TRIES):
        body = _chain(pick, pick.randint(1, 2), depth=1)
        with torch.no_grad():
            counts = [body(torch.zeros(1, CHANNELS, n)).shape[-1] for n in LENGTHS]
        if counts == list(LENGTHS):
            return body
    raise AssertionError("no network keeps the length")


class _Whole(nn.Module):
    def __init__(self, body: Block, *, time_last: bool, tap: Block | None) -> None:
        super().__init__()
        self.body, self.time_last, self.tap = body, time_last, tap

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = x if self.time_last else x.transpose(1, 2)
        y = self.body(x)
        y = y if self.time_last else y.transpose(1, 2)
        return y if self.tap is None else (y, self.tap(x))


def _tap(pick: Random) -> Block:
    return _chain(pick, pick.randint(1, 2), depth=2)


def _shaken(module: nn.Module) -> nn.Module:
    """Statistics and slopes that are not the default's, which would hide mistakes."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
        if isinstance(part, nn.PReLU):
            part.weight.data.uniform_(0.1, 0.9)
    return module


def _chain(pick: Random, count: int, depth: int) -> Block:
    """Blocks one after the other, each tried behind those before it."""
    parts: list[Block] = []
    signals = [torch.randn(2, CHANNELS, frames) for frames in LENGTHS]
    while len(parts) < count:
        block, signals = _fitting(pick, signals, depth)
        parts.append(block)
    text = "(" + " > ".join(part.text for part in parts) + ")"
    return Block(text, _one_by_one, layers=nn.ModuleList(parts))


def _one_by_one(m: Block, x: Tensor) -> Tensor:
    for layer in m.layers:
        x = layer(x)
    return x


def _fitting(pick: Random, signals: list[Tensor], depth: int) -> tuple[Block, list[Tensor]]:
    nested = [residual, parallel, joined, u_net] * 2 if depth < 2 else []
    for _ in range(_TRIES):
        maker = pick.choice([*LEAVES, *nested])
        block = maker(pick, depth + 1) if maker in nested else maker(pick)
        results = _results(block, signals)
        if results is not None:
            return block, results
    raise AssertionError("no block fits")


def _results(block: Block, signals: list[Tensor]) -> list[Tensor] | None:
    """What the block gives; None when it does not take these, or gives too little or too much."""
    results = []
    for x in signals:
        try:
            with torch.no_grad():
                y = block(x)
        except (RuntimeError, IndexError):
            return None
        bounded = 4 <= y.shape[-1] <= _MOST_FRAMES and float(y.abs().max()) < 100
        if not bounded or y.shape[:2] != x.shape[:2]:
            return None
        results.append(y)
    return results


def residual(pick: Random, depth: int) -> Block:
    """What comes out may be shorter, or longer: the ends that fit are added."""
    body = _chain(pick, pick.randint(1, 2), depth)
    side = pick.choice(["both start", "cut to x", "x cut"])

    def compute(m: Block, x: Tensor) -> Tensor:
        y = m.body(x)
        if side == "cut to x":
            y = y[..., : x.shape[-1]]
        elif side == "x cut":
            x = x[..., : y.shape[-1]]
        return x + y

    return Block(f"x + {body.text}, {side}", compute, body=body)


def parallel(pick: Random, depth: int) -> Block:
    """Two branches, multiplied or added."""
    a, b = (_chain(pick, pick.randint(1, 2), depth) for _ in range(2))
    product = pick.choice([True, False])
    return Block(
        f"{a.text} {'gated by' if product else '+'} {b.text}",
        lambda m, x: m.a(x) * m.b(x).sigmoid() if product else m.a(x) + m.b(x),
        a=a,
        b=b,
    )


def joined(pick: Random, depth: int) -> Block:
    """Two branches side by side, mixed."""
    a, b = (_chain(pick, pick.randint(1, 2), depth) for _ in range(2))
    return Block(
        f"[{a.text}, {b.text}] mixed",
        lambda m, x: m.mix(torch.cat([m.a(x), m.b(x)], 1)),
        a=a,
        b=b,
        mix=nn.Conv1d(2 * CHANNELS, CHANNELS, 1),
    )


def u_net(pick: Random, depth: int) -> Block:
    """Down, something, up, and what was before beside it."""
    inner = _chain(pick, pick.randint(1, 2), depth)
    stride = pick.choice([2, 2, 3])
    kernel = stride + pick.randint(0, 2)
    left, right = pick.randint(0, kernel - 1), pick.choice([0, stride - 1, stride])
    cut = pick.choice([0, 0, 1])
    add = pick.choice([True, False])

    def compute(m: Block, x: Tensor) -> Tensor:
        y = m.down(functional.pad(x, (left, right))).relu()
        y = m.up(m.inner(y))[..., : x.shape[-1]]
        return x + y if add else m.mix(torch.cat([x, y], 1))

    return Block(
        f"U-Net {kernel}, stride {stride}, padding {left}, {right}, cut {cut}, {inner.text}, "
        f"{'added' if add else 'joined'}",
        compute,
        down=nn.Conv1d(CHANNELS, CHANNELS, kernel, stride),
        inner=inner,
        up=nn.ConvTranspose1d(CHANNELS, CHANNELS, kernel, stride, padding=cut),
        mix=nn.Conv1d(2 * CHANNELS, CHANNELS, 1),
    )
