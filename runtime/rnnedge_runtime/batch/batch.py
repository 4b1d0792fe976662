"""Batch: many streams of one model, which share its runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnedge_runtime import nonfinite
from rnnedge_runtime.arrays import Array, Inputs, Sizes, by_name, empty_outputs, measure, shape_of
from rnnedge_runtime.batch.checks import check_batchable, check_counts
from rnnedge_runtime.batch.jobs import Job, JobRunner, Waiter
from rnnedge_runtime.batch.queue import JobQueue, deliver
from rnnedge_runtime.batch.rows import RowRunner
from rnnedge_runtime.batch.seats import Seats
from rnnedge_runtime.batch.stream import BatchStream, slot_of, slots_of
from rnnedge_runtime.batch.table import ByRow, Slots, SlotTable
from rnnedge_runtime.contract import BATCH, TIME
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.runs import OnNonfinite
from rnnedge_runtime.snapshot import pack, unpack
from rnnedge_runtime.streamable import refuse_ended

if TYPE_CHECKING:
    from rnnedge_runtime.model import Model
    from rnnedge_runtime.stream import Outputs


_KNOWN_SHAPES = 256
"""Shapes of pushes that are measured once; above so many every push is measured."""


class Batch:
    """Slots for streams that come and go; each tick runs those that have something to run.

    A stream whose turn it is not does not advance. Made by `Model.batch`. Any thread may call any
    method; a tick runs beside pushes, one tick at a time.

    Attributes:
        model: what runs.
        slots: how many streams there can be.
        rows: how many of them one run takes at most.
        queue: how many pushes of one stream may wait.
    """

    def __init__(
        self,
        model: Model,
        slots: int,
        *,
        rows: int,
        frames: int,
        queue: int,
        most_frames: int,
        workers: int,
        on_nonfinite: OnNonfinite,
    ) -> None:
        """See `Model.batch`."""
        contract = model.contract
        check_batchable(contract)
        check_counts(slots=slots, rows=rows, frames=frames, queue=queue)
        check_counts(most_frames=most_frames, workers=workers)
        self.model = model
        self.slots = slots
        self._contract = contract
        self._on_nonfinite = on_nonfinite
        self._gives_array = len(contract.inputs) == len(contract.outputs) == 1
        most = max(most_frames // contract.chunk_multiple, 1) * contract.chunk_multiple
        self._most = min(most, contract.chunk_most or most)
        self.rows = min(rows, slots)
        self.queue = queue
        self._table = SlotTable(contract.states, slots, self.rows, model.initial_state(1))
        self._rows = RowRunner(model, self._table, slots, self.rows, workers)
        self._seats = Seats(contract, self._table, slots)
        self._jobs = JobRunner(
            contract, self._table, self._seats, self._rows, self._most, on_nonfinite
        )
        self._seen: tuple[Sequence[BatchStream], Slots] = (), np.empty(0, np.intp)
        self._views = [ByRow(port) for port in contract.inputs]
        self._waiting = JobQueue(queue)
        self._known: dict[tuple[Any, ...], Sizes] = {}  # what pushes measured, by their shapes
        self._free = list(range(slots - 1, -1, -1))
        self._lock = threading.RLock()  # of the states; held through a run
        multiple = contract.chunk_multiple
        self._rows.warm_up(min(-(-frames // multiple) * multiple, self._most))

    def __repr__(self) -> str:
        return f"<Batch of {self.model!r}, {self.slots - len(self._free)} of {self.slots} slots>"

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def joined(self) -> int:
        """How many streams there are."""
        return self.slots - len(self._free)

    @property
    def ready(self) -> int:
        """How many streams have something that waits to be run."""
        return len(self._waiting)

    def join(self) -> BatchStream:
        """A new stream at its initial state, in a free slot.

        Raises:
            InputError: no slot is free.
        """
        with self._lock:
            if not self._free:
                raise InputError(
                    f"all {self.slots} slots are taken",
                    where="Batch.join",
                    fix="leave() streams that have ended, or open the batch with more slots",
                )
            slot = self._free.pop()
            self._seats.begin(np.array([slot]))
        return BatchStream(self, slot)

    def push(self, streams: Sequence[BatchStream], inputs: Inputs) -> Outputs:
        """Runs the next frames of some streams at once, without waiting for a tick.

        Args:
            streams: each at most once; none with pushes that wait. The same tuple as in the push
                before is not looked at again.
            inputs: as of `Stream.push`; row i of the batch axis is for ``streams[i]``.

        Returns:
            As `Stream.push`, row i of ``streams[i]``.

        Raises:
            InputError: an array does not fit, holds NaN or Inf, or onnxruntime refused a run; or a
                stream is given twice, has left, was ended, or has pushes that wait. No stream has
                advanced.
        """
        slots = self._slots_of(streams)
        arrays = by_name(self._contract.inputs, inputs)
        sizes = measure(self._contract.inputs, arrays, {BATCH: len(slots)})
        with self._lock:
            self._refuse_waiting(slots.tolist())
            refuse_ended("Batch.push", is_ended=bool(self._seats.is_ended[slots].any()))
            if sizes[TIME] == 0:
                return self._give(empty_outputs(self._contract.outputs, sizes))
            if not len(slots):
                sizes[TIME] -= sizes[TIME] % self._contract.chunk_multiple
                ports = self._contract.outputs
                return self._give({p.name: np.empty(shape_of(p, sizes), p.dtype) for p in ports})
            ports, given = self._contract.inputs, tuple(arrays.values())
            if self._on_nonfinite == "raise":
                nonfinite.refuse(ports, given)
            if not self._is_one_run(slots, sizes[TIME]):
                return self._give(self._jobs.run_at_once(slots.tolist(), given, sizes[TIME]))
            del sizes[BATCH]
            by_row = [view(array) for view, array in zip(self._views, given, strict=True)]
            outputs = self._rows.advance(slots, by_row, sizes)
            self._seats.frames[slots] += sizes[TIME]
        names = [port.name for port in self._contract.outputs]
        return self._give(dict(zip(names, outputs, strict=True)))

    def tick(self) -> int:
        """Moves every stream on that has something to run, by one run, the longest waiting first.

        A push of more than `most_frames` frames takes several ticks, so that none waits for it.

        Returns:
            How many streams were moved on.
        """
        with self._lock:
            jobs = self.take()
            self.run_jobs(jobs)
            self.deliver(jobs)
        return len(jobs)

    def close(self) -> None:
        """Ends the worker threads; pushes that wait fail."""
        with self._lock:
            self.deliver(self._waiting.drop_all("the batch has been closed"))
            self._rows.close()

    def submit(self, stream: BatchStream, inputs: Inputs | None, future: Waiter) -> None:
        """`BatchStream.push`, or its flush if `inputs` is None, with a future of any kind."""
        slot = slot_of(stream)
        if self._seats.is_ended[slot] and not self._waiting.has(slot):
            refuse_ended("BatchStream.push", is_ended=True)
        if inputs is None:
            self._waiting.submit(Job("flush", slot, future))
            return
        arrays = by_name(self._contract.inputs, inputs)
        given = tuple(arrays.values())
        key = tuple((array.shape, array.dtype) for array in given)
        sizes = self._known.get(key)
        if sizes is None:
            sizes = measure(self._contract.inputs, arrays, {BATCH: 1})
            if len(self._known) < _KNOWN_SHAPES:
                self._known[key] = sizes
        if self._on_nonfinite == "raise":
            nonfinite.refuse(self._contract.inputs, given)
        if sizes[TIME] == 0:
            empty_outputs(self._contract.outputs, sizes)  # where there are none, it says so
        self._waiting.submit(Job("push", slot, future, given, sizes))

    def take(self) -> list[Job]:
        """The jobs of a tick. `tick` is this, `run_jobs` and `deliver`."""
        return self._waiting.take()

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """The part of a tick that takes time; any thread may do it."""
        with self._lock:
            try:
                self._jobs.run(jobs)
            except Exception as error:  # whoever waits has to hear of it, whatever it is
                self._jobs.give_up(jobs, error)
            self._waiting.put_back(jobs)

    def deliver(self, jobs: Sequence[Job]) -> None:
        """Tells those who wait; asyncio's futures want it in their loop's thread."""
        deliver(jobs, gives_array=self._gives_array)

    def frames_of(self, stream: BatchStream) -> int:
        """See `BatchStream.frames`."""
        return int(self._seats.frames[slot_of(stream)])

    def state_of(self, stream: BatchStream) -> dict[str, Array]:
        """See `BatchStream.state`."""
        with self._lock:
            values = self._table.read(slot_of(stream))
        for value in values.values():
            value.flags.writeable = False
        return values

    def reset(self, stream: BatchStream) -> None:
        """See `BatchStream.reset`."""
        slot = slot_of(stream)
        with self._lock:
            if self._waiting.has(slot):
                self._waiting.submit(Job("reset", slot, Future()))
            else:
                self._seats.begin(np.array([slot]))

    def leave(self, stream: BatchStream) -> None:
        """See `BatchStream.leave`."""
        slot = slot_of(stream)
        with self._lock:
            self.deliver(self._waiting.drop(slot, "the stream has left"))
            stream.slot = None
            self._seen = (), self._seen[1][:0]
            self._free.append(slot)

    def snapshot_of(self, stream: BatchStream) -> bytes:
        """See `BatchStream.snapshot`."""
        with self._lock:
            return pack(self._seats.moment(slot_of(stream), self.model.sha256))

    def restore(self, stream: BatchStream, data: bytes) -> None:
        """See `BatchStream.restore`."""
        moment = unpack(data, self.model.sha256, 1, self._contract)
        with self._lock:
            slot = slot_of(stream)
            self._refuse_waiting([slot])
            self._seats.resume(slot, moment)

    def _is_one_run(self, slots: Slots, frames: int) -> bool:
        """Whether a push needs nothing for any row but a run."""
        return (
            self._on_nonfinite != "reset"
            and frames % self._contract.chunk_multiple == 0
            and frames <= (self._contract.chunk_most or frames)
            and self._seats.is_settled(slots)
        )

    def _slots_of(self, streams: Sequence[BatchStream]) -> Slots:
        if streams is self._seen[0]:
            return self._seen[1]
        found = np.array(slots_of(streams, self), np.intp)
        if type(streams) is tuple:  # which nobody can change
            self._seen = streams, found
        return found

    def _refuse_waiting(self, slots: Sequence[int]) -> None:
        if len(self._waiting) and any(map(self._waiting.has, slots)):
            slot = next(filter(self._waiting.has, slots))
            raise InputError(
                "pushes of this stream wait for their turn",
                where=f"BatchStream in slot {slot}",
                fix="tick() until none waits",
            )

    def _give(self, outputs: dict[str, Array]) -> Outputs:
        return next(iter(outputs.values())) if self._gives_array else outputs
