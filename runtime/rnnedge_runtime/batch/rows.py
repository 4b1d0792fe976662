"""RowRunner: some rows of a table moved on by one push, in as few runs as fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from rnnedge_runtime.arrays import Array, Sizes, shape_of
from rnnedge_runtime.batch.lane import Lane
from rnnedge_runtime.batch.table import Slots, SlotTable, by_row
from rnnedge_runtime.contract import BATCH, TIME
from rnnedge_runtime.dims import split_dim
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.providers import CPU

if TYPE_CHECKING:
    from rnnedge_runtime.model import Model

_FULL = 0.75
"""The share of a bank's slots from which on the whole bank is run, without copies of states."""

Places: TypeAlias = npt.NDArray[np.intp]
Undo: TypeAlias = Callable[[], None]


@dataclass(frozen=True)
class _Portion:
    """What one run takes: rows at `places` of the push, of one `bank` as a whole or of any."""

    places: Places
    bank: int | None = None


@dataclass(frozen=True)
class _Push:
    """Rows to move on: their slots, inputs and outputs by row, and the sizes without the batch."""

    slots: Slots
    inputs: Sequence[Array]
    outputs: Sequence[Array]
    sizes: Sizes


class RowRunner:
    """Runs on one table, by one thread or by as many as there are lanes."""

    def __init__(self, model: Model, table: SlotTable, slots: int, rows: int, workers: int) -> None:
        self._contract = model.contract
        self._table = table
        self._rows = rows
        self._bank_sizes = np.minimum(rows, slots - rows * np.arange(table.banks))
        self._by_bank = table.can_run_banks()
        self._lanes = [
            Lane(model.session, model.contract, table, rows, copies_at_bind=model.provider != CPU)
            for _ in range(workers)
        ]
        self._pool = ThreadPoolExecutor(workers, "rnnedge-batch") if workers > 1 else None

    def advance(self, slots: Slots, inputs: Sequence[Array], sizes: Sizes) -> list[Array]:
        """The outputs of some rows, whose states move on; all of them, or none.

        Args:
            slots: of the rows, each at most once.
            inputs: by row, in the contract's order; row i is for ``slots[i]``.
            sizes: what the symbols stand for, batch aside.

        Returns:
            The outputs in the contract's order, of ``len(slots)`` rows each.

        Raises:
            InputError: onnxruntime refused a run. No state has changed.
        """
        full = sizes | {BATCH: len(slots)}
        outputs = [np.empty(shape_of(p, full), p.dtype) for p in self._contract.outputs]
        push = _Push(slots, inputs, list(map(by_row, self._contract.outputs, outputs)), sizes)
        done: list[Undo] = []

        def run(lane: Lane, mine: Sequence[_Portion]) -> None:
            for portion in mine:
                step = self._in_bank if portion.bank is not None else self._gathered
                done.append(step(lane, portion, push))

        try:
            self._share(run, self._portions(slots))
        except InputError:
            for undo in done:
                undo()
            raise
        return outputs

    def close(self) -> None:
        """Ends the threads, if there are any."""
        if self._pool is not None:
            self._pool.shutdown()

    def warm_up(self, frames: int) -> None:
        """Binds and runs every batch size once, on zeros; what the runs give is dropped."""
        ports = self._contract.inputs
        dims = [dim for port in ports for dim in port.shape if isinstance(dim, str)]
        sizes = {split_dim(dim)[1]: 1 for dim in dims} | {TIME: frames}
        sizes.pop(BATCH, None)
        for lane in self._lanes:
            for size in lane.sizes:
                run = lane.run(size, sizes)
                for staged in run.inputs:
                    staged[...] = 0
                run()

    def _share(
        self, run: Callable[[Lane, Sequence[_Portion]], None], portions: list[_Portion]
    ) -> None:
        if self._pool is None or len(portions) == 1:
            run(self._lanes[0], portions)
            return
        count = len(self._lanes)
        waiting = [
            self._pool.submit(run, lane, portions[index::count])
            for index, lane in enumerate(self._lanes)
        ]
        errors = [error for future in waiting if (error := future.exception())]
        if errors:
            raise errors[0]

    def _portions(self, slots: Slots) -> list[_Portion]:
        """Whole banks where most of their slots are active, and runs of what is left."""
        left: Places = np.arange(len(slots))
        portions: list[_Portion] = []
        if self._by_bank and len(slots) >= _FULL * self._bank_sizes.min():
            banks = slots // self._rows
            is_full = (
                np.bincount(banks, minlength=len(self._bank_sizes)) >= _FULL * self._bank_sizes
            )
            full = np.flatnonzero(is_full).tolist()
            portions = [_Portion(np.flatnonzero(banks == bank), bank) for bank in full]
            left = left[~is_full[banks]]
        if portions:
            self._table.make_second()
        size = min(self._rows, -(-len(left) // len(self._lanes)) or 1)
        portions += [_Portion(left[start : start + size]) for start in range(0, len(left), size)]
        return portions

    def _gathered(self, lane: Lane, portion: _Portion, push: _Push) -> Undo:
        places = portion.places
        mine, rows = push.slots[places], len(places)
        run = lane.run(rows, push.sizes)
        whole = rows == len(push.slots)
        for staged, array in zip(run.inputs, push.inputs, strict=True):
            staged[:rows] = array if whole else array[places]
        self._table.gather(mine, run.states)
        before = [] if whole else [state[:rows].copy() for state in run.states]
        run()
        for target, given in zip(push.outputs, run.outputs, strict=True):
            if whole:
                target[...] = given[:rows]
            else:
                target[places] = given[:rows]
        self._table.scatter(mine, run.after)
        return lambda: self._table.scatter(mine, before)

    def _in_bank(self, lane: Lane, portion: _Portion, push: _Push) -> Undo:
        assert portion.bank is not None  # noqa: S101 - asked by the caller
        bank, first = portion.bank, portion.bank * self._rows
        rows = int(self._bank_sizes[bank])
        run = lane.bank_run(bank, rows, push.sizes)
        within = push.slots[portion.places] - first
        for staged, array in zip(run.inputs, push.inputs, strict=True):
            staged[within] = array[portion.places]
        run()
        for target, given in zip(push.outputs, run.outputs, strict=True):
            target[portion.places] = given[within]
        is_idle = np.ones(rows, bool)
        is_idle[within] = False
        self._table.turn_over(bank, first + np.flatnonzero(is_idle))
        return lambda: self._table.turn_over(bank, np.empty(0, np.intp))
