"""Truncated back-propagation through time, with the state carried from chunk to chunk.

Each stream of the batch is read from left to right in chunks. A chunk starts from the state that
the chunk before it left, and gradients stop there: forward, the model sees all of the past; back,
`unroll` characters of it (Williams and Peng, 1990; Mikolov et al., 2010).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnedge.zoo.char_lm.errors import TextError, TrainingError
from rnnedge.zoo.char_lm.model import CharLM, State
from rnnedge.zoo.char_lm.streams import Streams, chunks, contiguous_streams
from rnnedge.zoo.char_lm.vocabulary import Tokens

_EVALUATION_CHUNK = 256
_WARM_UP_STEPS = 50


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        steps: updates of the weights. The learning rate rises over the first 50 of them and then
            falls to zero along a cosine (Loshchilov and Hutter, arXiv:1608.03983).
        batch: streams side by side.
        unroll: characters through which gradients flow back.
        learning_rate: of Adam, at its highest.
        clip: the gradient's norm is cut down to this (Pascanu et al., arXiv:1211.5063).

    Raises:
        TrainingError: a number is out of its range.
    """

    steps: int
    batch: int = 16
    unroll: int = 64
    learning_rate: float = 5e-3
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "unroll"):
            if getattr(self, name) < 1:
                raise _out_of_range(name, getattr(self, name), "at least 1")
        if not 0 <= self.learning_rate < math.inf:
            raise _out_of_range("learning_rate", self.learning_rate, "zero or more, and finite")
        if not self.clip > 0:
            raise _out_of_range("clip", self.clip, "more than zero")


class Progress(NamedTuple):
    """Where training is.

    Attributes:
        step: updates done.
        epoch: passes through the text, begun ones included.
        bits_per_character: the training loss of this step's chunk, before its update.
    """

    step: int
    epoch: int
    bits_per_character: float


def steps_per_epoch(characters: int, batch: int, unroll: int) -> int:
    """How many chunks one pass through a text of so many characters takes."""
    return math.ceil(((characters - 1) // batch) / unroll)


def use_threads(threads: int) -> None:
    """Sets how many threads torch computes with, in the whole process.

    One is a good number for networks of this size: two are at best half as fast again, and on a
    machine that does other things they wait for each other, which is ten times slower.
    """
    torch.set_num_threads(threads)


def train(model: CharLM, tokens: Tokens, options: TrainingOptions) -> Iterator[Progress]:
    """Trains `model` in place, one step for each item taken; stop when you like.

    Args:
        model: its weights change.
        tokens: the training text [characters].
        options: how.

    Raises:
        TextError: the text does not fill one chunk.
        TrainingError: the loss is no longer a number.
    """
    if len(tokens) <= options.batch * options.unroll:
        raise TextError(
            f"the text is too short: {options.batch} streams of {options.unroll} characters need "
            f"{options.batch * options.unroll + 1} to train on, got {len(tokens)}",
            where="the training part of the text",
            fix="give a longer text, or a smaller --batch or --unroll",
        )
    streams = contiguous_streams(tokens, options.batch)
    return islice(_steps(model, streams, options), options.steps)


def evaluate(model: CharLM, streams: Streams) -> float:
    """The model's mean bits per character on `streams`, its state carried all the way."""
    model.eval()
    hidden: State | None = None
    nats = 0.0
    with torch.no_grad():
        for chunk in chunks(streams, _EVALUATION_CHUNK):
            loss, hidden = _loss(model, chunk, hidden)
            nats += loss.item() * chunk.targets.size
    return _bits(nats / streams.targets.size)


def _steps(model: CharLM, streams: Streams, options: TrainingOptions) -> Iterator[Progress]:
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: _rate(n, options.steps))
    model.train()
    step = 0
    for epoch in count(1):
        hidden: State | None = None
        for chunk in chunks(streams, options.unroll):
            step += 1
            loss, hidden = _loss(model, chunk, hidden)
            if not math.isfinite(loss.item()):
                raise _diverged(step, options)
            hidden = _detached(hidden)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, options.clip)
            optimizer.step()
            schedule.step()
            yield Progress(step, epoch, _bits(loss.item()))


def _loss(model: CharLM, chunk: Streams, hidden: State | None) -> tuple[Tensor, State]:
    """The mean cross-entropy in nats per character, and the state after the chunk."""
    logits, hidden = model(torch.from_numpy(chunk.inputs), hidden)
    targets = torch.from_numpy(chunk.targets)
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten()), hidden


def _detached(hidden: State) -> State:
    """The same state, through which no gradient flows back."""
    if isinstance(hidden, Tensor):
        return hidden.detach()
    h, c = hidden
    return h.detach(), c.detach()


def _rate(step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0, as a share of its highest value."""
    warm_up = min(1.0, (step + 1) / _WARM_UP_STEPS)
    return warm_up * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2


def _bits(nats: float) -> float:
    return nats / math.log(2)


def _diverged(step: int, options: TrainingOptions) -> TrainingError:
    return TrainingError(
        "training diverged: the loss is no longer a number",
        where=f"step {step}, learning rate {options.learning_rate:g}, clip {options.clip:g}",
        fix="lower --learning-rate or --clip",
    )


def _out_of_range(name: str, value: float, expected: str) -> TrainingError:
    return TrainingError(
        f"{expected} was expected, got {value}", where=name, fix=f"give another {name}"
    )
