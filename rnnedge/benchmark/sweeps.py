"""How the cost goes with the frames of a call, and with the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnedge.benchmark.timings import Timings
from rnnedge.benchmark.trials import Step, take_turns
from rnnedge_runtime.contract import Contract

_BATCHES = (1, 2, 4, 8, 16, 32)
_SHARE = 0.1
"""A point whose one call would take a larger share of the time than that is left out."""


@dataclass(frozen=True)
class Point:
    """One size.

    Attributes:
        frames: input frames of a call.
        batch: rows of a call.
        timings: of its calls.
    """

    frames: int
    batch: int
    timings: Timings

    @property
    def us_per_frame(self) -> float:
        """Median time per frame of one row."""
        return self.timings.p50_us / (self.frames * self.batch)

    def to_dict(self) -> dict[str, Any]:
        """The numbers."""
        return {
            "frames": self.frames,
            "batch": self.batch,
            **self.timings.to_dict(),
            "us_per_frame": self.us_per_frame,
        }


def chunk_sizes(contract: Contract, frames: int) -> tuple[int, ...]:
    """Frames per call from a quarter of `frames` to 16 times as many, those that make whole runs.

    A model that takes so many frames per run at most is not asked for more: a longer push would be
    several runs.
    """
    most = contract.chunk_most
    sizes = [frames // 4, frames // 2, *(frames * 2**power for power in range(5))]
    return tuple(
        size
        for size in dict.fromkeys(sizes)
        if size and size % contract.chunk_multiple == 0 and (most is None or size <= most)
    )


def batch_sizes(contract: Contract) -> tuple[int, ...]:
    """Batches to try; one alone where the model has no batch."""
    has_batch = any(port.batch_axis is not None for port in contract.inputs)
    return _BATCHES if has_batch else (1,)


def sweep(
    sizes: Sequence[tuple[int, int]],
    make: Callable[[int, int], Step],
    *,
    usual_us: Callable[[int, int], float],
    seconds: float,
    most_calls: int | None,
) -> tuple[Point, ...]:
    """Times calls of several sizes by turns.

    Args:
        sizes: frames and batch of each.
        make: a step of so many frames and rows.
        usual_us: about how long one call will take; what would take too long is left out.
        seconds: for all of it.
        most_calls: of each size.
    """
    steps: Mapping[str, Step] = {
        f"{frames} x {batch}": make(frames, batch)
        for frames, batch in sizes
        if usual_us(frames, batch) <= _SHARE * seconds * 1e6
    }
    if not steps:
        return ()
    timings = take_turns(steps, seconds=seconds, most_calls=most_calls)
    return tuple(
        Point(frames, batch, timings[name])
        for frames, batch in sizes
        if (name := f"{frames} x {batch}") in timings
    )
