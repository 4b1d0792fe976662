"""SlotTable: the states of many streams, side by side, one row per slot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rnnedge_runtime.arrays import Array, shape_of
from rnnedge_runtime.contract import BATCH, Port, State, dim_factor

Slots: TypeAlias = npt.NDArray[np.intp]
"""Numbers of slots, each at most once: ``[rows]``."""


Index: TypeAlias = slice | npt.NDArray[np.intp]


class SlotTable:
    """One tensor per state, ``[..., batch: slots, ...]``, in host memory.

    Slots lie in banks of `bank_rows`. A run of a whole bank reads one table and writes the other in
    place, so that no state is copied; which of the two holds a bank's present states is its turn.
    The second table is made with the first such run.

    Attributes:
        banks: how many there are; the last may have fewer slots.
    """

    def __init__(
        self, states: tuple[State, ...], slots: int, bank_rows: int, initial: Mapping[str, Array]
    ) -> None:
        """Makes a table of `slots` rows.

        Args:
            states: each with a batch axis.
            slots: number of rows.
            bank_rows: slots of one bank.
            initial: every state's initial value for one row, by name.
        """
        self._states = states
        self._slots = slots
        self._bank_rows = bank_rows
        self.banks = -(-slots // bank_rows)
        self._views = [ByRow(state) for state in states]
        self._initial = [
            view(initial[state.name])[0] for view, state in zip(self._views, states, strict=True)
        ]
        self._tables = [self._new_table()]
        self._turns = np.zeros(self.banks, np.intp)

    def can_run_banks(self) -> bool:
        """Whether a bank's rows are one piece of memory in every state."""
        return self.banks == 1 or all(rows.flags.c_contiguous for rows in self._tables[0])

    def gather(self, slots: Slots, targets: list[Array]) -> None:
        """Copies rows out: row `slots[i]` of each state into row i of its target (by row)."""
        for table, places in self._parts(slots):
            for rows, target in zip(self._tables[table], targets, strict=True):
                if places is None:
                    _take(rows, slots, target)
                else:
                    target[places] = rows[slots[places]]

    def scatter(self, slots: Slots, sources: list[Array]) -> None:
        """Copies rows in: row i of each source (by row) into row `slots[i]` of its state."""
        for table, places in self._parts(slots):
            for rows, source in zip(self._tables[table], sources, strict=True):
                if places is None:
                    rows[slots] = source[: len(slots)]
                else:
                    rows[slots[places]] = source[places]

    def make_second(self) -> None:
        """Makes the second table, if there is none yet; before the first run of a whole bank."""
        if len(self._tables) == 1:
            self._tables.append(self._new_table())

    def bank(self, bank: int, turn: int) -> list[Array]:
        """A bank's states in one of the two tables: tensors for a run, not copies.

        Args:
            bank: its number.
            turn: 0 for the table that holds its present states, 1 for the other.
        """
        table = self._tables[self._turns[bank] ^ turn]
        first = bank * self._bank_rows
        count = min(self._bank_rows, self._slots - first)
        return [
            # Views: see `can_run_banks`.
            view.tensor(rows[first : first + count], shape_of(state, {BATCH: count}))
            for view, state, rows in zip(self._views, self._states, table, strict=True)
        ]

    def turn_of(self, bank: int) -> int:
        """Which table holds the bank's present states."""
        return int(self._turns[bank])

    def turn_over(self, bank: int, kept: Slots) -> None:
        """What a run of the bank wrote is its present now; the rows `kept` stay as they were."""
        now, then = self._turns[bank] ^ 1, self._turns[bank]
        if len(kept):
            for new, old in zip(self._tables[now], self._tables[then], strict=True):
                new[kept] = old[kept]
        self._turns[bank] = now

    def reset(self, slots: Slots) -> None:
        """Puts rows to the initial state."""
        for table, places in self._parts(slots):
            chosen = slots if places is None else slots[places]
            for rows, value in zip(self._tables[table], self._initial, strict=True):
                rows[chosen] = value

    def read(self, slot: int) -> dict[str, Array]:
        """Copies of one row's states, by name, with a batch axis of 1."""
        table = self._tables[self._turns[slot // self._bank_rows]]
        values = {}
        for view, state, rows in zip(self._views, self._states, table, strict=True):
            value = np.empty(shape_of(state, {BATCH: 1}), state.dtype)
            view(value)[0] = rows[slot]
            values[state.name] = value
        return values

    def write(self, slot: int, values: Mapping[str, Array]) -> None:
        """Overwrites the states named, which must fit already, of one row."""
        table = self._tables[self._turns[slot // self._bank_rows]]
        for view, state, rows in zip(self._views, self._states, table, strict=True):
            if state.name in values:
                rows[slot] = view(values[state.name])[0]

    def _new_table(self) -> list[Array]:
        # Zeros that nobody writes to are memory that nobody has: idle slots cost nothing yet.
        sizes = {BATCH: self._slots}
        tensors = [np.zeros(shape_of(state, sizes), state.dtype) for state in self._states]
        return [view(tensor) for view, tensor in zip(self._views, tensors, strict=True)]

    def _parts(self, slots: Slots) -> list[tuple[int, Any]]:
        """Which table holds which of the slots: all of them (None), or those at some places."""
        turned = int(self._turns.sum())
        if turned in (0, self.banks):
            return [(1 if turned else 0, None)]
        turns = self._turns[slots // self._bank_rows]
        parts = [(table, np.flatnonzero(turns == table)) for table in (0, 1)]
        return [(table, places) for table, places in parts if len(places)]


def as_index(numbers: npt.NDArray[np.intp]) -> Index:
    """The same items: a slice where they are in a row, which copies nothing and costs less."""
    first, count = int(numbers[0]) if len(numbers) else 0, len(numbers)
    if (numbers == np.arange(first, first + count)).all():
        return slice(first, first + count)
    return numbers


class ByRow:
    """Sees arrays of one port or state as ``[batch, ...]``: what belongs to one row is one item."""

    __slots__ = ("_axis", "_split")

    def __init__(self, tensor: State | Port) -> None:
        assert tensor.batch_axis is not None  # noqa: S101 - a batch refuses such a model
        self._axis = tensor.batch_axis
        outer = tensor.batch_outer if isinstance(tensor, State) else 1
        inner = dim_factor(tensor.shape[self._axis], BATCH) // outer
        self._split = None if outer == inner == 1 else (outer, inner)

    def __call__(self, array: Array) -> Array:
        """A view; of a folded axis ``[outer, batch, inner]`` the batch comes first, too."""
        axis = self._axis
        if self._split is not None:
            outer, inner = self._split
            split = (outer, array.shape[axis] // (outer * inner), inner)
            array = array.reshape(array.shape[:axis] + split + array.shape[axis + 1 :])
            axis += 1
        if axis == 0:
            return array
        # What np.moveaxis does, in a tenth of its time.
        return array.transpose(axis, *range(axis), *range(axis + 1, array.ndim))

    def tensor(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """The inverse, of shape `shape`; shares memory where it can."""
        axis = self._axis + (self._split is not None)
        return np.moveaxis(rows, 0, axis).reshape(shape)


def _take(rows: Array, slots: Slots, target: Array) -> None:
    part = target[: len(slots)]
    if part.flags.c_contiguous:
        np.take(rows, slots, axis=0, out=part, mode="clip")
    else:
        part[...] = rows[slots]
