"""AsyncBatch: a batch behind asyncio; who awaits a push waits for the tick that runs it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rnnedge_runtime.arrays import Array, Inputs
from rnnedge_runtime.batch.jobs import Job
from rnnedge_runtime.batch.stream import BatchStream, slot_of
from rnnedge_runtime.errors import InputError

if TYPE_CHECKING:
    from rnnedge_runtime.batch.batch import Batch
    from rnnedge_runtime.stream import Outputs


class AsyncBatch:
    """Ticks a batch from an event loop, in a thread beside it.

    A tick starts as soon as every stream has something that waits, or a full run is ready; else
    once the first of those that wait has waited for `max_wait_ms`. While a tick runs, what comes
    waits for the next, so that under load runs are full without any waiting.

    Use it as ``async with AsyncBatch(model.batch(slots=...)) as front``. All methods belong to the
    thread of the loop.
    """

    def __init__(self, batch: Batch, *, max_wait_ms: float = 2.0) -> None:
        """Takes over a batch.

        Args:
            batch: nobody else may tick it.
            max_wait_ms: how long a push may wait for company; 0 for not at all.

        Raises:
            InputError: `max_wait_ms` is negative.
        """
        if not max_wait_ms >= 0:
            raise InputError(
                f"max_wait_ms must be 0 or more, got {max_wait_ms!r}",
                where="AsyncBatch(max_wait_ms=...)",
                fix="give the milliseconds that a push may wait for others",
            )
        self.batch = batch
        self._max_wait_s = max_wait_ms / 1000
        self._thread = ThreadPoolExecutor(1, "rnnedge-tick")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._tick: asyncio.Future[list[Job]] | None = None
        self._is_closed = False

    async def __aenter__(self) -> AsyncBatch:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def join(self) -> AsyncStream:
        """A new stream at its initial state; see `Batch.join`."""
        return AsyncStream(self, self.batch.join())

    async def close(self) -> None:
        """Ends the tick that runs and closes the batch; pushes that wait fail."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._tick is not None:
            await asyncio.wait([self._tick])
        self.batch.close()
        self._thread.shutdown()

    async def _result(self, stream: BatchStream, inputs: Inputs | None) -> Outputs:
        if self._is_closed:
            raise InputError(
                "the front has been closed", where="AsyncBatch", fix="open another one"
            )
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Outputs] = self._loop.create_future()
        self.batch.submit(stream, inputs, future)
        self._arm()
        return await future

    def _arm(self, *, at_once: bool = False) -> None:
        """Sees to it that a tick comes for what waits."""
        if self._tick is not None or self._is_closed or not (ready := self.batch.ready):
            return
        assert self._loop is not None  # noqa: S101 - set with the first push
        is_full = ready >= min(self.batch.joined, self.batch.rows)
        if is_full or at_once or self._max_wait_s == 0:
            if self._timer is not None:
                self._timer.cancel()
            # Not at once: whoever is about to push in this turn of the loop comes along.
            self._timer = self._loop.call_soon(self._start)
        elif self._timer is None:
            self._timer = self._loop.call_later(self._max_wait_s, self._start)

    def _start(self) -> None:
        self._timer = None
        if self._tick is None and not self._is_closed:
            assert self._loop is not None  # noqa: S101 - as in `_arm`
            jobs = self.batch.take()
            self._tick = self._loop.run_in_executor(self._thread, self._run, jobs)
            self._tick.add_done_callback(self._end)

    def _run(self, jobs: list[Job]) -> list[Job]:
        self.batch.run_jobs(jobs)
        return jobs

    def _end(self, tick: asyncio.Future[list[Job]]) -> None:
        self._tick = None
        self.batch.deliver(tick.result())
        self._arm(at_once=True)  # what came meanwhile has waited enough


class AsyncStream:
    """One signal on its way through a model, for one or more tasks. Made by `AsyncBatch.join`."""

    __slots__ = ("_front", "_room", "_stream")

    def __init__(self, front: AsyncBatch, stream: BatchStream) -> None:
        """See `AsyncBatch.join`."""
        self._front = front
        self._stream = stream
        self._room: asyncio.Semaphore | None = None

    def __repr__(self) -> str:
        return repr(self._stream).replace("BatchStream", "AsyncStream")

    @property
    def frames(self) -> int:
        """Frames of the pushes that are done, since the stream joined or was reset."""
        return self._stream.frames

    @property
    def state(self) -> dict[str, Array]:
        """Copies of the states after the pushes that are done, by name; read-only."""
        return self._stream.state

    async def push(self, inputs: Inputs) -> Outputs:
        """The outputs of the next frames, once a tick has run them.

        Pushes of one stream run in the order in which they were called. A push that finds the
        stream's queue full waits until there is room. A push whose task is cancelled before its
        turn is taken back.

        Args:
            inputs: as of `BatchStream.push`.

        Raises:
            InputError: as of `BatchStream.push`, or onnxruntime refused the run.
        """
        return await self._in_turn(inputs)

    async def flush(self) -> Outputs:
        """Ends the signal after all pushes before; see `Stream.flush`."""
        return await self._in_turn(None)

    def reset(self) -> None:
        """Back to the initial state, after the pushes that wait."""
        self._stream.reset()
        self._front._arm()

    def leave(self) -> None:
        """Gives the slot back. Pushes that still wait fail."""
        self._stream.leave()

    def snapshot(self) -> bytes:
        """See `BatchStream.snapshot`."""
        return self._stream.snapshot()

    def restore(self, data: bytes) -> None:
        """See `BatchStream.restore`."""
        self._stream.restore(data)

    async def _in_turn(self, inputs: Inputs | None) -> Outputs:
        slot_of(self._stream)  # left streams say so, before anyone waits for room
        if self._room is None:
            self._room = asyncio.Semaphore(self._front.batch.queue)
        async with self._room:
            return await self._front._result(self._stream, inputs)
