"""The letters and phonemes of g2p-en, in the order in which its network numbers them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"

LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
PHONEMES = (
    *("<pad>", "<unk>", "<s>", "</s>"),
    *sorted(
        [
            *_CONSONANTS.split(),
            *(vowel + stress for vowel in _VOWELS.split() for stress in "012"),
            "UW",
        ]
    ),
)
"""Those of ARPABET, a vowel with its stress; UW is there without one, too."""

UNKNOWN, WORD_END = LETTERS.index("<unk>"), LETTERS.index("</s>")
START, END = PHONEMES.index("<s>"), PHONEMES.index("</s>")


def number_letters(words: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words, filled up to the longest, ``[words, time]``, and their lengths, ``[words]``.

    Each ends with `WORD_END`; what is no small letter is `UNKNOWN`.
    """
    lengths = np.array([len(word) + 1 for word in words], np.int64)
    letters = np.zeros((len(words), lengths.max(initial=1)), np.int64)
    numbers = {letter: number for number, letter in enumerate(LETTERS)}
    for row, word in zip(letters, words, strict=True):
        row[: len(word) + 1] = [*(numbers.get(letter, UNKNOWN) for letter in word), WORD_END]
    return letters, lengths
