"""How many frames a tensor of the whole-sequence program has, as a function of the input's frames.

Strides round down, so a length is a chain of steps ``n -> floor((n * mul + add) / div)``. The same
chain stands in the contract, where a runtime evaluates it at the end of a signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import TypeAlias

Step: TypeAlias = tuple[int, int, int]
"""``(mul, add, div)``."""


@dataclass(frozen=True)
class Length:
    """A chain of steps, applied from left to right to the number of input frames."""

    steps: tuple[Step, ...] = ()

    def __call__(self, frames: int) -> int:
        """The number of frames for an input of `frames` frames; never below 0."""
        for mul, add, div in self.steps:
            frames = (frames * mul + add) // div
        return max(frames, 0)

    @property
    def rate(self) -> Fraction:
        """Frames per input frame, in the long run."""
        rate = Fraction(1)
        for mul, _, div in self.steps:
            rate *= Fraction(mul, div)
        return rate

    @property
    def period(self) -> int:
        """After so many input frames, and each multiple of them, no stride leaves frames over."""
        rate, period = Fraction(1), 1
        for mul, _, div in self.steps:
            rate *= Fraction(mul, div)
            period = lcm(period, rate.denominator)
        return period

    def then(self, mul: int = 1, add: int = 0, div: int = 1) -> Length:
        """One more step, merged with the last one where that is the same function."""
        if not self.steps:
            return Length(_reduced((mul, add, div)))
        *before, (mul0, add0, div0) = self.steps
        if div0 == 1:
            merged = (mul0 * mul, add0 * mul + add, div)
        elif mul == 1:
            # floor((floor(u / a) + b) / c) = floor((u + a * b) / (a * c))
            merged = (mul0, add0 + div0 * add, div0 * div)
        else:
            return Length((*self.steps, (mul, add, div)))
        return Length((*before, *_reduced(merged)))

    def __str__(self) -> str:
        text, is_sum = "T", False
        for mul, add, div in self.steps:
            if mul != 1:
                text = f"{mul}*({text})" if is_sum else f"{mul}*{text}"
            is_sum = div == 1 and (add != 0 or (is_sum and mul == 1))
            text = f"{text} {'+' if add > 0 else '-'} {abs(add)}" if add else text
            if div != 1:
                text = f"floor(({text}) / {div})" if add else f"floor({text} / {div})"
        return text


_SAMPLES = range(10_000, 10_000 + 240)
"""Where a difference of lengths is measured: strides make it change from one length to the next."""


def least_difference(a: Length, b: Length, factor: int) -> int:
    """The least value of ``a - factor * b``, of lengths that differ by a bounded number."""
    return min(a(frames) - factor * b(frames) for frames in _SAMPLES)


def _reduced(step: Step) -> tuple[Step, ...]:
    mul, add, div = step
    # floor((c * m * n + a) / (c * d)) = floor((m * n + floor(a / c)) / d)
    common = gcd(mul, div)
    reduced = (mul // common, add // common, div // common)
    return () if reduced == (1, 0, 1) else (reduced,)
