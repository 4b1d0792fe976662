"""What a quantised character language model lost, in bits per character.

``python -m rnnedge.zoo.char_lm.quality char-lm.onnx tokens.npz`` writes the validation text that
`rnnedge train char-lm` judges on, and ``--metric rnnedge.zoo.char_lm.quality:bits_per_character``
judges on it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rnnedge.zoo.char_lm.corpus import Corpus
from rnnedge.zoo.char_lm.generation import Generator
from rnnedge.zoo.char_lm.text import read_standard_library
from rnnedge_runtime import load

CHARACTERS = 2_000_000
"""Of the text, validation included: as `rnnedge train char-lm` takes by itself."""


def bits_per_character(
    reference: Mapping[str, np.ndarray],
    candidate: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """How many more bits the candidate needs.

    Args:
        reference: logits ``[rows, characters, vocabulary]``, by the output's name.
        candidate: the other file's.
        data: ``targets``, the characters that come next, ``[rows, characters]``.

    Returns:
        The drop, and the bits per character of both.
    """
    bits = [
        _bits(next(iter(logits.values())), data["targets"]) for logits in (reference, candidate)
    ]
    return {"drop": bits[1] - bits[0], "float_bits": bits[0], "quantized_bits": bits[1]}


def _bits(logits: np.ndarray, targets: np.ndarray) -> float:
    """The mean of -log2 softmax(logits)[target]."""
    exact = logits.astype(np.float64)
    largest = exact.max(axis=-1, keepdims=True)
    total = np.log(np.exp(exact - largest).sum(axis=-1)) + largest[..., 0]
    chosen = np.take_along_axis(exact, targets[..., None].astype(np.int64), axis=-1)[..., 0]
    return float((total - chosen).mean() / np.log(2))


def save_validation(model: Path, target: Path, characters: int = CHARACTERS) -> None:
    """Writes ``tokens`` and ``targets`` of the standard library's validation part, as ``.npz``.

    Raises:
        RnnEdgeError: the file is no character language model, or there is no text.
    """
    vocabulary = Generator(load(model)).vocabulary
    corpus = Corpus.of(read_standard_library(characters), vocabulary)
    streams = corpus.validation
    np.savez(target, tokens=streams.inputs, targets=streams.targets)


if __name__ == "__main__":
    save_validation(Path(sys.argv[1]), Path(sys.argv[2]))
