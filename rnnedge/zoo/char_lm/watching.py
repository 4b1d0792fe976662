"""How far back the gradients of the three cells reach, when all are trained alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from torch.nn import functional

from rnnedge.zoo.char_lm.checkpoint import load_checkpoint
from rnnedge.zoo.char_lm.corpus import Corpus
from rnnedge.zoo.char_lm.model import Cell, CharLM, CharLMConfig, new_model
from rnnedge.zoo.char_lm.streams import Streams
from rnnedge.zoo.char_lm.training import TrainingOptions, train
from rnnedge.zoo.gradients import Reach, reach_back


def measure_cells(
    corpus: Corpus,
    config: CharLMConfig,
    options: TrainingOptions,
    seed: int,
    checkpoint: Path,
    on_cell: Callable[[str], None] = lambda _: None,
) -> dict[str, Reach]:
    """Measures each cell on the validation text.

    Args:
        corpus: the text.
        config: of the model in `checkpoint`; the other cells have the same sizes.
        options: how they are trained.
        seed: of their weights.
        checkpoint: of the cell that `config` names, trained already.
        on_cell: told before another cell is trained.

    Returns:
        By cell, that of `config` first.
    """
    others = [cell for cell in get_args(Cell) if cell != config.cell]
    model = load_checkpoint(checkpoint)
    reaches: dict[str, Reach] = {config.cell: reach_of(model, corpus.validation, options)}
    for cell in others:
        on_cell(cell)
        model = new_model(corpus.vocabulary, replace(config, cell=cell), seed)
        deque(train(model, corpus.training, options), maxlen=0)
        reaches[cell] = reach_of(model, corpus.validation, options)
    return reaches


def reach_of(model: CharLM, streams: Streams, options: TrainingOptions) -> Reach:
    """The gradients of the prediction after `unroll` characters, mean over the streams.

    As many characters before them are read first, where the streams are long enough.

    Args:
        model: not changed.
        streams: what is read and predicted.
        options: `unroll` characters are looked back on.
    """
    frames = min(options.unroll, streams.inputs.shape[1])
    end = min(2 * frames, streams.inputs.shape[1])
    tokens = torch.from_numpy(streams.inputs[:, :end])
    targets = torch.from_numpy(streams.targets[:, end - 1])
    model.eval()
    with torch.no_grad():
        features = model.features(tokens)
        state = model.rnn(features[:, :-frames])[1] if end > frames else None
    return reach_back(
        model.rnn,
        features[:, -frames:].requires_grad_(),
        lambda last: functional.cross_entropy(model.output(last), targets, reduction="sum"),
        state,
    )
