"""Tokens laid out for recurrent networks: streams side by side, each read from left to right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rnnedge.zoo.char_lm.errors import TextError
from rnnedge.zoo.char_lm.vocabulary import Tokens

_EVALUATION_BATCH = 64
_EVALUATION_CHARACTERS = 256
"""Streams for evaluation are at least so long, so that their cold start hardly counts."""


class Streams(NamedTuple):
    """What is read and what is to be predicted.

    Attributes:
        inputs: tokens [batch, time].
        targets: the token after each input [batch, time].
    """

    inputs: Tokens
    targets: Tokens


def contiguous_streams(tokens: Tokens, batch: int) -> Streams:
    """Cuts a text into `batch` streams of equal length, one after the other.

    Row b continues in time, so the state after one chunk of it is the state before the next. The
    up to `batch` characters at the end that do not fill all rows are left out.

    Args:
        tokens: [characters].
        batch: how many streams.

    Raises:
        TextError: there is not one character to predict per stream.
    """
    length = (len(tokens) - 1) // batch
    if length < 1:
        raise TextError(
            f"the text is too short: {len(tokens)} characters for {batch} streams",
            where="the text",
            fix="give a longer text, or fewer streams with --batch",
        )
    used = batch * length
    return Streams(
        tokens[:used].reshape(batch, length), tokens[1 : used + 1].reshape(batch, length)
    )


def evaluation_streams(tokens: Tokens) -> Streams:
    """The layout on which models are compared: few streams if the text is short."""
    batch = min(_EVALUATION_BATCH, (len(tokens) - 1) // _EVALUATION_CHARACTERS)
    return contiguous_streams(tokens, max(1, batch))


def chunks(streams: Streams, unroll: int) -> Iterator[Streams]:
    """Cuts streams along time into pieces of `unroll` characters; the last may be shorter."""
    for start in range(0, streams.inputs.shape[1], unroll):
        piece = slice(start, start + unroll)
        yield Streams(streams.inputs[:, piece], streams.targets[:, piece])
