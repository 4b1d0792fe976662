"""What became of another runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rnnedge.benchmark.timings import Timings

Status = Literal["timed", "not installed", "cannot run it", "computes something else"]


@dataclass(frozen=True)
class Outcome:
    """One runtime.

    Attributes:
        name: of the runtime.
        version: of its package; None where it is not installed.
        status: ``timed``, or why not.
        detail: how far it is from ours, how to install it, or what it said.
        timings: of its calls, by turns with ours.
    """

    name: str
    version: str | None
    status: Status
    detail: str
    timings: Timings | None = None

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        timings = None if self.timings is None else self.timings.to_dict()
        return {
            "name": self.name,
            "version": self.version,
            "status": self.status,
            "detail": self.detail,
            "timings": timings,
        }
