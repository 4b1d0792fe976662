"""What a model may cost, and whether it keeps to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rnnedge.benchmark.pace import Paced
from rnnedge.benchmark.timings import Timings

_QUANTITIES = {"max_p99_ms": ("p99", " ms"), "max_rtf": ("real-time factor", "")}


@dataclass(frozen=True)
class Budget:
    """One number that may not be exceeded.

    Attributes:
        name: the option that set it, without dashes: ``max_p99_ms``.
        allowed: what it set.
        measured: the same quantity.
        of: which calls it was measured on.
    """

    name: str
    allowed: float
    measured: float
    of: str

    @property
    def passed(self) -> bool:
        """Whether it was kept; what is exactly allowed is."""
        return self.measured <= self.allowed

    def __str__(self) -> str:
        what, unit = _QUANTITIES[self.name]
        text = f"{what} {self.measured:.4g}{unit} of {self.of}, allowed {self.allowed:.4g}{unit}"
        return text if self.passed else f"{text}: {self.measured / self.allowed:.3g} times as much"

    def to_dict(self) -> dict[str, Any]:
        """Every field, and the verdict."""
        return asdict(self) | {"passed": self.passed}


def judge(
    timings: Timings,
    paced: Paced | None,
    *,
    signal_us: float | None,
    max_p99_ms: float | None,
    max_rtf: float | None,
) -> tuple[Budget, ...]:
    """Compares what was measured with what is allowed; the slower of both kinds of calls counts.

    Args:
        timings: of calls back to back.
        paced: calls at the signal's cadence, if there is one.
        signal_us: how much signal one call takes; needed for `max_rtf`.
        max_p99_ms: allowed 99th percentile of calls.
        max_rtf: allowed real-time factor, of the median call.
    """
    kinds = {"calls back to back": timings}
    if paced is not None:
        kinds["paced calls"] = paced.timings
    budgets = []
    if max_p99_ms is not None:
        of = max(kinds, key=lambda kind: kinds[kind].p99_us)
        budgets.append(Budget("max_p99_ms", max_p99_ms, kinds[of].p99_us / 1e3, of))
    if max_rtf is not None and signal_us is not None:
        of = max(kinds, key=lambda kind: kinds[kind].p50_us)
        budgets.append(Budget("max_rtf", max_rtf, kinds[of].p50_us / signal_us, of))
    return tuple(budgets)
