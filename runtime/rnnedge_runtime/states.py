"""State tensors: their initial values, their rows, and one set of them on a device."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnedge_runtime.arrays import Array, Sizes, measure, shape_of
from rnnedge_runtime.contract import BATCH, Contract, State, dim_factor
from rnnedge_runtime.errors import ContractError, InputError, ProviderError
from rnnedge_runtime.providers import Memory, about


def measure_states(states: Sequence[State], given: Mapping[str, Array], sizes: Sizes) -> Sizes:
    """Checks given states against the contract; returns `sizes` and the batch, if it is found.

    Raises:
        InputError: a name is unknown, or an array does not fit.
    """
    known = [state.name for state in states]
    unknown = [str(name) for name in given if name not in known]
    if unknown:
        raise InputError(
            f"unknown states: {', '.join(unknown)}",
            where="states",
            fix=f"the model's states are: {', '.join(known) or 'none'}",
        )
    return measure([state for state in states if state.name in given], given, sizes)


def check_integers(states: Sequence[State], provider: str) -> None:
    """Refuses states that a provider would cut off: what it then gives is another function.

    Raises:
        ProviderError: the provider computes in fewer bits than an initial value takes.
    """
    for state in states if about(provider).narrow_integers else ():
        if np.dtype(state.dtype).kind in "iu" and abs(state.fill) >= 2**31:
            raise ProviderError(
                f"{provider} computes 64-bit integers in 32 bits, which do not hold this state's "
                f"initial value {state.fill:.0f}",
                where=f"state {state.name!r}, of kind {state.kind!r}",
                fix="use provider='cpu'; a network that looks at no later frames has no such state",
            )


class InitialValues:
    """What every state holds before the first frame, for any batch size."""

    def __init__(self, contract: Contract, metadata: Mapping[str, str]) -> None:
        """Decodes every stored initial value.

        Raises:
            ContractError: a stored tensor is missing or damaged.
        """
        self._states = contract.states
        self._stored = {
            state.name: _stored(state, metadata)
            for state in contract.states
            if state.tensor is not None
        }

    def __call__(self, batch: int) -> dict[str, Array]:
        """New arrays, by state name, for `batch` rows."""
        values = {}
        for state in self._states:
            value = np.empty(shape_of(state, {BATCH: batch}), state.dtype)
            if state.name in self._stored:
                # One row's value, spread over all rows: size 1 broadcasts along the batch.
                rows_of(state, value)[...] = rows_of(state, self._stored[state.name])
            else:
                value[...] = state.fill
            values[state.name] = value
        return values


def rows_of(state: State, array: Array) -> Array:
    """A view in which the rows of the batch have an axis of their own.

    Args:
        state: the state that `array` belongs to.
        array: contiguous, of the state's shape for some batch size.

    Returns:
        ``[..., batch_outer, batch, inner, ...]``, the three in place of the (folded) batch axis;
        `array` itself for a state without a batch axis.
    """
    axis = state.batch_axis
    if axis is None:
        return array
    inner = dim_factor(state.shape[axis], BATCH) // state.batch_outer
    batch = array.shape[axis] // (state.batch_outer * inner)
    split = (state.batch_outer, batch, inner)
    return array.reshape(array.shape[:axis] + split + array.shape[axis + 1 :])


def row_index(state: State, rows: Sequence[int]) -> tuple[Any, ...]:
    """Selects `rows` in what `rows_of` returns."""
    assert state.batch_axis is not None  # noqa: S101 - callers ask `can_pick_rows` first
    return (*(slice(None),) * (state.batch_axis + 1), list(rows))


def copy_rows(
    states: Sequence[State],
    source: Mapping[str, Array],
    target: Mapping[str, Array],
    rows: Sequence[int],
) -> None:
    """Copies some rows of every state from `source` to `target`, in place.

    Raises:
        InputError: a state has no batch axis, so that its rows cannot be told apart.
    """
    for state in states:
        if state.batch_axis is None:
            raise InputError(
                "this state has no batch axis, so that rows cannot be reset one by one",
                where=f"state {state.name!r}",
                fix="reset all rows: reset()",
            )
    for state in states:
        picked = row_index(state, rows)
        rows_of(state, target[state.name])[picked] = rows_of(state, source[state.name])[picked]


class StateSet:
    """One tensor per state where the session reads it, bound to runs as input or as output."""

    def __init__(self, states: Sequence[State], batch: int, memory: Memory) -> None:
        self.tensors = {
            state.name: memory.new(state.input, shape_of(state, {BATCH: batch}), state.dtype)
            for state in states
        }

    def read(self) -> dict[str, Array]:
        """Copies in host memory, by state name."""
        return {name: np.array(tensor.numpy()) for name, tensor in self.tensors.items()}

    def write(self, values: Mapping[str, Array]) -> None:
        """Overwrites the states named in `values`, which must fit already."""
        for name, value in values.items():
            self.tensors[name].update_inplace(value)


def _stored(state: State, metadata: Mapping[str, str]) -> Array:
    assert state.tensor is not None  # noqa: S101 - asked by the caller
    shape = shape_of(state, {BATCH: 1})
    dtype = np.dtype(state.dtype).newbyteorder("<")
    expected = math.prod(shape) * dtype.itemsize
    text = metadata.get(state.tensor)
    if text is None:
        raise _bad_tensor(state, "is missing from the file")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_tensor(state, f"is not base64 ({error})") from error
    if len(data) != expected:
        raise _bad_tensor(
            state, f"has {len(data)} bytes; {list(shape)} {state.dtype} takes {expected}"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(state.dtype)


def _bad_tensor(state: State, problem: str) -> ContractError:
    return ContractError(
        f"the stored initial value {problem}",
        where=f"state {state.name!r}, metadata {state.tensor!r}",
        fix="export the model again; if the file was edited, restore the original",
    )
