"""Do the arrays fit the ports? Names, element types, ranks and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rnnedge_runtime.contract import BATCH, TIME, Port, State
from rnnedge_runtime.dims import split_dim
from rnnedge_runtime.errors import InputError

Array: TypeAlias = npt.NDArray[Any]
Inputs: TypeAlias = Array | Mapping[str, Array]
Sizes: TypeAlias = dict[str, int]
"""What each symbol stands for in one run: ``{"batch": 2, "time": 100}``."""


def by_name(ports: Sequence[Port], inputs: Inputs) -> dict[str, Array]:
    """Gives every input its name, in the contract's order.

    Raises:
        InputError: a name is missing or unknown, or a bare array was given for several inputs.
    """
    names = [port.name for port in ports]
    if not isinstance(inputs, Mapping):
        if len(ports) != 1:
            raise InputError(
                f"one {type(inputs).__name__} given, but the model has {len(ports)} inputs",
                where=f"inputs {', '.join(names)}",
                fix="give a dict of arrays by name",
            )
        inputs = {names[0]: inputs}
    if set(inputs) != set(names):
        missing = [name for name in names if name not in inputs]
        unknown = sorted(str(name) for name in inputs if name not in names)
        raise InputError(
            f"inputs missing: {', '.join(missing) or 'none'}; unknown: "
            f"{', '.join(unknown) or 'none'}",
            where="inputs",
            fix=f"give exactly {', '.join(names)}",
        )
    for port in ports:
        if not isinstance(inputs[port.name], np.ndarray):
            raise InputError(
                f"a numpy array is expected, got {type(inputs[port.name]).__name__}",
                where=f"{port.name!r} {shape_text(port)}",
                fix=f"np.asarray(..., dtype=np.{port.dtype})",
            )
    return {name: inputs[name] for name in names}


def measure(tensors: Sequence[Port | State], arrays: Mapping[str, Array], sizes: Sizes) -> Sizes:
    """Checks arrays against the contract and finds what each symbol stands for.

    Args:
        tensors: ports or states.
        arrays: one array for each of them, by name.
        sizes: symbols that are known beforehand.

    Returns:
        `sizes` and every symbol met; ``time`` is the number of frames.

    Raises:
        InputError: an element type, a rank or a size does not fit.
    """
    found = dict(sizes)
    for tensor in tensors:
        array = arrays[tensor.name]
        _check_type(tensor, array)
        for axis, dim in enumerate(tensor.shape):
            _check_size(tensor, array, axis, dim, found)
    return found


def _check_type(tensor: Port | State, array: object) -> None:
    if not isinstance(array, np.ndarray):
        raise InputError(
            f"a numpy array is expected, got {type(array).__name__}",
            where=f"{tensor.name!r} {shape_text(tensor)}",
            fix=f"np.asarray(..., dtype=np.{tensor.dtype})",
        )
    if array.dtype != tensor.dtype:
        raise InputError(
            f"element type {tensor.dtype} is expected, got {array.dtype}",
            where=f"{tensor.name!r} {shape_text(tensor)}",
            fix=f"array.astype(np.{tensor.dtype})",
        )
    if array.ndim != len(tensor.shape):
        raise InputError(
            f"{len(tensor.shape)} axes are expected, got {array.ndim}, shape {list(array.shape)}",
            where=f"{tensor.name!r} {shape_text(tensor)}",
            fix="add or drop axes; a single stream still has its batch axis, of size 1",
        )


def _check_size(
    tensor: Port | State, array: Array, axis: int, dim: int | str, found: Sizes
) -> None:
    size = array.shape[axis]
    if isinstance(dim, int):
        expected, symbol, factor = dim, "", 1
    else:
        factor, symbol = split_dim(dim)
        if symbol not in found and size % factor == 0 and (size or symbol == TIME):
            found[symbol] = size // factor
        expected = found.get(symbol, -1) * factor
    if size != expected:
        raise _wrong_size(tensor, array, axis, expected, symbol, factor)


def _wrong_size(
    tensor: Port | State, array: Array, axis: int, expected: int, symbol: str, factor: int
) -> InputError:
    wanted = str(expected)
    if expected < 0:
        wanted = f"a whole multiple of {factor}, at least {factor}" if symbol else wanted
        if symbol == TIME:
            wanted = f"a whole multiple of {factor}"
    fix = {
        BATCH: f"a stream has as many rows as it was opened with: stream(batch=...), "
        f"{factor} along this axis for each row",
        TIME: "every input with a time axis needs the same number of frames in one push",
    }.get(symbol, "give the size that the contract names")
    return InputError(
        f"axis {axis}{f' ({symbol})' if symbol else ''} must be {wanted}, got "
        f"{array.shape[axis]}, shape {list(array.shape)}",
        where=f"{tensor.name!r} {shape_text(tensor)}",
        fix=fix,
    )


def shape_of(tensor: Port | State, sizes: Sizes) -> tuple[int, ...]:
    """The shape in numbers; an output's frames follow its ratio.

    Raises:
        KeyError: a symbol is not in `sizes`.
    """
    shape = []
    for dim in tensor.shape:
        if isinstance(dim, int):
            shape.append(dim)
            continue
        factor, symbol = split_dim(dim)
        size = factor * sizes[symbol]
        if symbol == TIME and isinstance(tensor, Port):
            size = int(size * tensor.ratio)
        shape.append(size)
    return tuple(shape)


def shape_text(tensor: Port | State) -> str:
    """The shape as the contract names it: ``[batch, time, 80]``."""
    return f"[{', '.join(str(dim) for dim in tensor.shape)}]"


def empty_outputs(ports: Sequence[Port], sizes: Sizes) -> dict[str, Array]:
    """The outputs of 0 frames, by name.

    Raises:
        InputError: an output has no time axis, so that 0 frames give it no value.
    """
    for port in ports:
        if port.time_axis is None:
            raise InputError(
                "0 frames given: an output without a time axis is the value after the last frame, "
                "and there is none",
                where=f"output {port.name!r} {shape_text(port)}",
                fix="give at least one frame, or do not call",
            )
    frames = sizes | {TIME: 0}
    return {port.name: np.empty(shape_of(port, frames), port.dtype) for port in ports}


def refused(error: Exception, where: str) -> InputError:
    """What to raise when onnxruntime fails inside a run, for example on an index out of range."""
    return InputError(
        f"onnxruntime refused the run: {' '.join(str(error).split())}",
        where=where,
        fix="check the values of the inputs, above all indices and lengths",
    )


def joined_outputs(ports: Sequence[Port], runs: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Outputs of runs in a row as one; of those without a time axis the last."""
    return {
        port.name: runs[-1][port.name]
        if port.time_axis is None
        else np.concatenate([run[port.name] for run in runs], axis=port.time_axis)
        for port in ports
    }
