"""What the numbers mean, in words.

1. Memory-bound: reading the weights once takes at least half of a call.
2. Overhead-bound: otherwise, at least 60 % of a call is the same however many frames it takes. The
   sweep over chunks tells: the time of c frames is taken as ``fixed + c * each`` through the
   shortest and the longest chunk.
3. Compute-bound: neither.
4. Noisy machine: medians of the run's fifths differ by more than a quarter, or one call in ten
   takes half as long again as the median.
5. Paced calls that take a quarter longer than those back to back are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rnnedge.benchmark.pace import Paced
from rnnedge.benchmark.roofline import Limit
from rnnedge.benchmark.sweeps import Point
from rnnedge.benchmark.timings import Timings

_MEMORY_SHARE = 0.5
_FIXED_SHARE = 0.6
_DRIFT = 1.25
_SPREAD = 1.5
_SLOWER = 1.25


@dataclass(frozen=True)
class Finding:
    """One statement.

    Attributes:
        kind: ``memory-bound``, ``overhead-bound``, ``compute-bound``, ``noisy-machine`` or
            ``slower-when-paced``.
        text: what was seen, and what can be done.
    """

    kind: str
    text: str

    def to_dict(self) -> dict[str, str]:
        """Both fields."""
        return asdict(self)


def diagnose(
    timings: Timings,
    *,
    limit: Limit | None,
    chunks: Sequence[Point],
    paced: Paced | None,
    control: Timings | None,
) -> tuple[Finding, ...]:
    """Says what bounds a call, and what disturbed the measurement.

    Args:
        timings: of calls back to back.
        limit: of reading the weights; None for a model without any.
        chunks: the sweep over frames per call; may be empty.
        paced: calls at the signal's cadence, if there is one.
        control: what was timed by turns with the calls and always does the same work.
    """
    found = [_bound(timings, limit, chunks), _noise(timings, control), _pacing(timings, paced)]
    return tuple(finding for finding in found if finding is not None)


def fixed_share(chunks: Sequence[Point]) -> float | None:
    """The part of the shortest chunk's time that is no frame's; None where too few were tried."""
    if len(chunks) < 2:
        return None
    first, last = min(chunks, key=_frames), max(chunks, key=_frames)
    shortest_us = first.timings.p50_us
    each_us = (last.timings.p50_us - shortest_us) / (last.frames - first.frames)
    return min(max(1 - first.frames * each_us / shortest_us, 0), 1)


def _frames(point: Point) -> int:
    return point.frames


def _bound(timings: Timings, limit: Limit | None, chunks: Sequence[Point]) -> Finding | None:
    p50, reading_us = timings.p50_us, 0.0 if limit is None else limit.limit_us
    if reading_us >= _MEMORY_SHARE * p50:
        return Finding(
            "memory-bound",
            f"reading the weights once takes {reading_us:.3g} of {p50:.3g} µs. Fewer bytes help: "
            f"int8 weights, a smaller layer; or a read that is shared: by a batch of streams"
            f"{_cheaper(chunks)}",
        )
    fixed = fixed_share(chunks)
    if fixed is None:
        return None
    if fixed >= _FIXED_SHARE:
        return Finding(
            "overhead-bound",
            f"{fixed:.0%} of a call of {chunks[0].frames} frames is the same for more of them. "
            f"Fewer and larger operators help{_cheaper(chunks)}",
        )
    return Finding(
        "compute-bound",
        f"{fixed:.0%} of a call of {chunks[0].frames} frames is the call's own, and reading the "
        f"weights takes {reading_us / p50:.0%}: the rest is arithmetic. A smaller network helps",
    )


def _cheaper(chunks: Sequence[Point]) -> str:
    """What the best chunk gains over the shortest, and what it costs in latency."""
    if len(chunks) < 2:
        return ""
    first, best = chunks[0], min(chunks, key=lambda point: point.us_per_frame)
    gain = first.us_per_frame / best.us_per_frame
    if gain < 1.2:
        return ""
    return (
        f", or {best.frames} frames per call: {best.us_per_frame:.3g} µs per frame instead of "
        f"{first.us_per_frame:.3g}, {best.frames - first.frames} frames later"
    )


def _noise(timings: Timings, control: Timings | None) -> Finding | None:
    signs = _signs(timings)
    if not signs:
        return None
    ours = "" if control is None else "; the model alone: a product of fixed size was steady"
    if control is not None and _signs(control):
        ours = "; so it was with a product of fixed size, so it is the machine"
    return Finding(
        "noisy-machine",
        f"{' and '.join(signs)}{ours}. Compare medians of one run only, and run again when idle",
    )


def _signs(timings: Timings) -> list[str]:
    signs, spread = [], timings.percentile_us(90) / timings.p50_us
    if timings.drift > _DRIFT:
        signs.append(f"the median of a fifth of the run is {timings.drift:.2f} times another's")
    if spread > _SPREAD:
        signs.append(f"p90 is {spread:.2f} times the median")
    return signs


def _pacing(timings: Timings, paced: Paced | None) -> Finding | None:
    if paced is None or paced.timings.p50_us < _SLOWER * timings.p50_us:
        return None
    ratio = paced.timings.p50_us / timings.p50_us
    return Finding(
        "slower-when-paced",
        f"a paced call takes {ratio:.2f} times as long: between two calls the clock sinks and the "
        "caches cool. It is what a device has",
    )
