"""Errors against float64, in units of what PyTorch's own float32 arithmetic costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnedge.parity.options import ALLOWED_RATIO
from rnnedge.parity.places import Farthest, axis_name, channel_of
from rnnedge.parity.report import Beyond, TensorError
from rnnedge_runtime.contract import Dim

Array = npt.NDArray[Any]

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

    def take(self, indices: Sequence[int], axis: int) -> Reference:
        """The same part of both."""
        return Reference(self.exact.take(indices, axis), self.single.take(indices, axis))


@dataclass(frozen=True)
class Truth:
    """What the module gives for one whole sequence."""

    outputs: dict[str, Reference]
    states: dict[str, Reference]


@dataclass
class Ledger:
    """Collects the errors of one tensor over many runs, channel by channel.

    A channel is an index along the axes that are neither batch nor time, so that a small one is
    not hidden by a large one beside it. The yardstick of a channel is PyTorch's largest error in it
    over all runs together: the largest of the few values of one short run is too much a matter of
    luck to be four times of.

    Attributes:
        name: of the output or state.
        axes: its shape; batch and time by name.
        ratio: how many times PyTorch's own error is allowed.
        own: PyTorch's own error by channel; what is known of it before, if anything.
        is_state: it is compared at the end of each run only.
        runs: how many comparisons it took part in.
    """

    name: str
    axes: Sequence[Dim]
    ratio: float = ALLOWED_RATIO
    own: Array = field(default_factory=lambda: np.zeros(()))
    is_state: bool = False
    runs: int = 0
    _largest: Array = field(default_factory=lambda: np.zeros(()))
    _by_check: dict[str, Array] = field(default_factory=dict)
    _farthest: dict[str, Farthest] = field(default_factory=dict)
    _failures: dict[str, str] = field(default_factory=dict)
    _worst: dict[str, Any] = field(default_factory=dict)
    _max_abs: float = -1.0

    def add(
        self,
        got: Array,
        reference: Reference,
        check: str,
        batch: int,
        offset: Mapping[int, int] | None = None,
    ) -> None:
        """Notes how far `got` is from the reference.

        A shape that differs is a failure. So is a reference that is not finite: nothing can be
        compared with it.

        Args:
            got: of the file.
            reference: of the module.
            check: what was asked.
            batch: rows of the run.
            offset: by axis, where `got` begins in the whole tensor.
        """
        self.runs += 1
        exact = reference.exact
        if got.shape != exact.shape:
            self._failures[check] = f"shape {list(got.shape)}, expected {list(exact.shape)}"
            return
        if got.size == 0:
            return
        if not (np.isfinite(exact).all() and np.isfinite(reference.single).all()):
            self._failures[check] = "PyTorch itself gives NaN or infinity for this input"
            return
        error = np.abs(got.astype(np.float64) - exact.astype(np.float64))
        error[~np.isfinite(error)] = np.inf
        if exact.dtype.kind == "f":
            self.own = np.maximum(self.own, self._by_channel(np.abs(reference.single - exact)))
            self._largest = np.maximum(self._largest, self._by_channel(np.abs(exact)))
        before = self._by_check.get(check, np.zeros(()))
        self._by_check[check] = np.maximum(before, self._by_channel(error))
        self._note_worst(error, check, batch, offset or {})
        self._note_farthest(error, check, batch, offset or {})

    def error(self, check: str) -> tuple[float, float, float]:
        """Of the channel that comes closest to its limit: the error, PyTorch's own, the limit."""
        errors = self._by_check.get(check, np.zeros(()))
        errors, allowed, own = np.broadcast_arrays(errors, self._allowed(), self.own)
        used = _shares(errors, allowed)
        place = np.unravel_index(int(used.argmax()), used.shape)
        return float(errors[place]), float(own[place]), float(allowed[place])

    def beyond(self, check: str) -> Beyond | None:
        """Where the error is beyond what is allowed; None where it is not."""
        error, own, allowed = self.error(check)
        farthest = self._farthest.get(check)
        if error <= allowed or farthest is None:
            return None
        limit = np.broadcast_to(self._allowed(), self._by_check[check].shape)
        return Beyond(
            tensor=self.name,
            error=error,
            torch_error=own,
            allowed=allowed,
            batch_size=farthest.batch,
            first=farthest.first(float(limit[farthest.channel]), self.axes),
            largest=farthest.largest(self.axes),
        )

    def failure(self, check: str) -> str | None:
        """What made a comparison impossible, if anything did."""
        return self._failures.get(check)

    def result(self) -> TensorError:
        """What was found over all checks."""
        largest = float(self._largest.max())
        ulp = float(np.spacing(np.float32(largest))) if largest else 0.0
        max_abs = max(self._max_abs, 0.0)
        return TensorError(
            name=self.name,
            max_abs=max_abs,
            torch_max_abs=float(self.own.max()),
            allowed_abs=float(self._allowed().max()),
            max_ulp=max_abs / ulp if ulp else 0.0,
            worst=self._worst,
        )

    def _allowed(self) -> Array:
        """The largest error that passes, by channel; zero for integers.

        A channel inherits the errors of the values that it is made from, and in a recurrent
        network these go up to one. So its scale counts as one at least, if its neighbours' is, and
        PyTorch's own error in them counts in proportion.

        A state is compared at the ends of runs alone, so a channel of it has a few values in all,
        and PyTorch's error in it is much a matter of luck. There a channel is allowed the error, in
        parts of its scale, of any channel that is as large or larger: a cell that has counted up to
        300 tells of its neighbours, and not the other way round.
        """
        largest = float(self._largest.max())
        if not largest:
            return np.zeros_like(self.own)
        scale = np.maximum(self._largest, min(largest, 1.0))
        if self.is_state:
            shared = _of_larger(self.own / scale, scale) * scale
        else:
            shared = float(self.own.max()) * scale / largest
        floor = FLOOR_ULP * np.spacing(scale.astype(np.float32))
        return np.asarray(self.ratio * np.maximum(np.maximum(self.own, shared), floor))

    def _by_channel(self, values: Array) -> Array:
        """The largest value over batch and time, for each index along the other axes."""
        folded = tuple(axis for axis, dim in enumerate(self.axes) if isinstance(dim, str))
        return np.asarray(values.max(axis=folded))

    def _note_worst(self, error: Array, check: str, batch: int, offset: Mapping[int, int]) -> None:
        place = np.unravel_index(int(error.argmax()), error.shape)
        if error[place] <= self._max_abs:
            return
        self._max_abs = float(error[place])
        indices = {
            axis_name(self.axes, axis): int(index) + offset.get(axis, 0)
            for axis, index in enumerate(place)
        }
        self._worst = {"check": check, "batch_size": batch, **indices}

    def _note_farthest(
        self, error: Array, check: str, batch: int, offset: Mapping[int, int]
    ) -> None:
        """Keeps the channel that used most of what is allowed so far, to tell where."""
        errors = self._by_channel(error)
        used = _shares(errors, np.broadcast_to(self._allowed(), errors.shape))
        channel = tuple(map(int, np.unravel_index(int(used.argmax()), used.shape)))
        before = self._farthest.get(check)
        if before is None or used[channel] > before.used:
            errors = channel_of(error, self.axes, channel)
            self._farthest[check] = Farthest(float(used[channel]), channel, errors, batch, offset)


def _of_larger(values: Array, scale: Array) -> Array:
    """For each channel, the largest value of any whose scale is not smaller."""
    values, scale = np.broadcast_arrays(values, scale)
    order = np.argsort(-scale, axis=None, kind="stable")
    falling = scale.reshape(-1)[order]
    # Channels of one scale count for each other: each takes what stands at the last of them.
    last = np.searchsorted(-falling, -falling, side="right") - 1
    found = np.empty(scale.size)
    found[order] = np.maximum.accumulate(values.reshape(-1)[order])[last]
    return found.reshape(scale.shape)


def _shares(errors: Array, allowed: Array) -> Array:
    """Which share of what is allowed each error is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(errors > 0, errors / allowed, 0.0)
