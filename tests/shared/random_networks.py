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
_TRIES = 40


@dataclass(frozen=True)
class Network:
    """A network and what it is made of.

    Attributes:
        module: [batch, 4, time], or [batch, time, 4], to one or two results.
        spec: of its input.
        time_last: whether time is the input's last axis.
        text: its parts, in order.
    """

    module: nn.Module
    spec: str
    time_last: bool
    text: str


def compose(seed: int) -> Network:
    """The network of that seed."""
    pick = Random(seed)
    torch.manual_seed(seed)
    body = _chain(pick, pick.randint(1, 5), depth=0)
    time_last, tapped = pick.choice([True, False]), pick.random() < 0.15
    module = _Whole(body, time_last=time_last, tap=_tap(pick) if tapped else None)
    axes = f"{CHANNELS}, time" if time_last else f"time, {CHANNELS}"
    text = f"seed {seed}: {body.text}" + (f"; beside it: {module.tap.text}" if module.tap else "")
    return Network(_shaken(module).eval(), f"float32[batch, {axes}]", time_last, text)


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
    body = _chain(pick, pick.randint(1, 3), depth)
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
