"""A text made ready: vocabulary, training tokens, and what is predicted for validation."""

from __future__ import annotations

from dataclasses import dataclass

from rnnedge.zoo.char_lm.streams import Streams, evaluation_streams
from rnnedge.zoo.char_lm.text import split
from rnnedge.zoo.char_lm.vocabulary import UNKNOWN, Tokens, Vocabulary


@dataclass(frozen=True)
class Corpus:
    """A text, divided by position and encoded.

    Attributes:
        vocabulary: of the training part.
        training: tokens [characters].
        validation: what every model is judged on, so that their bits per character compare.
    """

    vocabulary: Vocabulary
    training: Tokens
    validation: Streams

    @classmethod
    def of(cls, text: str, vocabulary: Vocabulary | None = None) -> Corpus:
        """Prepares `text`.

        Args:
            text: all of it.
            vocabulary: that of its training part if None.

        Raises:
            TextError: it is too short to validate on.
        """
        parts = split(text)
        vocabulary = vocabulary or Vocabulary.of(parts.training)
        validation = evaluation_streams(vocabulary.encode(parts.validation))
        return cls(vocabulary, vocabulary.encode(parts.training), validation)

    @property
    def unknown_characters(self) -> int:
        """How many characters to predict in validation are not in the vocabulary."""
        return int((self.validation.targets == UNKNOWN).sum())
