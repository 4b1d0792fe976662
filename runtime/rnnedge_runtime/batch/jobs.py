"""Jobs: pushes and flushes that wait for their turn, and how a tick moves them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from rnnedge_runtime import nonfinite
from rnnedge_runtime.arrays import Array, Sizes, joined_outputs, measure
from rnnedge_runtime.batch.rows import RowRunner
from rnnedge_runtime.batch.seats import Seats
from rnnedge_runtime.batch.table import ByRow, SlotTable
from rnnedge_runtime.contract import BATCH, TIME, Contract, Port, dim_factor
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.held import parts
from rnnedge_runtime.runs import OnNonfinite
from rnnedge_runtime.streamable import refuse_ended

Kind: TypeAlias = Literal["push", "flush", "reset"]


class Waiter(Protocol):
    """Who waits for a job: a future of `concurrent.futures` or of asyncio."""

    def done(self) -> bool:
        """Whether it has a result, an error, or was cancelled."""
        ...

    def cancelled(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Tells the outputs."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Tells the error."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """One push, flush or reset of one stream.

    Attributes:
        kind: what was asked for.
        slot: whose it is.
        future: gets the outputs by name, or the error.
        arrays: of a push, what was pushed; once begun, what is to be run.
        sizes: of a push, what its symbols stand for; once begun, ``time`` is what is to be run.
        rest: of a push, what is left over after its runs.
        pushed: frames that were pushed.
        at: how many frames have run.
        outputs: of the runs so far.
        error: why it failed.
        has_begun: whether a tick has taken it up.
        is_done: whether nothing of it is left to run.
        before: the row's states and start before the job, where they may have to come back.
    """

    kind: Kind
    slot: int
    future: Waiter
    arrays: tuple[Array, ...] = ()
    sizes: Sizes = field(default_factory=dict)
    rest: tuple[Array, ...] = ()
    pushed: int = 0
    at: int = 0
    outputs: list[dict[str, Array]] = field(default_factory=list)
    error: Exception | None = None
    has_begun: bool = False
    is_done: bool = False
    before: tuple[Mapping[str, Array], int] | None = None


class JobRunner:
    """Moves jobs on by one run each, those of one shape together."""

    def __init__(
        self,
        contract: Contract,
        table: SlotTable,
        seats: Seats,
        rows: RowRunner,
        most_frames: int,
        on_nonfinite: OnNonfinite,
    ) -> None:
        self._contract = contract
        self._table = table
        self._seats = seats
        self._rows = rows
        self._views = [ByRow(port) for port in contract.inputs]
        self._most = most_frames
        self._on_nonfinite = on_nonfinite

    def run(self, jobs: Sequence[Job]) -> None:
        """One run for each job, of different streams; what fails is noted in the job that failed.

        A failed job leaves its stream as it was before it.
        """
        groups: dict[tuple[tuple[int, ...], ...], list[tuple[Job, tuple[Array, ...]]]] = {}
        for job in jobs:
            if not job.is_done and not job.has_begun:
                self._begin(job)
            if not job.is_done:
                part = self._part(job)
                groups.setdefault(tuple(array.shape for array in part), []).append((job, part))
        for group in groups.values():
            self._run_group(group)

    def give_up(self, jobs: Sequence[Job], error: Exception) -> None:
        """Ends the jobs that are not done with an error that nobody foresaw."""
        for job in jobs:
            if not job.is_done:
                self._fail(job, error)

    def run_at_once(
        self, slots: Sequence[int], arrays: tuple[Array, ...], frames: int
    ) -> dict[str, Array]:
        """A push for which rows need different things: a job for each, run to its end.

        Args:
            slots: of the rows.
            arrays: of all rows, one per input, which must fit already.
            frames: of each row.

        Returns:
            The outputs by name, row i of ``slots[i]``.

        Raises:
            InputError: a job failed, or rows hold different numbers of frames, so that their
                outputs differ in length. No row has changed.
        """
        if len({self._seats.held(slot).ready(frames) for slot in slots}) > 1:
            raise InputError(
                "rows hold different numbers of frames, so that their outputs differ in length",
                where="Batch.push",
                fix="push to each stream by itself: stream.push(x), then tick()",
            )
        before = [self._seats.moment(slot, "") for slot in slots]
        ports, jobs = self._contract.inputs, []
        for slot, *mine in zip(slots, *map(rows_apart, ports, arrays), strict=True):
            named = {port.name: array for port, array in zip(ports, mine, strict=True)}
            sizes = measure(ports, named, {BATCH: 1})
            jobs.append(Job("push", slot, Future(), tuple(mine), sizes))
        while waiting := [job for job in jobs if not job.is_done]:
            self.run(waiting)
        for error in (job.error for job in jobs if job.error):
            for slot, moment in zip(slots, before, strict=True):
                self._seats.resume(slot, moment)
            raise error
        return joined_rows(self._contract.outputs, [job.outputs[0] for job in jobs])

    def _begin(self, job: Job) -> None:
        job.has_begun = True
        if job.kind == "reset":
            self._seats.begin(np.array([job.slot]))
            job.is_done = True
            return
        try:
            is_ended = bool(self._seats.is_ended[job.slot])
            refuse_ended(f"BatchStream.{job.kind}", is_ended=is_ended)
            if job.kind == "push":
                self._begin_push(job)
            else:
                self._begin_flush(job)
        except InputError as error:
            self._fail(job, error)

    def _begin_push(self, job: Job) -> None:
        seats, slot = self._seats, job.slot
        job.pushed = frames = job.sizes[TIME]
        if self._contract.chunk_multiple > 1:
            held = seats.held(slot)
            ready = held.ready(frames)
            job.arrays, job.rest = held.divide(job.arrays, frames)
            job.sizes = job.sizes | {TIME: ready}
        if job.sizes[TIME] == 0:
            job.outputs.append(seats.unchanged(slot))
            self._finish(job)
            return
        rows: list[int] = []
        if self._on_nonfinite == "reset":
            ports = self._contract.inputs
            job.arrays, rows = nonfinite.repaired(ports, job.arrays, "reset", 1)
        if rows or job.sizes[TIME] > self._most:
            self._remember(job)
        if rows:
            seats.restart(slot)

    def _begin_flush(self, job: Job) -> None:
        job.arrays, frames = self._seats.ending(job.slot)
        if frames == 0:
            job.outputs.append(self._seats.nothing(job.slot))
            self._finish(job)
            return
        named = dict(zip((p.name for p in self._contract.inputs), job.arrays, strict=True))
        job.sizes = measure(self._contract.inputs, named, {BATCH: 1})
        self._remember(job)
        self._table.write(job.slot, self._seats.lengths(job.slot))

    def _part(self, job: Job) -> tuple[Array, ...]:
        """The inputs of the job's next run."""
        if job.sizes[TIME] <= self._most:
            return job.arrays
        return parts(self._contract.inputs, job.arrays, job.at, job.at + self._most)

    def _run_group(self, group: list[tuple[Job, tuple[Array, ...]]]) -> None:
        job = group[0][0]
        frames = min(self._most, job.sizes[TIME] - job.at)
        sizes = {key: size for key, size in job.sizes.items() if key != BATCH} | {TIME: frames}
        slots = np.array([job.slot for job, _ in group])
        ports = self._contract.inputs
        inputs = [
            view(np.concatenate([part[index] for _, part in group], port.batch_axis))
            for index, (view, port) in enumerate(zip(self._views, ports, strict=True))
        ]
        try:
            outputs = self._rows.advance(slots, inputs, sizes)
        except InputError as error:
            if len(group) == 1:
                self._fail(job, error)
            else:  # one of them is to blame, and the others shall not suffer
                for one in group:
                    self._run_group([one])
            return
        given_rows = map(rows_apart, self._contract.outputs, outputs)
        names = [port.name for port in self._contract.outputs]
        for (job, _), *row in zip(group, *given_rows, strict=True):
            given = dict(zip(names, row, strict=True))
            self._seats.silence(job.slot, given, self._seats.ran(job.slot) + job.at)
            job.outputs.append(given)
            job.at += frames
            if job.at == job.sizes[TIME]:
                self._finish(job)

    def _finish(self, job: Job) -> None:
        whole = job.outputs[0]
        if len(job.outputs) > 1:
            whole = joined_outputs(self._contract.outputs, job.outputs)
        if job.kind == "push":
            self._seats.pushed(job.slot, job.pushed, job.arrays, job.rest)
        else:
            self._seats.cut(job.slot, whole)
            self._seats.is_ended[job.slot] = True
        job.outputs = [whole]
        job.is_done = True

    def _remember(self, job: Job) -> None:
        job.before = self._table.read(job.slot), int(self._seats.starts[job.slot])

    def _fail(self, job: Job, error: Exception) -> None:
        if job.before is not None:
            states, start = job.before
            self._table.write(job.slot, states)
            self._seats.starts[job.slot] = start
        job.error = error
        job.is_done = True


def joined_rows(ports: Sequence[Port], rows: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Outputs of one row each as outputs of many."""
    joined = {}
    for port in ports:
        assert port.batch_axis is not None  # noqa: S101 - a batch refuses such a model
        joined[port.name] = np.concatenate([row[port.name] for row in rows], axis=port.batch_axis)
    return joined


def rows_apart(port: Port, array: Array) -> list[Array]:
    """Copies of the rows of an input or output, each with a batch axis of 1."""
    assert port.batch_axis is not None  # noqa: S101 - a batch refuses such a model
    factor = dim_factor(port.shape[port.batch_axis], BATCH)
    before = (slice(None),) * port.batch_axis
    starts = range(0, array.shape[port.batch_axis], factor)
    return [array[(*before, slice(start, start + factor))].copy() for start in starts]
