"""Stream: one signal (or a batch of them) on its way through a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, TypeAlias, get_args

import numpy as np

from rnnedge_runtime.arrays import Array, Inputs, by_name, refused
from rnnedge_runtime.chunk import Chunk
from rnnedge_runtime.contract import BATCH, TIME
from rnnedge_runtime.course import Course
from rnnedge_runtime.engine import Engine
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.runs import OnNonfinite
from rnnedge_runtime.snapshot import pack, unpack
from rnnedge_runtime.states import measure_states
from rnnedge_runtime.streamable import check_batch, check_rows, check_streamable
from rnnedge_runtime.targets import check_targets, is_target

if TYPE_CHECKING:
    from rnnedge_runtime.model import Model

Outputs: TypeAlias = Array | dict[str, Array]
_ARRAY = np.ndarray


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
        self.on_nonfinite = on_nonfinite
        self._contract = contract
        self._takes_array = len(contract.inputs) == 1
        self._gives_array = self._takes_array and len(contract.outputs) == 1
        self._dtype = np.dtype(contract.inputs[0].dtype)
        self._engine = Engine(model, self.batch, check_finite=on_nonfinite != "ignore")
        self._course = Course(contract, self._engine, self.batch, on_nonfinite)

    def __repr__(self) -> str:
        return f"<Stream of {self.model!r}, batch {self.batch}, after {self.frames} frames>"

    @property
    def frames(self) -> int:
        """Frames pushed since the start, or since `reset()` of all rows."""
        return self._course.frames

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
        if self._gives_array and inputs.__class__ is _ARRAY and inputs.dtype is self._dtype:
            # `_step`, written out: in a push of microseconds its two calls are a tenth.
            chunk = self._course.ready.get(inputs.shape)
            if chunk is not None:
                buffer, check, runs, turn, copy = chunk.quick
                buffer[...] = inputs
                try:
                    if is_finite := isfinite(check()):
                        runs[turn.now]()
                except (RuntimeWarning, FloatingPointError):
                    is_finite = False  # numpy's word on Inf - Inf, where it is made an error
                except Exception as error:  # onnxruntime's exceptions share no base class
                    raise refused(error, "Stream.push") from error
                if is_finite:
                    turn.now ^= 1
                    self._engine.last = chunk
                    self._course.frames += chunk.frames
                    return copy()
        chunk = self._step(inputs)
        if chunk is None:
            arrays = tuple(by_name(self._contract.inputs, inputs).values())
            chunk = self._step_several(arrays)
            if chunk is None:
                return self._give(self._course.push(arrays))
        return self._engine.results(chunk)

    def push_into(self, inputs: Inputs, out: Inputs) -> None:
        """`push`, with the outputs written into arrays of the caller's: nothing is allocated.

        Args:
            inputs: as `push`.
            out: the array if the model has one output, else arrays by name, of just the shapes and
                types that `push` would return.

        Raises:
            InputError: as `push`, or `out` does not fit. The state is untouched.
        """
        chunk = self._course.ready.get(inputs.shape) if inputs.__class__ is _ARRAY else None
        if (
            chunk is not None
            and len(chunk.results) == 1
            and is_target(out, chunk.result)
            and self._step(inputs) is not None
        ):
            out[...] = chunk.result
            return
        arrays = tuple(by_name(self._contract.inputs, inputs).values())
        sizes, frames = self._course.sizes_of(arrays)
        targets = check_targets(self._contract.outputs, out, sizes | {TIME: frames})
        for name, output in self._course.push(arrays).items():
            targets[name][...] = output

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
        return self._give(self._course.flush())

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
        self._course.reset(picked)

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
        return pack(self._course.moment(self.model.sha256))

    def restore(self, data: bytes) -> None:
        """Goes back to the moment of a snapshot, taken from this or another stream of the model.

        Raises:
            SnapshotError: it is damaged, or of another model or batch size. The state is untouched.
        """
        self._course.resume(unpack(data, self.model.sha256, self.batch, self._contract))

    def fork(self) -> Stream:
        """A second stream, independent from now on, at the same moment."""
        twin = Stream(self.model, self.batch, self.on_nonfinite)
        twin._course.resume(self._course.moment(self.model.sha256))
        return twin

    def _step(self, inputs: Inputs) -> Chunk | None:
        """The short way, if it can be taken: one array, of a shape that was pushed before."""
        if inputs.__class__ is _ARRAY and inputs.dtype is self._dtype:
            course = self._course
            chunk = course.ready.get(inputs.shape)
            if chunk is not None and chunk.step(inputs):
                self._engine.last = chunk
                course.frames += chunk.frames
                return chunk
        return None

    def _step_several(self, arrays: tuple[Array, ...]) -> Chunk | None:
        """The short way for a model with several inputs."""
        chunk = self._course.ready.get(tuple(array.shape for array in arrays))
        if chunk is None or not chunk.has_types_of(arrays) or not chunk.stage(arrays):
            return None
        self._engine.run(chunk)
        self._course.frames += chunk.frames
        return chunk

    def _give(self, outputs: dict[str, Array]) -> Outputs:
        return next(iter(outputs.values())) if self._gives_array else outputs
