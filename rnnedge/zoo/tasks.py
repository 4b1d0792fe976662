"""Small tasks that cannot be done without a memory.

Tokens in, one answer per frame out; both are integers. Each task says how often a model without any
memory would be right, so that a score means something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

SYMBOLS = 8
IGNORED = -100
"""The answer of frames that do not count; `torch.nn.functional.cross_entropy` skips it too."""


class Task(Protocol):
    """What a sequence model is trained on.

    Attributes:
        name: for people.
        tokens: how many different ones there are.
        without_memory: the share of answers that could be right without any.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def tokens(self) -> int: ...  # noqa: D102

    @property
    def without_memory(self) -> float: ...  # noqa: D102

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Tokens and answers, int64 [batch, time]."""
        ...


@dataclass(frozen=True)
class Latch:
    """Says the last marked symbol: a selective copy (Gu and Dao, arXiv:2312.00752, section 4.1).

    Token s is symbol s, token ``SYMBOLS + s`` the same symbol, marked. The first frame is marked.

    Attributes:
        marked: the share of frames that are.
    """

    marked: float = 0.2
    name: str = "latch"
    tokens: int = 2 * SYMBOLS

    @property
    def without_memory(self) -> float:
        """Marked frames answer themselves; for others one guesses."""
        return self.marked + (1 - self.marked) / SYMBOLS

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Task`."""
        symbols = torch.randint(SYMBOLS, (batch, frames), generator=generator)
        is_marked = torch.rand(batch, frames, generator=generator) < self.marked
        is_marked[:, 0] = True
        places = torch.where(is_marked, torch.arange(frames), 0).cummax(1).values
        return symbols + SYMBOLS * is_marked, symbols.gather(1, places)


@dataclass(frozen=True)
class Echo:
    """Says the symbol of so many frames ago.

    Attributes:
        lag: in frames.
    """

    lag: int = 5
    name: str = "echo"
    tokens: int = SYMBOLS

    @property
    def without_memory(self) -> float:
        """One guesses."""
        return 1 / SYMBOLS

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Task`."""
        symbols = torch.randint(SYMBOLS, (batch, frames), generator=generator)
        answers = torch.full_like(symbols, IGNORED)
        answers[:, self.lag :] = symbols[:, : -self.lag]
        return symbols, answers
