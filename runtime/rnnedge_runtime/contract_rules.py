"""The rules that tie a contract's fields to each other; types are checked while reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnedge_runtime.dims import BATCH, MAX_SIZE, TIME, Dim, dim_factor, is_dim, split_dim
from rnnedge_runtime.errors import ContractError

if TYPE_CHECKING:
    from rnnedge_runtime.contract import Contract, Port, Signal, State

METADATA_KEY = "rnnedge.contract"
TENSOR_KEY_PREFIX = "rnnedge.tensor."
CLOCKS_KEY = "rnnedge.clocks"
"""How each tensor runs with time, for who reads the file; no runtime needs it."""
MODES = ("stream", "sequence")
KINDS = ("hidden", "cell", "context", "buffer", "user", "position", "length")
COUNTS = ("position", "length")
"""Kinds of states that hold numbers of frames, one per row."""
DTYPES = (
    "bool",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)


def damaged(what: str, where: str) -> ContractError:
    """The error for a contract that breaks a rule."""
    return ContractError(
        f"the contract is damaged: {what}",
        where=f"metadata {METADATA_KEY!r}, {where}",
        fix="export the model again; if the file was edited, restore the original",
    )


def check(contract: Contract) -> None:
    """Raises ContractError where the contract contradicts itself."""
    if contract.mode not in MODES:
        raise damaged(f"{contract.mode!r} is not one of {MODES}", "field 'mode'")
    if not contract.inputs or not contract.outputs:
        raise damaged("at least one input and one output are needed", "'inputs', 'outputs'")
    _check_tensors(contract)
    if contract.mode == "sequence" and contract.states:
        raise damaged("a sequence model carries no states", "'states'")
    if contract.mode == "stream" and all(port.time_axis is None for port in contract.inputs):
        raise damaged("a stream needs an input with a time axis", "'inputs'")
    states = contract.states
    _check_names([p.name for p in contract.inputs] + [s.input for s in states], "inputs")
    _check_names([p.name for p in contract.outputs] + [s.output for s in states], "outputs")
    _check_names([s.name for s in states], "states")
    if contract.signal is not None:
        _check_signal(contract.signal)
    _check_most(contract)


def _check_tensors(contract: Contract) -> None:
    for port in contract.inputs:
        _check_input(port)
    if not 1 <= contract.chunk_multiple <= MAX_SIZE:
        raise damaged(f"chunk_multiple is {contract.chunk_multiple}", "field 'chunk_multiple'")
    for port in contract.outputs:
        _check_output(port)
        if contract.mode == "stream":
            _check_whole_frames(port, contract.chunk_multiple)
    for state in contract.states:
        _check_state(state)


def _check_most(contract: Contract) -> None:
    most, multiple = contract.chunk_most, contract.chunk_multiple
    if most is None:
        return
    if contract.mode != "stream":
        raise damaged("a sequence model runs whole sequences", "field 'chunk_most'")
    if not 1 <= most <= MAX_SIZE or most % multiple:
        raise damaged(f"{most} is no multiple of chunk_multiple {multiple}", "field 'chunk_most'")


def _check_names(names: list[str], where: str) -> None:
    if "" in names:
        raise damaged("a name is empty", f"'{where}'")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise damaged(f"names used twice: {', '.join(twice)}", f"'{where}'")


def _check_input(port: Port) -> None:
    where = f"input {port.name!r}"
    _check_port(port, where)
    if port.ratio != 1 or port.delay != 0 or port.length:
        raise damaged("only outputs have a ratio, a delay and a length", where)


def _check_output(port: Port) -> None:
    where = f"output {port.name!r}"
    _check_port(port, where)
    if port.ratio <= 0:
        raise damaged(f"ratio {port.ratio} is not above 0", where)
    if port.delay < 0:
        raise damaged(f"delay {port.delay} is below 0: an output cannot be ahead", where)
    for mul, add, div in port.length:
        if not (1 <= mul <= MAX_SIZE and abs(add) <= MAX_SIZE and 1 <= div <= MAX_SIZE):
            raise damaged(f"[{mul}, {add}, {div}] is no step of a length", where)


def _check_whole_frames(port: Port, multiple: int) -> None:
    """A run of `multiple` frames must not end inside an output frame."""
    if port.time_axis is not None and (port.ratio * multiple).denominator != 1:
        raise damaged(
            f"runs of {multiple} frames give {port.ratio * multiple} frames, not a whole number",
            f"output {port.name!r}, 'ratio'",
        )


def _check_port(port: Port, where: str) -> None:
    _check_tensor(port.dtype, port.shape, where)
    _check_axis(BATCH, port.batch_axis, port.shape, where)
    _check_axis(TIME, port.time_axis, port.shape, where)


def _check_state(state: State) -> None:
    where = f"state {state.name!r}"
    _check_tensor(state.dtype, state.shape, where)
    _check_axis(BATCH, state.batch_axis, state.shape, where)
    if state.kind not in KINDS:
        raise damaged(f"{state.kind!r} is not one of {KINDS}", where)
    for dim in state.shape:
        if isinstance(dim, str) and split_dim(dim)[1] != BATCH:
            raise damaged(f"a state cannot grow with {dim!r}, only with the batch", where)
    factor = 1 if state.batch_axis is None else dim_factor(state.shape[state.batch_axis], BATCH)
    if state.batch_outer < 1 or factor % state.batch_outer:
        raise damaged(f"batch_outer {state.batch_outer} does not divide {factor}", where)
    if state.tensor is not None and not state.tensor.startswith(TENSOR_KEY_PREFIX):
        raise damaged(f"key {state.tensor!r} does not begin with {TENSOR_KEY_PREFIX!r}", where)
    if state.delay < 0:
        raise damaged(f"delay {state.delay} is below 0: a state cannot be ahead", where)
    if state.kind in COUNTS:
        _check_count(state, where)
    _check_fill(state, where)


def _check_count(state: State, where: str) -> None:
    """One number per row, or one for all rows."""
    if state.dtype != "int64" or any(dim not in (1, BATCH) for dim in state.shape):
        raise damaged(
            f"a {state.kind} is int64, one number per row, not {state.dtype}{list(state.shape)}",
            where,
        )


def _check_fill(state: State, where: str) -> None:
    """A fill must be what the element type can hold: never rounded, never wrapped."""
    if not math.isfinite(state.fill):
        raise damaged(f"fill {state.fill} is not finite; store a tensor for that", where)
    if state.dtype == "bool":
        low, high = 0.0, 1.0
    elif state.dtype.startswith("float"):
        low, high = float(np.finfo(state.dtype).min), float(np.finfo(state.dtype).max)
    else:
        low, high = float(np.iinfo(state.dtype).min), float(np.iinfo(state.dtype).max)
    whole = state.dtype.startswith("float") or state.fill == int(state.fill)
    if not whole or not low <= state.fill <= high:
        raise damaged(f"fill {state.fill} is not a {state.dtype}", where)


def _check_tensor(dtype: str, shape: Sequence[Dim], where: str) -> None:
    if dtype not in DTYPES:
        raise damaged(f"unknown element type {dtype!r}", where)
    for dim in shape:
        if not is_dim(dim):
            raise damaged(f"{dim!r} is neither a size nor a symbol", f"{where}, 'shape'")


def _check_axis(symbol: str, axis: int | None, shape: Sequence[Dim], where: str) -> None:
    places = [i for i, dim in enumerate(shape) if dim_factor(dim, symbol)]
    if places != ([] if axis is None else [axis]):
        raise damaged(
            f"{symbol}_axis is {axis}, but the shape {list(shape)} names {symbol!r} at "
            f"{places or 'no axis'}",
            where,
        )


def _check_signal(signal: Signal) -> None:
    for name, value in vars(signal).items():
        if value < 1:
            raise damaged(f"{name} is {value}, below 1", "'signal'")
