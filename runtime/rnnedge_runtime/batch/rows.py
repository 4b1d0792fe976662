"""RowRunner: some rows of a table moved on by one push, in as few runs as fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rnnedge_runtime.arrays import Array, Sizes, shape_of
from rnnedge_runtime.batch.lane import Lane
from rnnedge_runtime.batch.portions import Planner, Portion, WholeBank
from rnnedge_runtime.batch.table import ByRow, Slots, SlotTable
from rnnedge_runtime.contract import BATCH, TIME
from rnnedge_runtime.dims import split_dim
from rnnedge_runtime.errors import InputError

if TYPE_CHECKING:
    from rnnedge_runtime.model import Model

_KEPT_SHAPES = 256
"""Sizes of pushes of which the outputs' shapes are kept."""

Undo: TypeAlias = Callable[[], None]


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
        self._views = [ByRow(port) for port in model.contract.outputs]
        self._shapes: dict[tuple[tuple[str, int], ...], list[tuple[int, ...]]] = {}
        self._planner = Planner(slots, rows, workers, by_bank=table.can_run_banks())
        self._lanes = [
            Lane(model.session, model.contract, table, rows, memory=model.memory)
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
        outputs = self._new_outputs(sizes | {BATCH: len(slots)})
        by_row = [view(array) for view, array in zip(self._views, outputs, strict=True)]
        push = _Push(slots, inputs, by_row, sizes)
        done: list[Undo] = []

        def run(lane: Lane, mine: Sequence[Portion]) -> None:
            for portion in mine:
                if isinstance(portion, WholeBank):
                    done.append(self._in_bank(lane, portion, push))
                else:
                    done.append(self._gathered(lane, portion, push))

        try:
            self._share(run, self._planner.portions(slots))
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

    def _new_outputs(self, sizes: Sizes) -> list[Array]:
        key = tuple(sizes.items())
        shapes = self._shapes.get(key)
        if shapes is None:
            shapes = [shape_of(port, sizes) for port in self._contract.outputs]
            if len(self._shapes) < _KEPT_SHAPES:
                self._shapes[key] = shapes
        ports = self._contract.outputs
        return [np.empty(shape, p.dtype) for shape, p in zip(shapes, ports, strict=True)]

    def _share(
        self, run: Callable[[Lane, Sequence[Portion]], None], portions: list[Portion]
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

    def _gathered(self, lane: Lane, portion: Portion, push: _Push) -> Undo:
        rows, places = portion.rows, portion.places
        run = lane.run(rows, push.sizes)
        for staged, array in zip(run.inputs, push.inputs, strict=True):
            staged[:rows] = array[places]
        self._table.gather(portion.slots, run.states)
        is_all = rows == len(push.slots)
        before = [] if is_all else [state[:rows].copy() for state in run.states]
        run()
        for target, given in zip(push.outputs, run.outputs, strict=True):
            target[places] = given[:rows]
        self._table.scatter(portion.slots, run.after)
        return lambda: self._table.scatter(portion.slots, before)

    def _in_bank(self, lane: Lane, portion: WholeBank, push: _Push) -> Undo:
        bank, places, within = portion.bank, portion.places, portion.within
        self._table.make_second()
        run = lane.bank_run(bank, portion.rows, push.sizes)
        for staged, array in zip(run.inputs, push.inputs, strict=True):
            staged[within] = array[places]
        run()
        for target, given in zip(push.outputs, run.outputs, strict=True):
            target[places] = given[within]
        self._table.turn_over(bank, portion.idle)
        return lambda: self._table.turn_over(bank, portion.idle[:0])
