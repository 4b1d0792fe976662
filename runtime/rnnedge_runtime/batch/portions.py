"""Portions: which rows of a push go through which run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from rnnedge_runtime.batch.table import Index, Slots, as_index

_FULL = 0.75
"""The share of a bank's slots from which on the whole bank is run, without copies of states."""
_KEPT_PLANS = 64
"""Sets of slots whose portions are kept: the same streams are often pushed together."""


@dataclass(frozen=True)
class Portion:
    """Rows that are gathered for one run.

    Attributes:
        rows: how many.
        slots: theirs.
        places: where they are in the push.
    """

    rows: int
    slots: Slots
    places: Index


@dataclass(frozen=True)
class WholeBank(Portion):
    """A bank that is run as a whole; `rows` is its size.

    Attributes:
        bank: its number.
        within: where the moving slots are in the bank.
        idle: slots of the bank that do not move.
    """

    bank: int
    within: Index
    idle: Slots


Places: TypeAlias = npt.NDArray[np.intp]


class Planner:
    """Whole banks where most of their slots are active, and runs of the rows that are left."""

    def __init__(self, slots: int, rows: int, lanes: int, *, by_bank: bool) -> None:
        """`lanes` runs can go side by side; `by_bank` says whether banks can be run as a whole."""
        self._rows = rows
        self._lanes = lanes
        self._by_bank = by_bank
        self._plans: dict[bytes, list[Portion]] = {}
        self.bank_sizes = np.diff(np.append(np.arange(0, slots, rows), slots))

    def portions(self, slots: Slots) -> list[Portion]:
        """The runs that move rows on; row i of the push is in slot ``slots[i]``."""
        key = slots.tobytes()
        if key not in self._plans:
            if len(self._plans) == _KEPT_PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = self._plan(slots)
        return self._plans[key]

    def _plan(self, slots: Slots) -> list[Portion]:
        portions: list[Portion] = []
        left: Places = np.arange(len(slots))
        if self._by_bank:
            banks = slots // self._rows
            active = np.bincount(banks, minlength=len(self.bank_sizes))
            is_full = active >= _FULL * self.bank_sizes
            full = np.flatnonzero(is_full).tolist()
            portions = [self._whole(bank, slots, np.flatnonzero(banks == bank)) for bank in full]
            left = left[~is_full[banks]]
        size = min(self._rows, -(-len(left) // self._lanes) or 1)
        for start in range(0, len(left), size):
            places = left[start : start + size]
            portions.append(Portion(len(places), slots[places], as_index(places)))
        return portions

    def _whole(self, bank: int, slots: Slots, places: Places) -> Portion:
        first, size = bank * self._rows, int(self.bank_sizes[bank])
        within = slots[places] - first
        idle = first + np.setdiff1d(np.arange(size), within)
        return WholeBank(
            size, slots[places], as_index(places), bank, as_index(within), idle.astype(np.intp)
        )
