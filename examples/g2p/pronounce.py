"""Tells how words are pronounced, with the two exported files; numpy and onnxruntime are enough.

Run it: ``python -m examples.g2p.pronounce encoder.onnx decoder.onnx recurrence streaming``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from examples.g2p.symbols import END, PHONEMES, START, number_letters
from rnnedge_runtime import Model, load

LONGEST = 20
"""Phonemes of a word at most, as in the package."""


def pronounce(encoder: Model, decoder: Model, words: Sequence[str]) -> list[list[str]]:
    """The phonemes of each word; all words go through the two networks side by side."""
    letters, lengths = number_letters(words)
    stream = decoder.stream(batch=len(words))
    (hidden,) = encoder.run({"letters": letters, "lengths": lengths}).outputs.values()
    stream.set_state({"hidden": hidden})
    latest = np.full((len(words), 1), START, np.int64)
    told = np.zeros((len(words), 0), np.int64)
    while told.shape[1] < LONGEST and not (told == END).any(1).all():
        logits = np.asarray(stream.push(latest))
        latest = logits.argmax(-1)
        told = np.append(told, latest, axis=1)
    return [_until_end(row) for row in told]


def _until_end(row: np.ndarray) -> list[str]:
    numbers = row.tolist()
    return [PHONEMES[number] for number in numbers[: (*numbers, END).index(END)]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoder", type=Path)
    parser.add_argument("decoder", type=Path)
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    words = [word.lower() for word in options.words]
    found = pronounce(load(options.encoder), load(options.decoder), words)
    for word, phonemes in zip(words, found, strict=True):
        print(f"{word:<15} {' '.join(phonemes)}")


if __name__ == "__main__":
    main()
