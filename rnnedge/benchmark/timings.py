"""Times of calls, and what is said of them: percentiles, jitter, worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from rnnedge.parity.measure import Array

PERCENTS = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True)
class Timings:
    """How long each call took.

    Attributes:
        ns: nanoseconds, in the order of the calls: int64 ``[calls]``.
        blocks: how many of them belong to each turn that the runner had.
    """

    ns: Array
    blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.ns) == 0:
            raise ValueError("no call was timed")

    @property
    def calls(self) -> int:
        """How many were timed."""
        return len(self.ns)

    def percentile_us(self, percent: float) -> float:
        """The shortest time that so many percent of the calls did not exceed; a time that occurred.

        With fewer than 1,000 calls, the 99.9th percentile is the worst one.
        """
        return float(np.percentile(self.ns, percent, method="inverted_cdf")) / 1e3

    @property
    def p50_us(self) -> float:
        """The median."""
        return self.percentile_us(50)

    @property
    def p99_us(self) -> float:
        """One call in a hundred takes longer."""
        return self.percentile_us(99)

    @property
    def mean_us(self) -> float:
        """All time, divided by the calls."""
        return float(self.ns.mean()) / 1e3

    @property
    def worst_us(self) -> float:
        """The longest."""
        return float(self.ns.max()) / 1e3

    @property
    def jitter_us(self) -> float:
        """By how much a call differs from the one before, in the mean (RFC 3550, unsmoothed)."""
        return float(np.abs(np.diff(self.ns)).mean()) / 1e3 if self.calls > 1 else 0.0

    @property
    def drift(self) -> float:
        """The largest median of a fifth of the turns, divided by the smallest; 1 where steady."""
        if len(self.blocks) < 5:
            return 1.0
        starts = np.cumsum([0, *self.blocks])
        cuts = [int(starts[len(self.blocks) * part // 5]) for part in range(6)]
        medians = [float(np.median(self.ns[first:last])) for first, last in pairwise(cuts)]
        return max(medians) / min(medians)

    def to_dict(self) -> dict[str, Any]:
        """The numbers, in µs per call."""
        names = ("p50", "p90", "p99", "p99_9")
        percentiles = {
            f"{name}_us": self.percentile_us(percent)
            for name, percent in zip(names, PERCENTS, strict=True)
        }
        return {
            "calls": self.calls,
            **percentiles,
            "mean_us": self.mean_us,
            "worst_us": self.worst_us,
            "jitter_us": self.jitter_us,
        }


def joined(blocks: Sequence[Sequence[int]]) -> Timings:
    """One runner's turns, in order."""
    lengths = tuple(len(block) for block in blocks)
    return Timings(np.array([ns for block in blocks for ns in block], np.int64), lengths)
