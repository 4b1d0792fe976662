"""What the numbers mean, in words.

1. A call is divided in three: reading the weights once; its own cost beside that, which is the
   same however many frames it takes; and arithmetic, the rest. The largest part names it:
   memory-bound, overhead-bound, compute-bound. The sweep over chunks tells the call's own cost: the
   time of c frames is taken as ``fixed + c * each`` through the shortest and the longest chunk.
2. Without a sweep, only a call of which reading takes half or more is named.
3. Noisy machine: medians of the run's fifths differ by more than a quarter, or one call in ten
   takes half as long again as the median.
4. Paced calls that take a quarter longer than those back to back are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rnnedge.benchmark.pace import Paced
from rnnedge.benchmark.roofline import Limit
from rnnedge.benchmark.sweeps import Point
from rnnedge.benchmark.timings import Timings

_MEMORY_SHARE = 0.5
_DRIFT = 1.25
_SPREAD = 1.5
_SLOWER = 1.25
_FEWER = "Fewer bytes help (int8 weights, a smaller layer), or streams that share a read in a batch"
_LARGER = "Fewer and larger operators help"
_SMALLER = "A smaller network helps"


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
    reading = 0.0 if limit is None else min(limit.limit_us / timings.p50_us, 1)
    fixed = fixed_share(chunks)
    if fixed is None:
        if reading < _MEMORY_SHARE:
            return None
        return Finding("memory-bound", f"reading the weights is {reading:.0%} of a call. {_FEWER}")
    own = max(fixed - reading, 0)
    parts = {"memory-bound": reading, "overhead-bound": own, "compute-bound": 1 - reading - own}
    kind = max(parts, key=lambda name: parts[name])
    advice = {"memory-bound": _FEWER, "overhead-bound": _LARGER, "compute-bound": _SMALLER}[kind]
    return Finding(
        kind,
        f"reading the weights is {reading:.0%} of a call, what frames do not change {own:.0%}, "
        f"arithmetic {parts['compute-bound']:.0%}. {advice}{_cheaper(chunks)}",
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
        f"; so do {best.frames} frames per call, {best.us_per_frame:.3g} µs each instead of "
        f"{first.us_per_frame:.3g}, at the price of "
        f"{best.frames - first.frames} frames of latency"
    )


def _noise(timings: Timings, control: Timings | None) -> Finding | None:
    signs = _signs(timings)
    if not signs:
        return None
    other = ""
    if control is not None:
        steady = "swayed, too" if _signs(control) else "was steady"
        other = f". A matrix product of fixed size, by turns with it, {steady}"
    return Finding(
        "noisy-machine",
        f"{' and '.join(signs)}{other}. Compare medians of one run only; run again when it is idle",
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
