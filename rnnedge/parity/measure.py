"""Errors against float64, in units of what PyTorch's own float32 arithmetic costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnedge.parity.report import TensorError
from rnnedge_runtime.contract import Dim

Array = npt.NDArray[Any]

ALLOWED_RATIO = 4.0
"""onnxruntime's recurrent kernels stay within 1.7 times PyTorch's own error; see docs/parity.md."""


@dataclass(frozen=True)
class Reference:
    """One tensor as the module computes it.

    Attributes:
        exact: in float64.
        single: in float32, the module's own arithmetic.
    """

    exact: Array
    single: Array

    @property
    def own_error(self) -> float:
        """PyTorch's largest float32 error, and at least one ulp of the largest value.

        Without that floor a tensor that PyTorch happens to round right would allow no error.
        """
        if self.exact.size == 0:
            return 0.0
        if self.exact.dtype.kind != "f":
            return 0.0
        return max(float(np.abs(self.single - self.exact).max()), _ulp(self.exact))


@dataclass
class Ledger:
    """Collects the errors of one tensor over many runs."""

    name: str
    axes: Sequence[Dim]
    max_abs: float = 0.0
    torch_max_abs: float = 0.0
    max_ulp: float = 0.0
    ratio: float = 0.0
    worst: dict[str, Any] = field(default_factory=dict)

    def add(self, got: Array, reference: Reference, run: str) -> float:
        """Compares `got` with the reference and returns the error's ratio.

        A shape that differs, or a value that is not finite, is an infinite error.
        """
        if got.shape != reference.exact.shape:
            self._record(np.inf, run, {"shape": f"{got.shape}, expected {reference.exact.shape}"})
            return self.ratio
        if got.size == 0:
            return 0.0
        error = np.abs(got.astype(np.float64) - reference.exact.astype(np.float64))
        error[~np.isfinite(error)] = np.inf
        place = np.unravel_index(int(error.argmax()), error.shape)
        largest = float(error[place])
        self.max_abs = max(self.max_abs, largest)
        self.torch_max_abs = max(self.torch_max_abs, reference.own_error)
        if reference.exact.dtype.kind == "f":
            self.max_ulp = max(self.max_ulp, largest / _ulp(reference.exact))
        allowed = reference.own_error
        ratio = largest / allowed if allowed else 0.0 if largest == 0 else np.inf
        self._record(ratio, run, {self._axis(i): int(p) for i, p in enumerate(place)})
        return float(ratio)

    def _record(self, ratio: float, run: str, place: dict[str, Any]) -> None:
        if ratio > self.ratio or not self.worst:
            self.ratio = float(ratio)
            self.worst = {"run": run, **place}

    def _axis(self, index: int) -> str:
        dim = self.axes[index] if index < len(self.axes) else index
        return dim if isinstance(dim, str) else f"axis {index}"

    def result(self) -> TensorError:
        """What was found."""
        return TensorError(
            self.name, self.max_abs, self.torch_max_abs, self.max_ulp, self.ratio, self.worst
        )


def _ulp(exact: Array) -> float:
    """The unit in the last place of the largest value, in float32.

    Not of each value: next to zero, where values cancel, that unit says nothing of the arithmetic.
    """
    return float(np.spacing(np.float32(np.abs(exact).max())))
