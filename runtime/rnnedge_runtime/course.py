"""Course: how far a signal has come, and what a push, a flush and a reset do to it."""

from __future__ import annotations

from collections.abc import Sequence

from rnnedge_runtime import nonfinite
from rnnedge_runtime.alignment import Alignment, is_plain
from rnnedge_runtime.arrays import Array, Sizes, empty_outputs, measure
from rnnedge_runtime.chunk import Chunk
from rnnedge_runtime.contract import BATCH, TIME, Contract
from rnnedge_runtime.engine import Engine, Shape
from rnnedge_runtime.held import Held
from rnnedge_runtime.runs import OnNonfinite, Runs
from rnnedge_runtime.snapshot import Moment
from rnnedge_runtime.streamable import refuse_ended, refuse_held


class Course:
    """Frames pushed, frames held for a whole run, each row's start, and the signal's end.

    Attributes:
        frames: pushed since the start, or since all rows were reset.
        ready: buffers by the shape of the input (or the shapes of several), for pushes that need
            nothing but a run; empty while every push needs more.
    """

    def __init__(
        self, contract: Contract, engine: Engine, batch: int, on_nonfinite: OnNonfinite
    ) -> None:
        self.frames = 0
        self.ready: dict[Shape | tuple[Shape, ...], Chunk] = {}
        self._contract = contract
        self._engine = engine
        self._batch = batch
        self._on_nonfinite = on_nonfinite
        self._held = Held(contract.inputs, contract.chunk_multiple)
        self._alignment = Alignment(contract, batch)
        self._runs = Runs(contract, engine, self._alignment, on_nonfinite)
        self._is_ended = False
        self._settle()

    def sizes_of(self, arrays: tuple[Array, ...]) -> tuple[Sizes, int]:
        """Checks one push's inputs: what their symbols stand for, and the frames it will run.

        Raises:
            InputError: an array does not fit.
        """
        ports = self._contract.inputs
        named = {port.name: array for port, array in zip(ports, arrays, strict=True)}
        sizes = measure(ports, named, {BATCH: self._batch})
        return sizes, self._held.ready(sizes[TIME])

    def push(self, arrays: tuple[Array, ...]) -> dict[str, Array]:
        """A push in full: checks, frames held before and after, what precedes the signal."""
        refuse_ended("Stream.push", is_ended=self._is_ended)
        pushed = self.frames
        sizes, frames = self.sizes_of(arrays)
        if sizes[TIME] == 0:
            return self._nothing()
        if self._contract.chunk_multiple > 1 and self._on_nonfinite == "raise":
            nonfinite.refuse(self._contract.inputs, arrays)  # now, before some of it is held
        ready, rest = self._held.divide(arrays, sizes[TIME])
        if frames:
            ran = pushed - self._held.frames
            outputs = self._runs.advance(ready, sizes | {TIME: frames}, ran)
        else:
            outputs = self._engine.unchanged()
        self.frames = pushed + sizes[TIME]
        self._held.keep(rest, self.frames % self._contract.chunk_multiple)
        self._settle()
        return outputs

    def flush(self) -> dict[str, Array]:
        """Runs what is held, and what it takes until nothing is held back."""
        refuse_ended("Stream.flush", is_ended=self._is_ended)
        pushed, held = self.frames, self._held.frames
        frames = self._alignment.frames_to_end(pushed, held)
        if frames:
            arrays = self._held.padded(self._engine.last_inputs, self._batch, frames)
            sizes = {BATCH: self._batch, TIME: frames}
            outputs = self._runs.advance(arrays, sizes, pushed - held, ends_after=pushed)
            self._alignment.cut(outputs, pushed, pushed - held)
        else:
            outputs = self._engine.unchanged() if self._engine.last else self._nothing()
        self._is_ended = True
        self._settle()
        return outputs

    def reset(self, rows: Sequence[int]) -> None:
        """Puts rows back to where a new stream is.

        Raises:
            InputError: they are not all, and frames are held, the signal has been ended, or a state
                has no batch axis. Nothing has changed.
        """
        if 0 < len(rows) < self._batch:
            refuse_ended("reset(rows=...)", is_ended=self._is_ended)
            refuse_held(self._held.frames, self._contract.chunk_multiple)
        self._engine.reset_rows(rows)
        if len(rows) == self._batch:
            self.frames, self._is_ended, self._engine.last = 0, False, None
            self._held.drop()
        self._alignment.begin(rows, self.frames)
        self._settle()

    def moment(self, model: str) -> Moment:
        """All that it takes to go on from here; `model` is the sha256 of the file."""
        # What a plain model was given is never needed again.
        arrays = () if is_plain(self._contract) else self._held.waiting(self._engine.last_inputs)
        names = [port.name for port in self._contract.inputs][: len(arrays)]
        return Moment(
            model,
            self._batch,
            self.frames,
            self._engine.state.read(),
            starts=tuple(self._alignment.starts.tolist()),
            is_ended=self._is_ended,
            held_frames=self._held.frames,
            held=dict(zip(names, arrays, strict=True)),
        )

    def resume(self, moment: Moment) -> None:
        """Goes on from a moment of the same model and batch size."""
        self._engine.state.write(moment.states)
        self._engine.last = None
        self.frames, self._is_ended = moment.frames, moment.is_ended
        self._held.keep(tuple(moment.held.values()), moment.held_frames)
        self._alignment.restore(moment.starts)
        self._settle()

    def _settle(self) -> None:
        """Decides whether the next push needs nothing but a run."""
        ran = self.frames - self._held.frames
        needs_more = self._is_ended or self._held.frames > 0 or ran < self._alignment.settled_at
        self.ready = {} if needs_more else self._engine.chunks

    def _nothing(self) -> dict[str, Array]:
        return empty_outputs(self._contract.outputs, {BATCH: self._batch})
