"""Characters and their tokens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnnedge.zoo.char_lm.errors import VocabularyError

Tokens: TypeAlias = NDArray[np.int64]

METADATA_KEY = "vocabulary"
"""Where a model file keeps its vocabulary: a JSON list of characters, the place is the token."""
UNKNOWN = 0
"""The token of every character that the vocabulary does not have."""
UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Vocabulary:
    """The characters that a model knows.

    Attributes:
        characters: the place is the token; the first stands for all unknown characters.

    Raises:
        VocabularyError: an entry is not one character, is there twice, or the first is not
            `UNKNOWN_CHARACTER`.
    """

    characters: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.characters[:1] != (UNKNOWN_CHARACTER,):
            raise _unusable(f"its first entry must be {UNKNOWN_CHARACTER!r}, the unknown character")
        if any(not isinstance(entry, str) or len(entry) != 1 for entry in self.characters):
            raise _unusable("every entry must be one character")
        if len(self._token_of) != len(self.characters):
            raise _unusable("a character is there twice")

    @classmethod
    def of(cls, text: str, *, minimum_count: int = 2) -> Vocabulary:
        """The characters of a training text, in order of their code points.

        Args:
            text: the training part only; what validation adds is unknown.
            minimum_count: rarer characters count as unknown. Those seen once tell the model how
                often a character comes that it has never seen (Good, 1953).
        """
        counts = Counter(text)
        counts.pop(UNKNOWN_CHARACTER, None)
        known = sorted(character for character, n in counts.items() if n >= minimum_count)
        return cls((UNKNOWN_CHARACTER, *known))

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Reads what `to_json` wrote.

        Raises:
            VocabularyError: it is not a list of characters.
        """
        try:
            entries = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise _unusable(f"it is not JSON ({error})") from error
        if not isinstance(entries, list):
            raise _unusable(f"a list was expected, got {type(entries).__name__}")
        return cls(tuple(entries))

    def to_json(self) -> str:
        """The list of characters, as stored in a model file under `METADATA_KEY`."""
        return json.dumps(self.characters)

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tokens:
        """Tokens [len(text)], `UNKNOWN` where the vocabulary lacks a character."""
        lookup = self._token_of
        return np.fromiter((lookup.get(c, UNKNOWN) for c in text), np.int64, count=len(text))

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of `tokens`, with `UNKNOWN_CHARACTER` for `UNKNOWN`."""
        return "".join(self.characters[token] for token in tokens)

    def missing(self, text: str) -> list[str]:
        """The characters of `text` that are unknown, each once, sorted."""
        return sorted(set(text).difference(self.characters[1:]))

    @cached_property
    def _token_of(self) -> dict[str, int]:
        return {character: token for token, character in enumerate(self.characters)}


def _unusable(why: str) -> VocabularyError:
    return VocabularyError(
        f"the vocabulary cannot be used: {why}",
        where=f"metadata {METADATA_KEY!r}",
        fix="train and export the model again; if the file was edited, restore the original",
    )
