"""Seats: where each stream of a batch is in its signal, slot by slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnnedge_runtime.alignment import Alignment, is_plain
from rnnedge_runtime.arrays import Array, empty_outputs, shape_of
from rnnedge_runtime.batch.table import Slots, SlotTable
from rnnedge_runtime.contract import BATCH, TIME, Contract
from rnnedge_runtime.held import Held, parts
from rnnedge_runtime.snapshot import Moment


class Seats:
    """Frames, frames held, starts and ends; and what follows from them for outputs.

    Attributes:
        frames: pushed by each slot's stream: ``[slots]``.
        starts: how many of them were before the row's last start (see `Alignment`): ``[slots]``.
        is_ended: whether the signal was ended by a flush: ``[slots]``.
    """

    def __init__(self, contract: Contract, table: SlotTable, slots: int) -> None:
        self._contract = contract
        self._table = table
        self._alignment = Alignment(contract, 1)
        self._is_plain = is_plain(contract)
        self._lasting = [port for port in contract.outputs if port.time_axis is None]
        self._held: dict[int, Held] = {}
        self._last: dict[int, dict[str, Array]] = {}
        self.frames = np.zeros(slots, np.int64)
        self.starts = np.zeros(slots, np.int64)
        self.is_ended = np.zeros(slots, bool)

    def begin(self, slots: Slots) -> None:
        """Puts slots to where a new stream is."""
        self._table.reset(slots)
        self.frames[slots] = self.starts[slots] = 0
        self.is_ended[slots] = False
        for slot in slots.tolist():
            self._held.pop(slot, None)
            self._last.pop(slot, None)

    def held(self, slot: int) -> Held:
        """What the slot's pushes have left over."""
        if slot not in self._held:
            self._held[slot] = Held(self._contract.inputs, self._contract.chunk_multiple)
        return self._held[slot]

    def ran(self, slot: int) -> int:
        """Frames that went through the model, since the stream began."""
        held = self._held.get(slot)
        return int(self.frames[slot]) - (held.frames if held else 0)

    def restart(self, slot: int) -> None:
        """The row starts again from its initial state, with the frames to be run next."""
        self._table.reset(np.array([slot]))
        self.starts[slot] = self.ran(slot)

    def pushed(self, slot: int, frames: int, run: Sequence[Array], rest: Sequence[Array]) -> None:
        """Notes a push that is done.

        Args:
            slot: whose.
            frames: how many were pushed.
            run: the inputs that ran.
            rest: those that are left over.
        """
        self.frames[slot] += frames
        if self._is_plain:
            return
        held = self.held(slot)
        left = int(self.frames[slot]) % self._contract.chunk_multiple
        # Of inputs without a time axis the value given last is kept, for the run of a flush.
        held.keep(rest if left else parts(self._contract.inputs, run, 0, 0), left)

    def silence(self, slot: int, outputs: Mapping[str, Array], ran: int) -> None:
        """Sets what precedes the signal to zero, and keeps what may be asked for again."""
        self._alignment.silence(outputs, ran - int(self.starts[slot]))
        if self._lasting:
            self._last[slot] = {port.name: outputs[port.name].copy() for port in self._lasting}

    def is_settled(self, slots: Slots) -> bool:
        """Whether none of the slots, which have not ended, needs more than a run."""
        if self._lasting:
            return False
        if self._is_plain:
            return True
        if any(self._held[slot].frames for slot in slots.tolist() if slot in self._held):
            return False
        ran = self.frames[slots] - self.starts[slots]
        return bool((ran >= self._alignment.settled_at).all())

    def ending(self, slot: int) -> tuple[tuple[Array, ...], int]:
        """The inputs of the run that ends the signal, and how many frames it has."""
        pushed, held = self._place(slot)
        frames = self._alignment.frames_to_end(pushed, held)
        return (self.held(slot).padded((), 1, frames), frames) if frames else ((), 0)

    def lengths(self, slot: int) -> dict[str, Array]:
        """What the states that know the signal's end hold from now on."""
        return self._alignment.end_lengths(self._place(slot)[0])

    def cut(self, slot: int, outputs: dict[str, Array]) -> None:
        """Ends what the last run gave where the whole-sequence model ends."""
        pushed, held = self._place(slot)
        self._alignment.cut(outputs, pushed, pushed - held)

    def unchanged(self, slot: int) -> dict[str, Array]:
        """The outputs of no run: no frames, and of outputs without time the last value, or 0."""
        last = self._last.get(slot, {})
        sizes = {BATCH: 1, TIME: 0}
        return {
            port.name: last[port.name].copy()
            if port.name in last
            else np.zeros(shape_of(port, sizes), port.dtype)
            for port in self._contract.outputs
        }

    def nothing(self, slot: int) -> dict[str, Array]:
        """The outputs of no frames; InputError where the model has none for that."""
        return (
            self.unchanged(slot)
            if slot in self._last
            else empty_outputs(self._contract.outputs, {BATCH: 1})
        )

    def moment(self, slot: int, model: str) -> Moment:
        """All that it takes to go on from here, as of a stream of one row."""
        held = self._held.get(slot)
        waiting = held.waiting(()) if held else ()
        names = [port.name for port in self._contract.inputs][: len(waiting)]
        return Moment(
            model,
            1,
            int(self.frames[slot]),
            self._table.read(slot),
            starts=(int(self.starts[slot]),),
            is_ended=bool(self.is_ended[slot]),
            held_frames=held.frames if held else 0,
            held=dict(zip(names, waiting, strict=True)),
        )

    def resume(self, slot: int, moment: Moment) -> None:
        """Goes on from a moment of one row."""
        self._last.pop(slot, None)
        self._table.write(slot, moment.states)
        self.frames[slot], self.starts[slot] = moment.frames, moment.starts[0]
        self.is_ended[slot] = moment.is_ended
        if not self._is_plain:
            self.held(slot).keep(tuple(moment.held.values()), moment.held_frames)

    def _place(self, slot: int) -> tuple[int, int]:
        """Frames pushed since the row's start, and how many of them are held."""
        held = self._held.get(slot)
        pushed = int(self.frames[slot] - self.starts[slot])
        return pushed, held.frames if held else 0
