"""Trains a network of the zoo on its task, and judges networks and their exported streams."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnedge.zoo.catalogue import Network
from rnnedge.zoo.tasks import IGNORED, Task
from rnnedge_runtime import Model

BATCH, FRAMES = 32, 48
LONG = 8 * FRAMES
"""Judged on sequences longer than those of the training."""
_CHUNKS = (1, 3, 7, 16)


class Progress(NamedTuple):
    """Where training is: updates done, and this batch's share of right answers before its own."""

    step: int
    accuracy: float


def train(
    network: Network, task: Task, steps: int, *, learning_rate: float = 1e-2, seed: int = 0
) -> Iterator[Progress]:
    """Trains in place, one step for each item taken.

    Args:
        network: its weights change.
        task: draws a new batch for every step.
        steps: updates, the learning rate falling to zero along a cosine.
        learning_rate: of Adam, at its highest.
        seed: of the batches.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: (1 + math.cos(math.pi * n / steps)) / 2
    )
    network.train()
    for step in range(1, steps + 1):
        tokens, answers = task.draw(BATCH, FRAMES, generator)
        scores, _ = network(tokens)
        loss = functional.cross_entropy(
            scores.flatten(0, 1), answers.flatten(), ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield Progress(step, right(scores.detach(), answers))
    network.eval()


def questions(task: Task, seed: int = 1_000_000) -> tuple[Tensor, Tensor]:
    """What networks and streams are judged on: four long sequences, and their answers."""
    return task.draw(4, LONG, torch.Generator().manual_seed(seed))


def judge(network: Network, task: Task) -> float:
    """The share of right answers of a network, whole sequences at once."""
    tokens, answers = questions(task)
    network.eval()
    with torch.no_grad():
        return right(network(tokens)[0], answers)


def judge_stream(model: Model, task: Task) -> float:
    """The share of right answers of an exported stream, fed chunks of several lengths."""
    tokens, answers = questions(task)
    stream, first = model.stream(batch=tokens.shape[0]), 0
    given: list[np.ndarray[Any, Any]] = []
    while first < tokens.shape[1]:
        length = _CHUNKS[len(given) % len(_CHUNKS)]
        scores = stream.push(tokens[:, first : first + length].numpy())
        assert isinstance(scores, np.ndarray)  # noqa: S101 - it has one output
        given.append(scores)
        first += length
    return right(torch.from_numpy(np.concatenate(given, 1)), answers)


def right(scores: Tensor, answers: Tensor) -> float:
    """The share of right answers among those that count.

    Args:
        scores: [batch, time, symbols].
        answers: int64 [batch, time].
    """
    counts = answers != IGNORED
    return float((scores.argmax(-1) == answers)[counts].float().mean())
