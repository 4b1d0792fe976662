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
"""How many times PyTorch's own float32 error is allowed.

onnxruntime's error is 0.7 to 1.9 times PyTorch's own for layers of 6 to 512 units."""
FLOOR_ULP = 4.0
"""What counts as PyTorch's own error at least, in units in the last place.

onnxruntime's tanh is off by up to 4.8 of them where PyTorch's is off by 0.5, which shows in states
of small value behind several layers. `tests/rnnedge/test_parity_floor.py` measures it."""


@dataclass(frozen=True)
class Reference:
    """One tensor as the module computes it.

    Attributes:
        exact: in float64.
        single: in float32, the module's own arithmetic.
    """

    exact: Array
    single: Array


@dataclass
class Ledger:
    """Collects the errors of one tensor over many runs.

    The yardstick is PyTorch's largest error over all runs together: the largest of the few values
    of one short run is too much a matter of luck to be four times of.
    """

    name: str
    axes: Sequence[Dim]
    _own: float = 0.0
    _largest: float = 0.0
    _by_check: dict[str, float] = field(default_factory=dict)
    _worst: dict[str, Any] = field(default_factory=dict)

    def add(self, got: Array, reference: Reference, check: str, batch: int) -> None:
        """Notes how far `got` is from the reference.

        A shape that differs, or a value that is not finite, is an infinite error.
        """
        exact = reference.exact
        if got.shape != exact.shape:
            shapes = {"shape": list(got.shape), "expected_shape": list(exact.shape)}
            self._note(np.inf, check, shapes)
            return
        if got.size == 0:
            return
        if exact.dtype.kind == "f":
            scale = np.float32(np.abs(exact).max())
            self._largest = max(self._largest, float(scale))
            self._own = max(self._own, float(np.abs(reference.single - exact).max()))
        error = np.abs(got.astype(np.float64) - exact.astype(np.float64))
        error[~np.isfinite(error)] = np.inf
        place = np.unravel_index(int(error.argmax()), error.shape)
        indices = {self._axis(axis): int(index) for axis, index in enumerate(place)}
        self._note(float(error[place]), check, {"batch_size": batch, **indices})

    def error(self, check: str) -> float:
        """The largest absolute error of one check."""
        return self._by_check.get(check, 0.0)

    @property
    def own(self) -> float:
        """PyTorch's largest absolute error over all runs."""
        return self._own

    @property
    def allowed(self) -> float:
        """The largest absolute error that passes."""
        return ALLOWED_RATIO * max(self._own, FLOOR_ULP * self._ulp())

    def result(self) -> TensorError:
        """What was found over all checks."""
        largest = max(self._by_check.values(), default=0.0)
        return TensorError(
            name=self.name,
            max_abs=largest,
            torch_max_abs=self._own,
            allowed_abs=self.allowed,
            max_ulp=largest / self._ulp() if self._ulp() else 0.0,
            worst=self._worst,
        )

    def _note(self, error: float, check: str, place: dict[str, Any]) -> None:
        if error > max(self._by_check.values(), default=-1.0):
            self._worst = {"check": check, **place}
        self._by_check[check] = max(error, self._by_check.get(check, 0.0))

    def _ulp(self) -> float:
        """Of the tensor's largest value, in float32; zero for integers.

        Not of each value: next to zero, where values cancel, that unit says nothing of the
        arithmetic.
        """
        return float(np.spacing(np.float32(self._largest))) if self._largest else 0.0

    def _axis(self, index: int) -> str:
        dim = self.axes[index] if index < len(self.axes) else index
        return dim if isinstance(dim, str) else f"axis {index}"
