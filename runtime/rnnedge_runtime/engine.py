"""Engine: a stream's state tensors and bound buffers, and the runs that move them on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rnnedge_runtime.arrays import Array, Sizes, shape_of
from rnnedge_runtime.chunk import Chunk, Turn
from rnnedge_runtime.contract import BATCH, TIME
from rnnedge_runtime.states import StateSet, copy_rows

if TYPE_CHECKING:
    from rnnedge_runtime.model import Model

Shape: TypeAlias = tuple[int, ...]
_KEPT_CHUNKS = 8
"""Chunk lengths whose buffers are kept; a stream that uses more binds anew now and then."""


class Engine:
    """Two sets of states used in turn, and buffers for the chunk lengths in use.

    Attributes:
        chunks: buffers by the shape of the input, or by the shapes of several.
        last: what ran last; None at the start.
    """

    def __init__(self, model: Model, batch: int, *, check_finite: bool) -> None:
        contract = model.contract
        self._model = model
        self._contract = contract
        self._batch = batch
        self._check_finite = check_finite
        self._sets = (
            StateSet(contract.states, batch, model.memory),
            StateSet(contract.states, batch, model.memory),
        )
        self._turn = Turn()
        self.chunks: dict[Shape | tuple[Shape, ...], Chunk] = {}
        self.last: Chunk | None = None
        self.state.write(model.initial_state(batch))

    @property
    def state(self) -> StateSet:
        """The present state."""
        return self._sets[self._turn.now]

    @property
    def last_inputs(self) -> tuple[Array, ...]:
        """What the last run was given, one array per input; none before the first."""
        return () if self.last is None else self.last.buffers

    def chunk(self, arrays: Sequence[Array], sizes: Sizes) -> Chunk:
        """The buffers for arrays that fit the contract."""
        shapes = tuple(array.shape for array in arrays)
        key = shapes[0] if len(shapes) == 1 else shapes
        if key not in self.chunks:
            # The oldest goes first, not the least used: a lasting length that is dropped comes
            # back at the price of one binding in eight, and no push pays for the bookkeeping.
            if len(self.chunks) == _KEPT_CHUNKS:
                del self.chunks[next(iter(self.chunks))]
            self.chunks[key] = Chunk(
                self._model.session,
                self._contract,
                self._sets,
                self._turn,
                shapes,
                sizes,
                check_finite=self._check_finite,
                memory=self._model.memory,
            )
        return self.chunks[key]

    def run(self, chunk: Chunk) -> None:
        """`Chunk.run`, and remembers it as the last."""
        chunk.run()
        self.last = chunk

    def reset_rows(self, rows: Sequence[int]) -> None:
        """Puts rows back to the initial state.

        Raises:
            InputError: they are not all, and a state has no batch axis. The state is untouched.
        """
        initial = self._model.initial_state(self._batch)
        if len(rows) == self._batch:
            self.state.write(initial)
            return
        values = self.state.read()
        copy_rows(self._contract.states, initial, values, rows)
        self.state.write(values)

    def results(self, chunk: Chunk) -> dict[str, Array]:
        """Copies of a chunk's outputs, by name."""
        return {
            port.name: result.copy()
            for port, result in zip(self._contract.outputs, chunk.results, strict=True)
        }

    def unchanged(self) -> dict[str, Array]:
        """No frames, as nothing was run; of outputs without a time axis the last value, or 0."""
        sizes = {BATCH: self._batch, TIME: 0}
        outputs = {}
        for index, port in enumerate(self._contract.outputs):
            if port.time_axis is None and self.last is not None:
                outputs[port.name] = self.last.results[index].copy()
            else:
                outputs[port.name] = np.zeros(shape_of(port, sizes), port.dtype)
        return outputs
