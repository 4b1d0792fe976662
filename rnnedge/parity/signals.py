"""Random inputs, initial states and chunk lengths, all from one seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from rnnedge.parity.measure import Array
from rnnedge_runtime import Contract, Port, State
from rnnedge_runtime.contract import BATCH, TIME, Dim, dim_factor

_MOST_CHUNKS = 500
"""Beyond that, chunks are longer."""


class Signals:
    """Makes what a model of this contract is fed with."""

    def __init__(
        self,
        contract: Contract,
        *,
        seed: int,
        index_bound: int,
        lengths: Collection[str] = (),
    ) -> None:
        """`lengths` names the inputs that say how many frames of each row count."""
        self._contract = contract
        self._lengths = lengths
        self._random = np.random.default_rng(seed)
        self._index_bound = index_bound

    def inputs(self, batch: int, frames: int) -> dict[str, Array]:
        """Arrays by name: floats of unit variance, integers below the smallest table's size."""
        return {port.name: self._input(port, batch, frames) for port in self._contract.inputs}

    def states(self, batch: int) -> dict[str, Array]:
        """Random initial states by name, uniform between -1 and 1, as bounded cells have them."""
        return {state.name: self._state(state, batch) for state in self._contract.states}

    def chunks(self, frames: int, around: int = 4) -> list[int]:
        """Lengths that add up to `frames`, about `around` in the mean; some may be zero."""
        count = min(max(2, frames // around), _MOST_CHUNKS)
        cuts = np.sort(self._random.integers(0, frames + 1, size=count))
        return [int(n) for n in np.diff(np.concatenate([[0], cuts, [frames]]))]

    def _input(self, port: Port, batch: int, frames: int) -> Array:
        shape = _resolve(port.shape, batch, frames)
        if port.name in self._lengths:
            # From the longest on, as packing wants it where it does not sort by itself.
            return -np.sort(-self._random.integers(1, frames + 1, shape)).astype(port.dtype)
        if port.dtype == "bool":
            return self._random.integers(0, 2, shape).astype(bool)
        if np.issubdtype(port.dtype, np.integer):
            return self._random.integers(0, self._index_bound, shape).astype(port.dtype)
        return self._random.standard_normal(shape).astype(port.dtype)

    def _state(self, state: State, batch: int) -> Array:
        shape = _resolve(state.shape, batch, 1)
        return self._random.uniform(-1, 1, shape).astype(state.dtype)


def _resolve(shape: tuple[Dim, ...], batch: int, frames: int) -> list[int]:
    return [
        dim
        if isinstance(dim, int)
        else batch * dim_factor(dim, BATCH) + frames * dim_factor(dim, TIME)
        for dim in shape
    ]


def cut(
    inputs: Mapping[str, Array], contract: Contract, lengths: list[int]
) -> list[dict[str, Array]]:
    """Divides inputs along time; one without an axis of time is given whole with every chunk."""
    ends = np.cumsum(lengths)
    chunks = []
    for end, length in zip(ends, lengths, strict=True):
        chunk = {}
        for port in contract.inputs:
            array = inputs[port.name]
            if port.time_axis is not None:
                entries = dim_factor(port.shape[port.time_axis], TIME)
                span = slice((end - length) * entries, end * entries)
                array = array[(*(slice(None),) * port.time_axis, span)]
            chunk[port.name] = array
        chunks.append(chunk)
    return chunks
