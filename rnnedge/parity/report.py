"""What a verification found, for people, for JSON, and for the contract."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rnnedge.parity.explanation import Explanation
from rnnedge.parity.options import ALLOWED_RATIO
from rnnedge_runtime.providers import about, missing_precision


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
class Beyond:
    """Where an output or state is farther from the module than it may be.

    Attributes:
        tensor: its name.
        error: the largest absolute error of the channel that is farthest beyond its limit.
        torch_error: the module's own in float32 there.
        allowed: the limit there.
        batch_size: rows of the run.
        first: the earliest place beyond the limit: the index along each axis by name, counted from
            the signal's start; None where only all runs together show it.
        largest: the place of the largest error.
    """

    tensor: str
    error: float
    torch_error: float
    allowed: float
    batch_size: int
    first: Mapping[str, int] | None
    largest: Mapping[str, int]

    def lines(self) -> list[str]:
        """For a person: how far, and where."""
        far = f"{self.tensor}: error {self.error:.1e}, allowed {self.allowed:.1e}"
        return [f"{far} (PyTorch's own {self.torch_error:.1e})", self.where()]

    def where(self) -> str:
        """For a person: the first place and that of the largest error."""
        first = [] if self.first is None else [f"first at {self._told(self.first)}"]
        return "; ".join([*first, f"largest at {self._told(self.largest)}"])

    def _told(self, place: Mapping[str, int]) -> str:
        words = {"batch": "row {} of " + str(self.batch_size), "time": "frame {}"}
        return ", ".join(words.get(axis, axis + " = {}").format(i) for axis, i in place.items())


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        name: the question.
        passed: whether the answer is yes.
        detail: the answer for a person.
        beyond: every output and state that is farther off than it may be, the farthest first.
    """

    name: str
    passed: bool
    detail: str
    beyond: tuple[Beyond, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON; without `beyond` where there is nothing."""
        data: dict[str, Any] = {"name": self.name, "passed": self.passed, "detail": self.detail}
        if self.beyond:
            data["beyond"] = [
                {key: _finite(value) for key, value in asdict(place).items()}
                for place in self.beyond
            ]
        return data


@dataclass(frozen=True)
class ParityReport:
    """The evidence that a file and a module are the same function, or that they are not.

    Attributes:
        checks: every question that was asked.
        tensors: the errors of each output and state.
        provider: the execution provider that ran the file.
        provider_options: what it was given, defaults included.
        assignment: how many nodes of each operator each provider ran, as onnxruntime recorded it:
            ``{"CPUExecutionProvider": {"GRU": 1}}``.
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
    provider_options: Mapping[str, str] = field(default_factory=dict)
    assignment: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def yardstick(self) -> str | None:
        """What is to be said of the allowed error, where it is not the verifier's own."""
        if self.allowed_ratio == ALLOWED_RATIO:
            return None
        return (
            f"allowed are {self.allowed_ratio:g} times PyTorch's own float32 error, as the caller "
            f"chose; the verifier's own yardstick is {ALLOWED_RATIO:g}"
        )

    @property
    def missing_precision(self) -> dict[str, str]:
        """The options that would make the provider compute in float32, if it failed without."""
        return {} if self.passed else missing_precision(self.provider, self.provider_options)

    @property
    def precision(self) -> str:
        """In what the provider computes a float32 model, unless it is told otherwise."""
        precision = about(self.provider).precision
        return f"{self.provider} computes in {precision}, unless told otherwise"

    @property
    def elsewhere(self) -> str | None:
        """Which nodes another provider ran; None if there are none."""
        others = [
            f"{', '.join(operators)} on {provider}"
            for provider, operators in self.assignment.items()
            if provider != self.provider
        ]
        return f"some nodes ran elsewhere: {'; '.join(others)}" if others else None

    @property
    def circumstances(self) -> list[str]:
        """For a person: with what it was asked, and by which yardstick if it is another."""
        settings = self.settings
        batches = ", ".join(map(str, settings["batches"]))
        lines = [
            f"each for batches of {batches} and {settings['frames']} frames, seed "
            f"{settings['seed']}, on {self.provider}"
        ]
        lines += [] if self.elsewhere is None else [self.elsewhere]
        if golden := settings.get("golden"):
            made = ", ".join(f"{name} {version}" for name, version in golden["versions"].items())
            lines.append(f"against {golden['path']}, made with {made}")
        return lines if self.yardstick is None else [*lines, self.yardstick]

    def to_dict(self) -> dict[str, Any]:
        """For JSON and for the contract."""
        told = None if self.explanation is None else self.explanation.to_dict()
        return {
            "passed": self.passed,
            "provider": self.provider,
            "provider_options": dict(self.provider_options),
            "assignment": {key: dict(value) for key, value in self.assignment.items()},
            "allowed_ratio": self.allowed_ratio,
            "checks": [check.to_dict() for check in self.checks],
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
        lines += [] if self.yardstick is None else [self.yardstick]
        if missing := self.missing_precision:
            lines.append(f"{self.precision}; float32: provider_options={missing}")
        lines += [] if self.explanation is None else self.explanation.lines()
        return "\n".join(lines)


def _finite(value: Any) -> Any:
    """JSON has no infinity; text says it instead."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
