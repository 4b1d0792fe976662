"""What counting pairs of characters achieves: the least a language model has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rnnedge.zoo.char_lm.streams import Streams
from rnnedge.zoo.char_lm.vocabulary import Tokens


class Bigram:
    """P(b | a) = (count(a b) + 1) / (count(a) + size), Laplace's rule of succession.

    Attributes:
        log2_probability: log2 P(b | a) at [a, b].
    """

    def __init__(self, tokens: Tokens, size: int) -> None:
        """Counts pairs.

        Args:
            tokens: the training text [characters].
            size: of the vocabulary.
        """
        counts = np.ones((size, size))
        np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
        probability = counts / counts.sum(axis=1, keepdims=True)
        self.log2_probability: NDArray[np.float64] = np.log2(probability)

    def bits_per_character(self, streams: Streams) -> float:
        """The mean of -log2 P(target | input) over `streams`."""
        return -float(self.log2_probability[streams.inputs, streams.targets].mean())
