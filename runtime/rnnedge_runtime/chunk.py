"""Chunk: the bound buffers for one chunk length, and the two runs that use them in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
import onnxruntime as ort

from rnnedge_runtime.arrays import Array, Sizes, shape_of
from rnnedge_runtime.contract import TIME, Contract
from rnnedge_runtime.providers import Memory
from rnnedge_runtime.states import StateSet

_PROBE = 2.0**-20
"""Scales the sum of a chunk so that no finite chunk of ordinary length overflows in it."""


class Chunk:
    """Buffers for pushes of one shape. Nothing is allocated in a push but its result.

    Where the session reads its inputs from a device, they are copied there before every run; states
    are there already, and of what a run gives the outputs alone come back (`Memory`).

    Attributes:
        frames: the frames of one push.
        buffers: one staging array per input, in the contract's order, bound to both runs.
        results: one array per output, in the contract's order, overwritten by every run.
        run: the two runs: ``run[0]()`` reads states from the first set and writes the second,
            ``run[1]()`` the other way round. So no state is input and output of the same run, and
            a run that fails leaves the states it read from as they were.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        contract: Contract,
        sets: tuple[StateSet, StateSet],
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
        self._staging = tuple(
            (buffer, buffer.reshape(-1), _probe(buffer) if check_finite else None)
            for buffer in self.buffers
        )
        self.run = (
            self._bind(session, contract, sets[0], sets[1]),
            self._bind(session, contract, sets[1], sets[0]),
        )

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
    ) -> Callable[[], Any]:
        binding = session.io_binding()

        before = [
            self._memory.bind_array(binding, port.name, buffer)
            for port, buffer in zip(contract.inputs, self.buffers, strict=True)
        ] + [
            self._memory.bind_tensor(binding, state.input, source.tensors[state.name])
            for state in contract.states
        ]
        for port, result in zip(contract.outputs, self.results, strict=True):
            _bind_host_output(binding, port.name, result)
        for state in contract.states:
            binding.bind_ortvalue_output(state.output, target.tensors[state.name])
        run = _direct_call(session, binding)
        needed = [step for step in before if step is not None]
        return _after(needed, run) if needed else run


def _probe(buffer: Array) -> Array | None:
    """What to multiply a float buffer with; None for other types, which hold no NaN or Inf."""
    return np.full(buffer.size, _PROBE, buffer.dtype) if buffer.dtype.kind == "f" else None


def _bind_host_output(binding: ort.IOBinding, name: str, array: Array) -> None:
    binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)


def _after(steps: Sequence[Callable[[], Any]], then: Callable[[], Any]) -> Callable[[], Any]:
    def all_of_them() -> Any:
        for step in steps:
            step()
        return then()

    return all_of_them


def _direct_call(session: ort.InferenceSession, binding: ort.IOBinding) -> Callable[[], Any]:
    """``session.run_with_iobinding(binding)``, without its Python wrapper where that is known.

    The wrapper only looks after graph capture on WebGPU, and costs 0.3 µs in every push.
    """
    inner = getattr(session, "_sess", None)
    bound = getattr(binding, "_iobinding", None)
    if inner is None or bound is None or not hasattr(inner, "run_with_iobinding"):
        return partial(session.run_with_iobinding, binding)
    return partial(inner.run_with_iobinding, bound, None)
