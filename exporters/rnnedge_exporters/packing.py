"""The contract and the initial values of states that are carried as one tensor."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnnedge_exporters.optimize import Part
from rnnedge_runtime.contract import BATCH, TENSOR_KEY_PREFIX, Contract, State

Array = np.ndarray[Any, np.dtype[Any]]

_NAME = "contexts"


def packable(contract: Contract) -> dict[str, list[str]]:
    """Contexts of [batch, channels, frames] that lag alike, by the name that they get together."""
    groups: dict[int, list[str]] = {}
    for state in contract.states:
        is_row = state.batch_axis == 0 and state.batch_outer == 1 and state.shape[0] == BATCH
        if (
            state.kind == "context"
            and state.dtype == "float32"
            and is_row
            and len(state.shape) == 3
        ):
            groups.setdefault(state.delay, []).append(state.name)
    taken = {state.name for state in contract.states}
    names = {}
    for number, states in enumerate(groups.values(), 1):
        name = _NAME if number == 1 else f"{_NAME}_{number}"
        while name in taken:
            name += "_"
        names[name] = states
    return names


def pack_states(
    contract: Contract, metadata: Mapping[str, str], packed: Mapping[str, Sequence[Part]]
) -> tuple[Contract, dict[str, str]]:
    """The contract with packed states last, and the metadata with their initial values.

    Args:
        contract: with each state by itself.
        metadata: of the file, initial values among them.
        packed: the parts of each packed state.
    """
    by_name = {state.name: state for state in contract.states}
    gone = {part.state for parts in packed.values() for part in parts}
    kept, texts = [s for s in contract.states if s.name not in gone], dict(metadata)
    for name, parts in packed.items():
        states = [by_name[part.state] for part in parts]
        fills = {state.fill if state.tensor is None else None for state in states}
        values = [_rows(state, part, texts) for state, part in zip(states, parts, strict=True)]
        is_one = len(fills) == 1 and None not in fills
        if not is_one:
            whole = np.concatenate(values).astype("<f4").tobytes()
            texts[TENSOR_KEY_PREFIX + name] = base64.b64encode(whole).decode("ascii")
        kept.append(
            State(
                name=name,
                input=name,
                output=f"{name}.next",
                dtype="float32",
                shape=(BATCH, sum(part.size for part in parts)),
                batch_axis=0,
                kind="context",
                fill=states[0].fill if is_one else 0.0,
                tensor=None if is_one else TENSOR_KEY_PREFIX + name,
                delay=states[0].delay,
            )
        )
        for state in states:
            texts.pop(str(state.tensor), None)
    return replace(contract, states=tuple(kept)), texts


def _rows(state: State, part: Part, metadata: Mapping[str, str]) -> Array:
    """The initial value of one part: its oldest frame first."""
    if state.tensor is None:
        return np.full(part.size, state.fill, np.float32)
    data = base64.b64decode(metadata[state.tensor])
    held = np.frombuffer(data, "<f4").reshape(part.channels, part.frames)
    return held.T.reshape(-1)


def apart(values: Mapping[str, Array], packed: Mapping[str, Sequence[Part]]) -> dict[str, Array]:
    """State values by the names of the states that packed ones are made of."""
    found = {name: value for name, value in values.items() if name not in packed}
    for name, parts in packed.items():
        start = 0
        for part in parts:
            rows = values[name][:, start : start + part.size]
            frames_first = rows.reshape(-1, part.frames, part.channels)
            found[part.state] = np.ascontiguousarray(frames_first.transpose(0, 2, 1))
            start += part.size
    return found


def together(values: Mapping[str, Array], packed: Mapping[str, Sequence[Part]]) -> dict[str, Array]:
    """The opposite of `apart`."""
    gone = {part.state for parts in packed.values() for part in parts}
    found = {name: value for name, value in values.items() if name not in gone}
    for name, parts in packed.items():
        rows = [values[part.state].transpose(0, 2, 1) for part in parts]
        found[name] = np.concatenate([row.reshape(len(row), -1) for row in rows], axis=1)
    return found
