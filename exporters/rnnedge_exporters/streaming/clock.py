"""What a clock is: how a tensor of the whole-sequence program runs with time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction
from math import lcm
from typing import Literal

from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.length import Length

WHOLE = Length()
"""As many frames as the input."""


class Flow(Enum):
    """How a tensor runs with time.

    FIXED: it has no frames. START: a state that forward takes. FRAMES: it has frames. LATEST: what
    follows the last frame. FIRST: frames counted from the start, whose values may not be used.
    PAIRS: time is on two axes, as in the scores of an attention.
    """

    FIXED = auto()
    START = auto()
    FRAMES = auto()
    LATEST = auto()
    FIRST = auto()
    PAIRS = auto()


@dataclass(frozen=True)
class Edges:
    """Frames at both ends that repeat or mirror the signal's own, as padding makes them.

    Attributes:
        mode: ``replicate`` or ``reflect``.
        left: frames before the signal's first.
        right: frames after its last.
    """

    mode: Literal["replicate", "reflect"]
    left: int
    right: int


@dataclass(frozen=True)
class Clock:
    """A tensor's flow and, if it has frames, where they lie and when they come.

    In a stream, a tensor gives ``rate`` frames per input frame, always. Counted from the start,
    emission ``j`` is frame ``j - delay`` of the whole-sequence program's tensor. With a positive
    delay the first emissions precede the tensor's first frame and mean nothing. With a negative
    one, frames ``0`` to ``-delay - 1`` are there before any input is: padding, or what was computed
    from padding alone. They are the initial content of whatever keeps the tensor's past.

    Attributes:
        flow: see `Flow`.
        place: the axis of the frames.
        rate: frames per input frame.
        delay: in frames of this tensor.
        length: how many frames the whole-sequence program's tensor has.
        edges: what stands beyond the signal, if it is not constant.
        even: all frames are the same, so that a delay changes nothing.
    """

    flow: Flow
    place: Place | None = None
    rate: Fraction = Fraction(1)
    delay: int = 0
    length: Length = WHOLE
    edges: Edges | None = None
    even: bool = False

    def beyond(self, frames: int) -> int:
        """How many frames come out beyond the last one when the input ends after `frames`."""
        return int(self.rate * frames) - self.delay - self.length(frames)

    def wait(self, run: int | None = None) -> int:
        """How much later it has to come so that it does not run beyond its own end.

        Its end is known only when the input's is.

        Args:
            run: the input comes in multiples of it; None for all that strides divide evenly.
        """
        run = lcm(self.rate.denominator, self.length.period) if run is None else run
        return max(0, *(self.beyond(frames) for frames in range(10_000 * run, 10_050 * run, run)))

    def __str__(self) -> str:
        if self.flow is not Flow.FRAMES:
            return self.flow.name.lower()
        parts = [f"rate {self.rate}", f"delay {self.delay}", f"length {self.length}"]
        if self.edges:
            parts.append(f"{self.edges.mode} {self.edges.left}, {self.edges.right}")
        return ", ".join([*parts, *(["even"] if self.even else [])])


FIXED = Clock(Flow.FIXED)
