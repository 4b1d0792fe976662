"""What a verification found, for people, for JSON, and for the contract."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rnnedge.parity.explanation import Explanation


@dataclass(frozen=True)
class TensorError:
    """How far one output or state is from the module in float64, over all runs.

    Attributes:
        name: of the output or state.
        max_abs: the largest absolute error.
        torch_max_abs: the largest absolute error of the module itself in float32, same runs.
        allowed_abs: the largest absolute error that passes.
        max_ulp: the largest error in units in the last place of the tensor's largest value.
        worst: where the error is largest: the check, the batch size, and the index along each
            axis by name.
    """

    name: str
    max_abs: float
    torch_max_abs: float
    allowed_abs: float
    max_ulp: float
    worst: Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One question and its answer."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class ParityReport:
    """The evidence that a file and a module are the same function, or that they are not.

    Attributes:
        checks: every question that was asked.
        tensors: the errors of each output and state.
        provider: the execution provider that ran the file.
        allowed_ratio: how many times PyTorch's own float32 error is allowed, or what counts as
            that at the least: a few units in the last place.
        settings: seed, batch sizes, frames: what is needed to ask again.
        explanation: where the two part, if that was asked.
    """

    checks: tuple[Check, ...]
    tensors: tuple[TensorError, ...]
    provider: str
    allowed_ratio: float
    settings: Mapping[str, Any]
    explanation: Explanation | None = None

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """For JSON and for the contract."""
        told = None if self.explanation is None else self.explanation.to_dict()
        return {
            "passed": self.passed,
            "provider": self.provider,
            "allowed_ratio": self.allowed_ratio,
            "checks": [asdict(check) for check in self.checks],
            "tensors": [
                {key: _finite(value) for key, value in asdict(tensor).items()}
                for tensor in self.tensors
            ],
            "settings": dict(self.settings),
            **({} if told is None else {"explanation": told}),
        }

    def __str__(self) -> str:
        lines = [
            f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}"
            for check in self.checks
        ]
        lines += [] if self.explanation is None else self.explanation.lines()
        return "\n".join(lines)


def _finite(value: Any) -> Any:
    """JSON has no infinity; text says it instead."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
