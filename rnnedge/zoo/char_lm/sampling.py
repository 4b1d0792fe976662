"""From logits to the next character. Numpy only: this runs where the exported file runs."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from rnnedge_runtime.errors import InputError


class Sampler:
    """Draws tokens; the same seed and logits give the same draws."""

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        never: Collection[int] = (),
    ) -> None:
        """Checks the settings.

        Args:
            temperature: divides the logits; below 1 the likely becomes likelier, 0 takes the
                likeliest (the first of equals).
            top_k: only so many of the likeliest tokens can be drawn (Fan et al.,
                arXiv:1805.04833).
            seed: of numpy's default generator.
            never: tokens that are not drawn.

        Raises:
            InputError: the temperature is negative or not finite, or `top_k` is not positive.
        """
        if not 0 <= temperature < math.inf:
            raise _refused("temperature", temperature, "zero or more, and finite")
        if top_k is not None and top_k < 1:
            raise _refused("top_k", top_k, "at least 1")
        self._temperature = temperature
        self._top_k = top_k
        self._never = list(never)
        self._random = np.random.default_rng(seed)

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """The distribution that is drawn from: softmax(logits / temperature), cut to the top k.

        Args:
            logits: [vocabulary].

        Returns:
            [vocabulary], with sum 1.

        Raises:
            InputError: a logit is NaN or infinite, or no token is left to draw.
        """
        if not np.isfinite(logits).all():
            raise InputError(
                "the model's output holds NaN or Inf",
                where="logits",
                fix="train again with a lower learning rate; if quantised, try the float model",
            )
        scores = logits.astype(np.float64)
        scores[self._never] = -math.inf
        top_k = 1 if self._temperature == 0 else self._top_k
        if top_k is not None:
            dropped = np.argsort(-scores, kind="stable")[top_k:]
            scores[dropped] = -math.inf
        best = scores.max()
        if best == -math.inf:
            raise _refused("never", len(self._never), f"fewer than all {len(scores)} tokens")
        # The best is at 0, so that even the smallest temperature gives 1 and no NaN.
        with np.errstate(over="ignore"):
            weights: NDArray[np.float64] = np.exp((scores - best) / (self._temperature or 1.0))
        weights /= weights.sum()
        return weights

    def __call__(self, logits: NDArray[np.floating]) -> int:
        """Draws one token from `probabilities` of logits [vocabulary]."""
        cumulative = self.probabilities(logits).cumsum()
        # The last sum can miss 1 by rounding, so the draw is scaled to it. Side "right" passes
        # over tokens of probability zero.
        draw = self._random.random() * cumulative[-1]
        return int(np.searchsorted(cumulative, draw, side="right"))


def _refused(name: str, value: float, expected: str) -> InputError:
    return InputError(f"{expected} was expected, got {value}", where=name, fix=f"change {name}")
