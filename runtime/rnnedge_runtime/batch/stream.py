"""BatchStream: one stream that shares runs with others."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from rnnedge_runtime.arrays import Array, Inputs
from rnnedge_runtime.errors import InputError

if TYPE_CHECKING:
    from rnnedge_runtime.batch.batch import Batch
    from rnnedge_runtime.stream import Outputs


class BatchStream:
    """One signal on its way through a model, in a slot of a `Batch`. Made by `Batch.join`.

    Attributes:
        batch: where it is.
        slot: its number there; None once it has left.
    """

    __slots__ = ("batch", "slot")

    def __init__(self, batch: Batch, slot: int) -> None:
        """See `Batch.join`."""
        self.batch = batch
        self.slot: int | None = slot

    def __repr__(self) -> str:
        if self.slot is None:
            return "<BatchStream that has left>"
        return f"<BatchStream in slot {self.slot}, after {self.frames} frames>"

    @property
    def frames(self) -> int:
        """Frames of the pushes that are done, since the stream joined or was reset."""
        return self.batch.frames_of(self)

    @property
    def state(self) -> dict[str, Array]:
        """Copies of the states after the pushes that are done, by name; read-only."""
        return self.batch.state_of(self)

    def push(self, inputs: Inputs) -> Future[Outputs]:
        """Hands in the next frames; they run in one of the next ticks.

        Args:
            inputs: as of `Stream.push`, of one row: a batch axis is there, of size 1. They are not
                copied: do not write to them before the result is there.

        Returns:
            What will hold the outputs, as `Stream.push` returns them, once `Batch.tick` has run
            them; or the InputError of a run that onnxruntime refused, with the stream as it was
            before. Cancelling it takes the push back, if its turn has not come.

        Raises:
            InputError: an array does not fit, or holds NaN or Inf; or the stream has left, or was
                ended by a flush.
            QueueFullError: as many pushes wait as may.
        """
        future: Future[Outputs] = Future()
        self.batch.submit(self, inputs, future)
        return future

    def flush(self) -> Future[Outputs]:
        """Ends the signal after all pushes before; the result is that of `Stream.flush`."""
        future: Future[Outputs] = Future()
        self.batch.submit(self, None, future)
        return future

    def reset(self) -> None:
        """Back to the initial state, after the pushes that wait; nothing waits: at once."""
        self.batch.reset(self)

    def leave(self) -> None:
        """Gives the slot back. Pushes that still wait fail; nothing can be pushed any more."""
        self.batch.leave(self)

    def snapshot(self) -> bytes:
        """The moment after the pushes that are done, as `Stream.snapshot` of one row gives it.

        It can be restored on a `Stream` of batch 1, on a `BatchStream` of any batch, and in
        another process or on another provider, of the same model file.
        """
        return self.batch.snapshot_of(self)

    def restore(self, data: bytes) -> None:
        """Goes back to the moment of a snapshot of one row.

        Raises:
            SnapshotError: it is damaged, or of another model or batch size. Nothing has changed.
            InputError: pushes wait.
        """
        self.batch.restore(self, data)


def slot_of(stream: BatchStream) -> int:
    """The slot's number.

    Raises:
        InputError: the stream has left.
    """
    if stream.slot is None:
        raise InputError(
            "the stream has left its batch",
            where="BatchStream",
            fix="join() gives a new one",
        )
    return stream.slot


def slots_of(streams: Sequence[BatchStream], batch: Batch) -> list[int | None]:
    """The slots' numbers.

    Raises:
        InputError: a stream is there twice, has left, or is of another batch.
    """
    slots = [stream.slot for stream in streams]
    if None in slots:
        slot_of(streams[slots.index(None)])  # says that it has left
    if {stream.batch for stream in streams} - {batch} or len(set(slots)) < len(slots):
        raise InputError(
            "a stream is given twice, or is of another batch",
            where="Batch.push(streams, ...)",
            fix="give each stream of this batch once, in the order of the rows",
        )
    return slots
