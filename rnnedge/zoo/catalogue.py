"""The zoo's layers by name, and the small network that each is trained in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnnedge.zoo import modern, textbook
from rnnedge.zoo.tasks import SYMBOLS, Echo, Latch, Task
from rnnedge_runtime.errors import InputError

HIDDEN = 32


@dataclass(frozen=True)
class Entry:
    """A layer of the zoo.

    Attributes:
        layer: makes it from numbers of inputs and hidden units.
        task: that it is trained on. What forgets by what it sees can do `Latch`; what forgets
            always alike (LRU) or hardly at all is asked for an echo.
        steps: updates that are enough.
    """

    layer: Callable[[int, int], nn.Module]
    task: Task
    steps: int = 150


CATALOGUE: Mapping[str, Entry] = {
    "elman": Entry(textbook.Elman, Echo(2), 300),
    "lstm": Entry(textbook.LSTM, Latch()),
    "gru": Entry(textbook.GRU, Latch()),
    "mingru": Entry(modern.MinGRU, Latch()),
    "minlstm": Entry(modern.MinLSTM, Latch()),
    "lru": Entry(modern.LRU, Echo(5), 300),
    "ssm": Entry(modern.SelectiveSSM, Latch(), 200),
    "gla": Entry(modern.GatedLinearAttention, Latch(), 200),
    "slstm": Entry(modern.SLSTM, Latch()),
    "cfc": Entry(modern.CfC, Latch(), 200),
}


class Network(nn.Module):
    """Embedding, one recurrent layer with a skip around it, layer norm, scores.

    Attributes:
        layer: ``(x [batch, time, hidden], state) -> (y [batch, time, hidden], state)``.
    """

    def __init__(self, layer: nn.Module, tokens: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, hidden)
        self.layer = layer
        self.norm = nn.LayerNorm(hidden)
        self.output = nn.Linear(hidden, SYMBOLS)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Answers for all frames.

        Args:
            tokens: int64 [batch, time].
            state: of the layer, before the first frame; None for its own start.

        Returns:
            Scores [batch, time, SYMBOLS], and the layer's state after the last frame.
        """
        x = self.embedding(tokens)
        y, state = self.layer(x, state)
        return self.output(self.norm(x + y)), state


def find(name: str) -> Entry:
    """The layer of that name.

    Raises:
        InputError: there is none.
    """
    if name not in CATALOGUE:
        raise InputError(
            f"there is no {name!r} in the zoo",
            where="NAME",
            fix=f"use one of {', '.join(CATALOGUE)}",
        )
    return CATALOGUE[name]


def make(name: str, hidden: int = HIDDEN, seed: int = 0) -> Network:
    """An untrained network; the same seed gives the same weights. torch's own seed is untouched.

    Raises:
        InputError: there is no such layer.
    """
    entry = find(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(entry.layer(hidden, hidden), entry.task.tokens, hidden)
