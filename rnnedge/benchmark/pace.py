"""Calls at the cadence of a live signal: wait until a frame is there, then compute it.

Between two calls the processor sleeps: it lowers its clock, and others use its caches. So a paced
call is slower than one of many back to back, and it is what a device has.

Deadlines are absolute: call k is due at ``start + k * period``, however late the calls before it
were. It misses its deadline when it is not done before call k + 1 is due.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnedge.benchmark.timings import Timings
from rnnedge.benchmark.trials import Step, no_collection
from rnnedge.parity.measure import Array

_FEWEST_CALLS = 3


@dataclass(frozen=True)
class Paced:
    """What calls at a cadence took.

    Attributes:
        timings: inside of the calls.
        late_ns: how long after it was due each call began: int64 ``[calls]``.
        period_ms: of the cadence.
        cpu_s: processor time of this process, all threads, waiting included.
    """

    timings: Timings
    late_ns: Array
    period_ms: float
    cpu_s: float

    @property
    def response_us(self) -> Array:
        """From when each call was due to when it was done: float64 ``[calls]``."""
        return (self.timings.ns + self.late_ns) / 1e3

    @property
    def misses(self) -> int:
        """Calls that were not done when the next one was due."""
        return int((self.response_us > self.period_ms * 1e3).sum())

    @property
    def worst_call(self) -> int:
        """Which call was done last after it was due, counted from 0."""
        return int(self.response_us.argmax())

    @property
    def cpu_ms_per_signal_s(self) -> float:
        """Processor time per second of signal."""
        return self.cpu_s * 1e6 / (self.timings.calls * self.period_ms)

    def to_dict(self) -> dict[str, Any]:
        """The numbers."""
        response = self.response_us
        return {
            **self.timings.to_dict(),
            "period_ms": self.period_ms,
            "late_p50_us": float(np.median(self.late_ns)) / 1e3,
            "late_worst_us": float(self.late_ns.max()) / 1e3,
            "response_worst_us": float(response.max()),
            "worst_call": self.worst_call,
            "deadline_misses": self.misses,
            "cpu_ms_per_signal_s": self.cpu_ms_per_signal_s,
        }


def pace(step: Step, *, period_ms: float, seconds: float, most_calls: int | None = None) -> Paced:
    """Calls `step` once per period.

    Args:
        step: one call.
        period_ms: how much signal one call takes.
        seconds: about how long it may take; three calls are made however long they take.
        most_calls: how many calls are made at most.
    """
    period_ns = period_ms * 1e6
    calls = max(int(seconds * 1e9 / period_ns), _FEWEST_CALLS)
    calls = calls if most_calls is None else min(calls, most_calls)
    clock, times, late = time.perf_counter_ns, [0] * calls, [0] * calls
    with no_collection():
        step()
        cpu = time.process_time()
        start = clock() + period_ns
        for index in range(calls):
            due = start + index * period_ns
            ahead = due - clock()
            if ahead > 0:
                time.sleep(ahead / 1e9)
            begin = clock()
            step()
            times[index] = clock() - begin
            late[index] = round(begin - due)
        cpu = time.process_time() - cpu
    return Paced(Timings(np.array(times, np.int64)), np.array(late, np.int64), period_ms, cpu)
