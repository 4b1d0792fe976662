"""What the textbook's layers share: weights, the loop over time, and the operator it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def weight(rows: int, columns: int) -> nn.Parameter:
    """[rows, columns], uniform within one over the square root of the number of rows, as torch."""
    bound = 1 / math.sqrt(rows)
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))


def bias(size: int) -> nn.Parameter:
    """[size], zeros."""
    return nn.Parameter(torch.zeros(size))


def over_time(
    step: Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]],
    x: Tensor,
    state: Sequence[Tensor],
) -> tuple[Tensor, Sequence[Tensor]]:
    """Repeats a step whose first state is what the layer gives.

    Args:
        step: x_t [batch, inputs] and the states before it to the states after it.
        x: [batch, time, inputs].
        state: each [batch, hidden].

    Returns:
        The first state after each frame [batch, time, hidden], and the last states.
    """
    hidden = []
    for x_t in x.unbind(1):
        state = step(x_t, state)
        hidden.append(state[0])
    return torch.stack(hidden, 1), state


def zeros(x: Tensor, size: int) -> Tensor:
    """The state before the first frame, [batch, size]."""
    return x.new_zeros(x.shape[0], size)


def is_exporting() -> bool:
    """Whether the loop is to be handed over as the one operator that it is."""
    return torch.compiler.is_exporting()
