"""Chunk: the bound buffers for one chunk length, and the two runs that use them in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
import onnxruntime as ort

from rnnedge_runtime.arrays import Array, Sizes, refused, shape_of
from rnnedge_runtime.bindings import Run, bound_run
from rnnedge_runtime.contract import TIME, Contract
from rnnedge_runtime.providers import Memory
from rnnedge_runtime.states import StateSet

_PROBE = 2.0**-20
"""Scales the sum of a chunk so that no finite chunk of ordinary length overflows in it."""


class Turn:
    """Which of a stream's two sets of states holds the present one: `now` is 0 or 1."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


class Chunk:
    """Buffers for pushes of one shape. Nothing is allocated in a push but its result.

    Where the session reads its inputs from a device, they are copied there before every run; states
    are there already, and of what a run gives the outputs alone come back (`Memory`).

    Attributes:
        frames: the frames of one push.
        buffers: one staging array per input, in the contract's order, bound to both runs.
        results: one array per output, in the contract's order, overwritten by every run.
        result: the first of them.
        quick: for a model with one input, all that a push needs, in one tuple, which is quicker
            taken apart than attributes are read: the staging array; what gives a finite number if
            that is free of NaN and Inf; the two runs; whose turn it is; and what copies `result`.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        contract: Contract,
        sets: tuple[StateSet, StateSet],
        turn: Turn,
        shapes: Sequence[tuple[int, ...]],
        sizes: Sizes,
        *,
        check_finite: bool,
        memory: Memory,
    ) -> None:
        self._memory = memory
        self.frames = sizes[TIME]
        self.buffers = tuple(
            np.zeros(shape, port.dtype) for port, shape in zip(contract.inputs, shapes, strict=True)
        )
        self.results = tuple(
            np.zeros(shape_of(port, sizes), port.dtype) for port in contract.outputs
        )
        self.result = self.results[0]
        self._staging = tuple(
            (buffer, buffer.reshape(-1), _probe(buffer) if check_finite else None)
            for buffer in self.buffers
        )
        self._turn = turn
        # One run reads states from the first set and writes the second, the other goes the other
        # way round. So no state is input and output of the same run, and a run that fails leaves
        # the states it read from as they were.
        self._runs = (
            self._bind(session, contract, sets[0], sets[1]),
            self._bind(session, contract, sets[1], sets[0]),
        )
        buffer, flat, probe = self._staging[0]
        # One dot product costs a third of np.isfinite(x).all(); float() is 0, and looks at nothing.
        check: Callable[[], Any] = float if probe is None else partial(flat.dot, probe)
        self.quick = (buffer, check, self._runs, turn, self.result.copy)

    def run(self) -> None:
        """Runs what was staged, and takes the states that come out for the present ones.

        Raises:
            InputError: onnxruntime refused it. The states are untouched.
        """
        turn = self._turn
        try:
            self._runs[turn.now]()
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise refused(error, "Stream.push") from error
        # Only now: a run that failed has written to the other set, and that one is spare.
        turn.now ^= 1

    def step(self, array: Array) -> bool:
        """`stage` and `run` for a model with one input, in as few steps of Python as can be.

        Returns:
            Whether it ran; not, and nothing has happened, if there may be NaN or Inf.
        """
        buffer, check, runs, turn, _ = self.quick
        buffer[...] = array
        try:
            if not isfinite(check()):
                return False
        except (RuntimeWarning, FloatingPointError):  # numpy's word, where it is made an error
            return False
        try:
            runs[turn.now]()
        except Exception as error:  # as in `run`, whose call would cost a tenth of all this
            raise refused(error, "Stream.push") from error
        turn.now ^= 1
        return True

    def has_types_of(self, arrays: Sequence[Array]) -> bool:
        """Whether the arrays, one per input, have the element types of the buffers."""
        return all(a.dtype is b.dtype for a, b in zip(arrays, self.buffers, strict=True))

    def stage(self, arrays: Sequence[Array]) -> bool:
        """Copies one push's inputs, which must fit already, into the bound buffers.

        Returns:
            Whether they are free of NaN and Inf. One dot product per input costs a third of
            ``np.isfinite(x).all()``, and a sum that is finite proves its terms finite. One that
            is not proves nothing, as very many huge numbers overflow: then look at each. True
            without a look when `check_finite` is off.
        """
        is_finite = True
        for array, (buffer, flat, probe) in zip(arrays, self._staging):  # noqa: B905 - slower
            buffer[...] = array
            if probe is None:
                continue
            try:
                if isfinite(flat.dot(probe)):
                    continue
            except (RuntimeWarning, FloatingPointError):
                pass  # numpy's word on Inf - Inf, for a caller who has made it an error
            is_finite = is_finite and bool(np.isfinite(flat).all())
        return is_finite

    def _bind(
        self,
        session: ort.InferenceSession,
        contract: Contract,
        source: StateSet,
        target: StateSet,
    ) -> Run:
        inputs: dict[str, Array | ort.OrtValue] = {}
        outputs: dict[str, Array | ort.OrtValue] = {}
        for port, buffer in zip(contract.inputs, self.buffers, strict=True):
            inputs[port.name] = buffer
        for port, result in zip(contract.outputs, self.results, strict=True):
            outputs[port.name] = result
        for state in contract.states:
            inputs[state.input] = source.tensors[state.name]
            outputs[state.output] = target.tensors[state.name]
        return bound_run(session, inputs, outputs, memory=self._memory)


def _probe(buffer: Array) -> Array | None:
    """What to multiply a float buffer with; None for other types, which hold no NaN or Inf."""
    return np.full(buffer.size, _PROBE, buffer.dtype) if buffer.dtype.kind == "f" else None
