"""Lane: the buffers in which one thread runs rows of a batch, and the bindings on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from rnnedge_runtime.arrays import Array, Sizes, refused, shape_of
from rnnedge_runtime.batch.table import ByRow, SlotTable
from rnnedge_runtime.bindings import Run, bound_run
from rnnedge_runtime.contract import BATCH, Contract, Port, State
from rnnedge_runtime.providers import Memory

_KEPT_BINDINGS = 1024
"""A run more than these is bound anew; one binding takes some tens of microseconds."""


def bucket_sizes(rows: int) -> tuple[int, ...]:
    """Batch sizes of runs: 1, 2, 3, 4, 6, 8, 12, 16, 24 … up to `rows`.

    At most a third of a run is empty, and few sizes have to be warmed up.
    """
    sizes = {rows}
    size = 1
    while size < rows:
        sizes |= {size, min(size * 3 // 2, rows)}
        size *= 2
    return tuple(sorted(sizes))


class Lane:
    """Runs rows of a batch, one run at a time.

    Attributes:
        sizes: the batch sizes of its runs, in ascending order.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        contract: Contract,
        table: SlotTable,
        rows: int,
        *,
        memory: Memory,
    ) -> None:
        self._session = session
        self._contract = contract
        self._table = table
        self._memory = memory
        self.sizes = bucket_sizes(rows)
        self._space: dict[str, Array] = {}
        self._runs: dict[tuple[Any, ...], BoundRows] = {}

    def bucket(self, rows: int) -> int:
        """The size of the run that takes `rows` rows."""
        return next(size for size in self.sizes if size >= rows)

    def run(self, rows: int, sizes: Sizes) -> BoundRows:
        """The run that takes so many rows, with states gathered from the table.

        Args:
            rows: how many.
            sizes: what the other symbols stand for.
        """
        size = self.bucket(rows)
        key = (size, *sorted(sizes.items()))
        if key not in self._runs:
            full = sizes | {BATCH: size}
            states = [self._tensor(f"{s.name} in", s, full) for s in self._contract.states]
            after = [self._tensor(f"{s.name} out", s, full) for s in self._contract.states]
            self._keep(key, full, states, after)
        return self._runs[key]

    def bank_run(self, bank: int, rows: int, sizes: Sizes) -> BoundRows:
        """The run of a whole bank of `rows` slots, on the table itself."""
        key = ("bank", bank, self._table.turn_of(bank), *sorted(sizes.items()))
        if key not in self._runs:
            full = sizes | {BATCH: rows}
            self._keep(key, full, self._table.bank(bank, 0), self._table.bank(bank, 1))
        return self._runs[key]

    def _keep(
        self, key: tuple[Any, ...], sizes: Sizes, states: list[Array], after: list[Array]
    ) -> None:
        if len(self._runs) == _KEPT_BINDINGS:
            del self._runs[next(iter(self._runs))]
        inputs = [self._tensor(f"{port.name} in", port, sizes) for port in self._contract.inputs]
        outputs = [self._tensor(f"{port.name} out", port, sizes) for port in self._contract.outputs]
        sources = {p.name: a for p, a in zip(self._contract.inputs, inputs, strict=True)}
        targets = {p.name: a for p, a in zip(self._contract.outputs, outputs, strict=True)}
        for state, before, new in zip(self._contract.states, states, after, strict=True):
            sources[state.input], targets[state.output] = before, new
        run = bound_run(self._session, sources, targets, memory=self._memory)
        self._runs[key] = BoundRows(run, self._contract, inputs, outputs, states, after)

    def _tensor(self, name: str, tensor: Port | State, sizes: Sizes) -> Array:
        """A tensor at the start of the space kept under its name; grows with the largest.

        A binding keeps its own memory alive, so that one made before a growth stays right.
        """
        shape = shape_of(tensor, sizes)
        count = math.prod(shape)
        if name not in self._space or self._space[name].size < count:
            self._space[name] = np.zeros(count, tensor.dtype)
        return self._space[name][:count].reshape(shape)


class BoundRows:
    """One binding; all that it reads and writes is seen by row, ``[batch, ...]``.

    Attributes:
        inputs: staging arrays, in the contract's order.
        outputs: overwritten by every run, in the contract's order.
        states: what it reads.
        after: what it writes.
    """

    def __init__(
        self,
        run: Run,
        contract: Contract,
        inputs: list[Array],
        outputs: list[Array],
        states: list[Array],
        after: list[Array],
    ) -> None:
        self._run = run
        self.inputs = _by_row(contract.inputs, inputs)
        self.outputs = _by_row(contract.outputs, outputs)
        self.states = _by_row(contract.states, states)
        self.after = _by_row(contract.states, after)

    def __call__(self) -> None:
        """Runs.

        Raises:
            InputError: onnxruntime refused it. What it reads is as it was.
        """
        try:
            self._run()
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise refused(error, "Batch") from error


def _by_row(tensors: Sequence[Port | State], arrays: Sequence[Array]) -> list[Array]:
    return [ByRow(tensor)(array) for tensor, array in zip(tensors, arrays, strict=True)]
