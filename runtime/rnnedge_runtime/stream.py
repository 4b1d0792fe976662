"""Stream: one signal (or a batch of them) on its way through a model."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias, get_args

import numpy as np

from rnnedge_runtime import nonfinite
from rnnedge_runtime.alignment import Alignment, is_plain
from rnnedge_runtime.arrays import (
    Array,
    Inputs,
    by_name,
    empty_outputs,
    measure,
)
from rnnedge_runtime.contract import BATCH, TIME
from rnnedge_runtime.engine import Engine
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.held import Held
from rnnedge_runtime.runs import OnNonfinite, Runs
from rnnedge_runtime.snapshot import Moment, pack, unpack
from rnnedge_runtime.states import measure_states
from rnnedge_runtime.streamable import (
    check_batch,
    check_rows,
    check_streamable,
    refuse_ended,
    refuse_held,
)

if TYPE_CHECKING:
    from rnnedge_runtime.model import Model

Outputs: TypeAlias = Array | dict[str, Array]


class Stream:
    """The state of one stream: `batch` independent rows that advance together.

    Made by `Model.stream`. A stream belongs to one thread at a time; streams of one model may run
    in as many threads as there are.

    `on_nonfinite` says what a push does with NaN or Inf in a float input:

    * ``"raise"``: raises InputError, which names the first row and frame; the state is untouched.
    * ``"reset"``: the rows that hold one start again from their initial state, before this push,
      and the values themselves are taken as 0; their finite values are used as they are. So these
      rows give what a new stream would give for the repaired chunk. Other rows notice nothing. An
      input without a batch axis belongs to every row.
    * ``"ignore"``: looks at nothing.

    A model may run multiples of so many frames only: a push then keeps the frames that are left
    over for the next one. "Before this push" is before the frames that are run in it, those kept
    from before included.

    Attributes:
        model: what runs.
        batch: number of rows.
        frames: frames pushed since the start, or since `reset()` of all rows.
        on_nonfinite: as given.
    """

    def __init__(self, model: Model, batch: int = 1, on_nonfinite: OnNonfinite = "raise") -> None:
        """See `Model.stream`."""
        contract = model.contract
        check_streamable(contract)
        if on_nonfinite not in get_args(OnNonfinite):
            raise InputError(
                f"on_nonfinite is {on_nonfinite!r}",
                where="stream(on_nonfinite=...)",
                fix=f"choose one of {', '.join(get_args(OnNonfinite))}",
            )
        self.model = model
        self.batch = check_batch(contract, batch)
        self.frames = 0
        self.on_nonfinite = on_nonfinite
        self._contract = contract
        self._takes_array = len(contract.inputs) == 1
        self._gives_array = self._takes_array and len(contract.outputs) == 1
        self._dtypes = tuple(np.dtype(port.dtype) for port in contract.inputs)
        self._engine = Engine(model, self.batch, check_finite=on_nonfinite != "ignore")
        self._chunks, self._run = self._engine.chunks, self._engine.run
        self._held = Held(contract.inputs, contract.chunk_multiple)
        self._alignment = Alignment(contract, self.batch)
        self._runs = Runs(contract, self._engine, self._alignment, on_nonfinite)
        self._is_ended = False
        self._settle()

    def __repr__(self) -> str:
        return f"<Stream of {self.model!r}, batch {self.batch}, after {self.frames} frames>"

    def push(self, inputs: Inputs) -> Outputs:
        """Runs the next frames and keeps the state for those that follow.

        Args:
            inputs: the array if the model has one input, else arrays by name; inputs with a time
                axis may have any number of frames, 0 included, but all of them the same; inputs
                without one are given whole with every push.

        Returns:
            The array if the model has one input and one output, else arrays by name. They are
            the caller's own. Of each output, the frames of what was run: of all frames pushed, or
            as many as make a multiple of the contract's `chunk_multiple`, possibly none. An
            output's first `delay` frames after a row's start precede its signal, and are zero.

        Raises:
            InputError: an array does not fit, holds NaN or Inf, or onnxruntime refused the run;
                0 frames were given and an output has no time axis; or the signal was ended by
                `flush`. The state is untouched.
        """
        if self._takes_array and isinstance(inputs, np.ndarray):
            arrays: tuple[Array, ...] = (inputs,)
            chunk = self._chunks.get((inputs.shape,))
            is_known = inputs.dtype is self._dtypes[0]
        else:
            arrays = tuple(by_name(self._contract.inputs, inputs).values())
            chunk = self._chunks.get(tuple(array.shape for array in arrays))
            is_known = all(map(operator.is_, (array.dtype for array in arrays), self._dtypes))
        if self._detour or chunk is None or not is_known or not chunk.stage(arrays):
            return self._push_with_care(arrays)
        self._run(chunk)
        self.frames += chunk.frames
        if self._gives_array:
            return chunk.results[0].copy()
        return self._engine.results(chunk)

    def flush(self) -> Outputs:
        """Ends the signal: runs what is held, and gives what the model still holds back.

        All that was pushed out, and this, without the first `delay` frames, is the output of the
        whole-sequence model. Nothing can be pushed afterwards until all rows are reset.

        Returns:
            As `push`; 0 frames of outputs that are complete. Of an output without a time axis the
            value after the last run.

        Raises:
            InputError: the signal has been ended already; or an output has no time axis, and
                nothing was run that gave it a value. The state is untouched.
        """
        refuse_ended("Stream.flush", is_ended=self._is_ended)
        pushed, held = self.frames, self._held.frames
        frames = self._alignment.frames_to_end(pushed, held)
        if frames:
            arrays = self._held.padded(self._engine.last_inputs, self.batch, frames)
            sizes = {BATCH: self.batch, TIME: frames}
            outputs = self._runs.advance(arrays, sizes, pushed - held, ends_after=pushed)
            self._alignment.cut(outputs, pushed, pushed - held)
        else:
            outputs = self._engine.unchanged() if self._engine.last else self._nothing()
        self._is_ended = True
        self._settle()
        return self._give(outputs)

    def reset(self, rows: Iterable[int] | None = None) -> None:
        """Puts all rows, or some, back to the initial state, bit for bit as in a new stream.

        Args:
            rows: indices into the batch, 0 to batch - 1; None for all. Once all rows are reset,
                `frames` is 0 again.

        Raises:
            InputError: there is no such row; or some rows are to be reset, but a state has no batch
                axis, frames are held that are not a whole run, or `flush` has ended the signal of
                all. The state is untouched.
        """
        picked = range(self.batch) if rows is None else check_rows(rows, self.batch)
        if 0 < len(picked) < self.batch:
            refuse_ended("reset(rows=...)", is_ended=self._is_ended)
            refuse_held(self._held.frames, self._contract.chunk_multiple)
        self._engine.reset_rows(picked)
        if len(picked) == self.batch:
            self.frames, self._is_ended, self._engine.last = 0, False, None
            self._held.drop()
        self._alignment.begin(picked, self.frames)
        self._settle()

    @property
    def state(self) -> dict[str, Array]:
        """Copies of all states, by name; read-only, because writing to them would do nothing."""
        values = self._engine.state.read()
        for value in values.values():
            value.flags.writeable = False
        return values

    def set_state(self, values: Mapping[str, Array]) -> None:
        """Overwrites the states named in `values`; the others stay.

        Raises:
            InputError: a name is unknown or an array does not fit. The state is untouched.
        """
        measure_states(self._contract.states, values, {BATCH: self.batch})
        self._engine.state.write(values)

    def snapshot(self) -> bytes:
        """The whole moment as bytes, bound to the model's file by its sha256.

        All states, frames held, the frame count, and where each row is in its signal.
        """
        return pack(self._moment())

    def restore(self, data: bytes) -> None:
        """Goes back to the moment of a snapshot, taken from this or another stream of the model.

        Raises:
            SnapshotError: it is damaged, or of another model or batch size. The state is untouched.
        """
        self._resume(unpack(data, self.model.sha256, self.batch, self._contract))

    def fork(self) -> Stream:
        """A second stream, independent from now on, at the same moment."""
        twin = Stream(self.model, self.batch, self.on_nonfinite)
        twin._resume(self._moment())
        return twin

    def _moment(self) -> Moment:
        # What a plain model was given is never needed again.
        arrays = () if is_plain(self._contract) else self._held.waiting(self._engine.last_inputs)
        names = [port.name for port in self._contract.inputs][: len(arrays)]
        return Moment(
            self.model.sha256,
            self.batch,
            self.frames,
            self._engine.state.read(),
            starts=tuple(self._alignment.starts.tolist()),
            is_ended=self._is_ended,
            held_frames=self._held.frames,
            held=dict(zip(names, arrays, strict=True)),
        )

    def _resume(self, moment: Moment) -> None:
        self._engine.state.write(moment.states)
        self._engine.last = None
        self.frames, self._is_ended = moment.frames, moment.is_ended
        self._held.keep(tuple(moment.held.values()), moment.held_frames)
        self._alignment.restore(moment.starts)
        self._settle()

    def _settle(self) -> None:
        """Decides whether the next push can take the short way."""
        ran = self.frames - self._held.frames
        self._detour = self._is_ended or self._held.frames > 0 or ran < self._alignment.settled_at

    def _push_with_care(self, arrays: tuple[Array, ...]) -> Outputs:
        """A push in full: checks, frames held before and after, what precedes the signal."""
        refuse_ended("Stream.push", is_ended=self._is_ended)
        ports, pushed = self._contract.inputs, self.frames
        named = {port.name: array for port, array in zip(ports, arrays, strict=True)}
        sizes = measure(ports, named, {BATCH: self.batch})
        if sizes[TIME] == 0:
            return self._give(self._nothing())
        if self._contract.chunk_multiple > 1 and self.on_nonfinite == "raise":
            nonfinite.refuse(ports, arrays)  # now, before some of it is held
        ready, rest, frames = self._held.divide(arrays, sizes[TIME])
        if frames:
            ran = pushed - self._held.frames
            outputs = self._runs.advance(ready, sizes | {TIME: frames}, ran)
        else:
            outputs = self._engine.unchanged()
        self.frames = pushed + sizes[TIME]
        self._held.keep(rest, (pushed + sizes[TIME]) % self._contract.chunk_multiple)
        self._settle()
        return self._give(outputs)

    def _nothing(self) -> dict[str, Array]:
        return empty_outputs(self._contract.outputs, {BATCH: self.batch})

    def _give(self, outputs: dict[str, Array]) -> Outputs:
        return next(iter(outputs.values())) if self._gives_array else outputs
