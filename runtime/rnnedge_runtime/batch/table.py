"""SlotTable: the states of many streams, side by side, one row per slot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rnnedge_runtime.arrays import Array, shape_of
from rnnedge_runtime.contract import BATCH, Port, State
from rnnedge_runtime.states import rows_of

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
        self._initial = [by_row(state, initial[state.name])[0] for state in states]
        self._tables = [self._new_table()]
        self._turns = np.zeros(self.banks, np.intp)

    @property
    def bytes_per_slot(self) -> int:
        """What the states of one stream take, in one table."""
        return sum(rows.nbytes for rows in self._tables[0]) // self._slots

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
            _tensor(state, rows, first, count)
            for state, rows in zip(self._states, table, strict=True)
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
        for state, rows in zip(self._states, table, strict=True):
            value = np.empty(shape_of(state, {BATCH: 1}), state.dtype)
            by_row(state, value)[0] = rows[slot]
            values[state.name] = value
        return values

    def write(self, slot: int, values: Mapping[str, Array]) -> None:
        """Overwrites the states named, which must fit already, of one row."""
        table = self._tables[self._turns[slot // self._bank_rows]]
        for state, rows in zip(self._states, table, strict=True):
            if state.name in values:
                rows[slot] = by_row(state, np.ascontiguousarray(values[state.name]))[0]

    def _new_table(self) -> list[Array]:
        # Zeros that nobody writes to are memory that nobody has: idle slots cost nothing yet.
        sizes = {BATCH: self._slots}
        tensors = [np.zeros(shape_of(state, sizes), state.dtype) for state in self._states]
        return list(map(by_row, self._states, tensors))

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


def by_row(tensor: State | Port, array: Array) -> Array:
    """A view ``[batch, ...]`` of a contiguous array: what belongs to one row is one item."""
    assert tensor.batch_axis is not None  # noqa: S101 - a batch refuses such a model
    return np.moveaxis(rows_of(tensor, array), tensor.batch_axis + 1, 0)


def _take(rows: Array, slots: Slots, target: Array) -> None:
    part = target[: len(slots)]
    if part.flags.c_contiguous:
        np.take(rows, slots, axis=0, out=part, mode="clip")
    else:
        part[...] = rows[slots]


def _tensor(state: State, rows: Array, first: int, count: int) -> Array:
    """Some rows of a table as the tensor that a run takes; shares its memory."""
    assert state.batch_axis is not None  # noqa: S101 - as above
    part = np.moveaxis(rows[first : first + count], 0, state.batch_axis + 1)
    return part.reshape(shape_of(state, {BATCH: count}))  # a view: see `can_run_banks`
