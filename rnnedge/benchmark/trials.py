"""Runs what is to be compared by turns, so that a busy machine disturbs all alike.

* Each runner is warmed up first, and its usual time is measured.
* Then the runners take turns of a few milliseconds, each round beginning with another one. A turn
  is many calls, as a runner that is alone on its machine has its weights in the cache; the first
  calls of a turn, which find the neighbour's there, are not counted.
* Every call is timed by itself. Python's garbage collector is off meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rnnedge.benchmark.timings import Timings, joined

TURN_NS = 4_000_000
_MOST_PER_TURN = 500
_WARM_NS = 30_000_000
_MOST_WARM_NS = 1_000_000_000
_FEWEST_ROUNDS = 3

Step = Callable[[], object]


@dataclass(frozen=True)
class _Turn:
    """How many calls a turn has, and how many of the first are not counted."""

    calls: int
    dropped: int


def take_turns(
    steps: Mapping[str, Step], *, seconds: float, most_calls: int | None = None
) -> dict[str, Timings]:
    """Times the steps by turns.

    Args:
        steps: by name; each call is one step.
        seconds: about how long all of it may take, warm-up not included. Three rounds are run
            however long they take.
        most_calls: how many calls of each are timed at most; None for as many as there is time for.

    Returns:
        Times by name, in the order of `steps`.
    """
    with no_collection():
        turns = {name: _turn_of(warm_up(step)) for name, step in steps.items()}
        blocks: dict[str, list[list[int]]] = {name: [] for name in steps}
        names, counts, rounds = list(steps), dict.fromkeys(steps, 0), 0
        end = time.perf_counter() + seconds
        while rounds < _FEWEST_ROUNDS or time.perf_counter() < end:
            for name in names[rounds % len(names) :] + names[: rounds % len(names)]:
                turn, wanted = turns[name], turns[name].calls
                if most_calls is not None:
                    wanted = min(wanted, most_calls - counts[name])
                if wanted > 0:
                    times = _time(steps[name], wanted + turn.dropped)[turn.dropped :]
                    blocks[name].append(times)
                    counts[name] += len(times)
            rounds += 1
            if most_calls is not None and min(counts.values()) >= most_calls:
                break
    return {name: joined(times) for name, times in blocks.items()}


def warm_up(step: Step) -> float:
    """Calls a step until it is warm.

    Returns:
        Its usual time in nanoseconds: the median of the second half of the calls.
    """
    times: list[int] = []
    begin = time.perf_counter_ns()
    while True:
        times += _time(step, 1)
        passed = time.perf_counter_ns() - begin
        if passed > _MOST_WARM_NS or (passed > _WARM_NS and len(times) >= 10):
            late = sorted(times[len(times) // 2 :])
            return float(late[len(late) // 2])


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Keeps Python's garbage collector from running in the middle of a call."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _turn_of(usual_ns: float) -> _Turn:
    calls = int(min(max(TURN_NS / max(usual_ns, 1), 1), _MOST_PER_TURN))
    return _Turn(calls, 2 if calls >= 10 else 0)


def _time(step: Step, calls: int) -> list[int]:
    clock, times = time.perf_counter_ns, [0] * calls
    for index in range(calls):
        begin = clock()
        step()
        times[index] = clock() - begin
    return times
