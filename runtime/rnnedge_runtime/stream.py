"""Stream: one signal (or a batch of them) on its way through a model."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from rnnedge_runtime import nonfinite, snapshot
from rnnedge_runtime.arrays import Array, Inputs, by_name, empty_outputs, measure, refused
from rnnedge_runtime.chunk import Chunk
from rnnedge_runtime.contract import BATCH, TIME
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.states import StateSet, copy_rows, measure_states
from rnnedge_runtime.streamable import check_batch, check_rows, check_streamable

if TYPE_CHECKING:
    from rnnedge_runtime.model import Model

OnNonfinite: TypeAlias = Literal["raise", "reset", "ignore"]
Outputs: TypeAlias = Array | dict[str, Array]

_KEPT_CHUNKS = 8
"""Chunk lengths whose buffers are kept; a stream that uses more binds anew now and then."""


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
        self._sets = (
            StateSet(contract.states, self.batch, model.device),
            StateSet(contract.states, self.batch, model.device),
        )
        self._now = 0  # which of the two sets holds the present state
        self._chunks: dict[tuple[tuple[int, ...], ...], Chunk] = {}
        self._sets[0].write(model.initial_state(self.batch))

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
            the caller's own. 0 frames give outputs of 0 frames, and nothing is run.

        Raises:
            InputError: an array does not fit, holds NaN or Inf, or onnxruntime refused the run; or
                0 frames were given and an output has no time axis. The state is untouched.
        """
        if self._takes_array and isinstance(inputs, np.ndarray):
            arrays: tuple[Array, ...] = (inputs,)
            chunk = self._chunks.get((inputs.shape,))
            is_known = inputs.dtype is self._dtypes[0]
        else:
            arrays = tuple(by_name(self._contract.inputs, inputs).values())
            chunk = self._chunks.get(tuple(array.shape for array in arrays))
            is_known = all(map(operator.is_, (array.dtype for array in arrays), self._dtypes))
        if chunk is None or not is_known:
            chunk = self._checked_chunk(arrays)
        if chunk is None:
            return self._nothing()
        if chunk.stage(arrays):
            self._run(chunk)
        else:
            self._push_nonfinite(chunk)
        if self._gives_array:
            return chunk.results[0].copy()
        return {
            port.name: result.copy()
            for port, result in zip(self._contract.outputs, chunk.results, strict=True)
        }

    def flush(self) -> Outputs:
        """Ends the signal: returns what the model still holds back.

        Models without delay hold back nothing, and this release runs no others: the result is
        what a push of 0 frames gives.

        Raises:
            InputError: an output has no time axis.
        """
        return self._nothing()

    def reset(self, rows: Iterable[int] | None = None) -> None:
        """Puts all rows, or some, back to the initial state, bit for bit as in a new stream.

        Args:
            rows: indices into the batch, 0 to batch - 1; None for all. Once all rows are reset,
                `frames` is 0 again.

        Raises:
            InputError: there is no such row, or a state has no batch axis and so can't be reset in
                part. The state is untouched.
        """
        picked = range(self.batch) if rows is None else check_rows(rows, self.batch)
        self._reset_rows(picked)
        if len(picked) == self.batch:
            self.frames = 0

    @property
    def state(self) -> dict[str, Array]:
        """Copies of all states, by name; read-only, because writing to them would do nothing."""
        values = self._state_now.read()
        for value in values.values():
            value.flags.writeable = False
        return values

    def set_state(self, values: Mapping[str, Array]) -> None:
        """Overwrites the states named in `values`; the others stay.

        Raises:
            InputError: a name is unknown or an array does not fit. The state is untouched.
        """
        measure_states(self._contract.states, values, {BATCH: self.batch})
        self._state_now.write(values)

    def snapshot(self) -> bytes:
        """All states and the frame count as bytes, bound to the model's file by its sha256."""
        return snapshot.pack(
            snapshot.Moment(self.model.sha256, self.batch, self.frames, self._state_now.read())
        )

    def restore(self, data: bytes) -> None:
        """Goes back to the moment of a snapshot, taken from this or another stream of the model.

        Raises:
            SnapshotError: it is damaged, or of another model or batch size. The state is untouched.
        """
        moment = snapshot.unpack(data, self.model.sha256, self.batch, self._contract.states)
        self._state_now.write(moment.states)
        self.frames = moment.frames

    def fork(self) -> Stream:
        """A second stream, independent from now on, at the same moment."""
        twin = Stream(self.model, self.batch, self.on_nonfinite)
        twin.set_state(self._state_now.read())
        twin.frames = self.frames
        return twin

    @property
    def _state_now(self) -> StateSet:
        return self._sets[self._now]

    def _run(self, chunk: Chunk) -> None:
        try:
            chunk.run[self._now]()
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise refused(error, "Stream.push") from error
        # Only now: a run that failed has written to the other set, and that one is spare.
        self._now ^= 1
        self.frames += chunk.frames

    def _push_nonfinite(self, chunk: Chunk) -> None:
        ports = self._contract.inputs
        if self.on_nonfinite == "raise":
            raise nonfinite.complaint(ports, chunk.buffers)
        before = self._state_now.read()
        self._reset_rows(nonfinite.rows_with_nonfinite(ports, chunk.buffers, self.batch))
        nonfinite.clear(chunk.buffers)
        try:
            self._run(chunk)
        except InputError:
            self._state_now.write(before)
            raise

    def _reset_rows(self, rows: Sequence[int]) -> None:
        initial = self.model.initial_state(self.batch)
        if len(rows) == self.batch:
            self._state_now.write(initial)
            return
        values = self._state_now.read()
        copy_rows(self._contract.states, initial, values, rows)
        self._state_now.write(values)

    def _nothing(self) -> Outputs:
        return self._give(empty_outputs(self._contract.outputs, {BATCH: self.batch}))

    def _give(self, outputs: dict[str, Array]) -> Outputs:
        return next(iter(outputs.values())) if self._gives_array else outputs

    def _checked_chunk(self, arrays: tuple[Array, ...]) -> Chunk | None:
        """Checks the arrays; returns their buffers, or None for 0 frames."""
        ports = self._contract.inputs
        named = {port.name: array for port, array in zip(ports, arrays, strict=True)}
        sizes = measure(ports, named, {BATCH: self.batch})
        if sizes[TIME] == 0:
            return None
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self._chunks:
            # The oldest goes first, not the least used: a lasting length that is dropped comes
            # back at the price of one binding in eight, and no push pays for the bookkeeping.
            if len(self._chunks) == _KEPT_CHUNKS:
                del self._chunks[next(iter(self._chunks))]
            self._chunks[shapes] = Chunk(
                self.model.session,
                self._contract,
                self._sets,
                shapes,
                sizes,
                check_finite=self.on_nonfinite != "ignore",
            )
        return self._chunks[shapes]
