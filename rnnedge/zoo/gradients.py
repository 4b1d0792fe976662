"""How far back in time gradients reach.

The gradient of the last frame's loss with respect to the state k frames before is a product of k
Jacobians, so that its norm falls or grows geometrically (Bengio, Simard and Frasconi, IEEE
Transactions on Neural Networks 5(2), 1994; Pascanu, Mikolov and Bengio, arXiv:1211.5063).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

Layers: TypeAlias = nn.RNN | nn.GRU | nn.LSTM
State: TypeAlias = Tensor | tuple[Tensor, Tensor]

VANISHED = 1e-4
"""Below this share of the last frame's norm a gradient counts as vanished."""
EXPLODED = 1e2
"""Above this multiple of the last frame's norm it counts as exploded."""


@dataclass(frozen=True)
class Reach:
    """The gradient's way back through time.

    Attributes:
        norms: of the loss gradient with respect to the state k frames before the last one, k = 0
            first. The state is all that is handed on: all layers, and for an LSTM both h and c.
    """

    norms: tuple[float, ...]

    @property
    def vanishes_after(self) -> int | None:
        """How many frames back the norm is below `VANISHED` of the last frame's, from there on."""
        below = [norm < VANISHED * self.norms[0] for norm in self.norms]
        if not below[-1]:
            return None
        return len(below) - next((k for k, b in enumerate(reversed(below)) if not b), len(below))

    @property
    def explodes_after(self) -> int | None:
        """How many frames back the norm is above `EXPLODED` times the last frame's at first."""
        above = (k for k, norm in enumerate(self.norms) if not norm <= EXPLODED * self.norms[0])
        return next(above, None)

    @property
    def rate(self) -> float:
        """What each frame multiplies the norm with, as a geometric mean."""
        steps = len(self.norms) - 1
        if steps == 0 or not self.norms[0]:
            return 1.0
        return float((self.norms[-1] / self.norms[0]) ** (1 / steps))


def reach_back(
    layers: Layers, x: Tensor, loss: Callable[[Tensor], Tensor], state: State | None = None
) -> Reach:
    """Measures the gradients of one loss, at the last frame.

    Args:
        layers: of torch, batch first, in one direction.
        x: [batch, time, inputs].
        loss: of the last frame's output [batch, hidden] to a sum over rows, so that each row has
            its own gradient; norms are means over rows.
        state: before the first frame; None for zeros.
    """
    leaves: list[list[Tensor]] = []
    output = x[:, 0]
    with torch.enable_grad():
        for t in range(x.shape[1]):
            y, state = layers(x[:, t : t + 1], state)
            # All that the next frame sees goes through these.
            parts = [part.clone() for part in (state if isinstance(state, tuple) else (state,))]
            leaves.append(parts)
            state = (parts[0], parts[1]) if isinstance(state, tuple) else parts[0]
            # The top layer's hidden state is what the frame gives.
            output = parts[0][-1]
            del y
        flat = [part for parts in leaves for part in parts]
        found = torch.autograd.grad(loss(output), flat, allow_unused=True)
    gradients = iter(found)
    norms = []
    for parts in leaves:
        squared = torch.zeros(x.shape[0], dtype=x.dtype)
        for _ in parts:
            gradient = next(gradients)
            if gradient is not None:
                squared = squared + gradient.square().sum((0, 2))
        norms.append(float(squared.sqrt().mean()))
    return Reach(tuple(reversed(norms)))


def findings(reaches: Mapping[str, Reach]) -> list[str]:
    """What is wrong with whose gradients, one sentence each."""
    said = []
    for name, reach in reaches.items():
        if (after := reach.vanishes_after) is not None:
            said.append(
                f"the gradient of {name} vanishes: {after} frames back it is below {VANISHED:g} "
                f"of the last frame's (times {reach.rate:.3g} per frame)"
            )
        if (after := reach.explodes_after) is not None:
            said.append(
                f"the gradient of {name} explodes: {after} frames back it is above {EXPLODED:g} "
                f"times the last frame's (times {reach.rate:.3g} per frame)"
            )
    return said


def curves(reaches: Mapping[str, Reach]) -> dict[str, Sequence[float]]:
    """The norms by name, for reports."""
    return {name: list(reach.norms) for name, reach in reaches.items()}
