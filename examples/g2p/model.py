"""The network of g2p-en: a GRU reads the letters of a word, another one tells the phonemes.

The package computes it in numpy, a word and a step at a time; here it is written for whole batches.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from examples.g2p.symbols import LETTERS, PHONEMES
from examples.packages import shipped

WIDTH = 256


class Encoder(nn.Module):
    """From the letters of words to what the decoder starts from."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), WIDTH)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Letters ``[batch, time]``, of which each word has so many, to ``[1, batch, width]``."""
        x = self.embedding(letters)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, hidden = self.gru(packed)
        return hidden


class Decoder(nn.Module):
    """From the phonemes so far to the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(PHONEMES), WIDTH)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.output = nn.Linear(WIDTH, len(PHONEMES))

    def forward(self, phonemes: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Phonemes ``[batch, time]`` to logits ``[batch, time, phonemes]``, and the state.

        The state, ``[1, batch, width]``, is the encoder's result at first.
        """
        x, hidden = self.gru(self.embedding(phonemes), hidden)
        return self.output(x), hidden


def make_encoder() -> Encoder:
    """The encoder with the published weights."""
    return _with_weights(Encoder(), "enc")


def make_decoder() -> Decoder:
    """The decoder with the published weights."""
    return _with_weights(Decoder(), "dec")


_Half = TypeVar("_Half", Encoder, Decoder)


def _with_weights(half: _Half, prefix: str) -> _Half:
    names = {
        "embedding.weight": f"{prefix}_emb",
        "gru.weight_ih_l0": f"{prefix}_w_ih",
        "gru.weight_hh_l0": f"{prefix}_w_hh",
        "gru.bias_ih_l0": f"{prefix}_b_ih",
        "gru.bias_hh_l0": f"{prefix}_b_hh",
        "output.weight": "fc_w",
        "output.bias": "fc_b",
    }
    with np.load(shipped("g2p-en", "g2p_en/checkpoint20.npz"), allow_pickle=False) as published:
        half.load_state_dict(
            {name: torch.from_numpy(published[names[name]]) for name in half.state_dict()}
        )
    return half
