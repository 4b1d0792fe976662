"""Targets: the caller's own arrays that outputs are written into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from rnnedge_runtime.arrays import Array, Inputs, Sizes, shape_of, shape_text
from rnnedge_runtime.contract import Port
from rnnedge_runtime.errors import InputError


def is_target(out: Any, result: Array) -> TypeGuard[Array]:
    """Whether `out` is an array that takes `result` as it is."""
    return (
        out.__class__ is np.ndarray
        and out.shape == result.shape
        and out.dtype is result.dtype
        and out.flags.writeable
    )


def check_targets(ports: Sequence[Port], out: Inputs, sizes: Sizes) -> dict[str, Array]:
    """The arrays to write each output into, by name.

    Args:
        ports: the outputs.
        out: the array if there is one, else arrays by name.
        sizes: what the symbols stand for; ``time`` is the number of frames that will be run.

    Raises:
        InputError: a name is missing or unknown, or an array is not of the output's type and shape.
    """
    names = [port.name for port in ports]
    if not isinstance(out, Mapping):
        out = {names[0]: out} if len(names) == 1 else {}
    if set(out) != set(names):
        raise InputError(
            f"arrays are needed for the outputs {', '.join(names)}; given: "
            f"{', '.join(map(str, out)) or 'none by name'}",
            where="push_into(..., out)",
            fix="give a dict with one array per output",
        )
    for port in ports:
        array, shape, dtype = out[port.name], shape_of(port, sizes), np.dtype(port.dtype)
        if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != (shape, dtype):
            found = (
                f"{array.dtype} {list(array.shape)}"
                if isinstance(array, np.ndarray)
                else type(array).__name__
            )
            raise InputError(
                f"this push gives {dtype} {list(shape)}, and `out` is {found}",
                where=f"output {port.name!r} {shape_text(port)}",
                fix=f"np.empty({shape}, np.{dtype}), once, and use it again and again",
            )
        if not array.flags.writeable:
            raise InputError(
                "`out` cannot be written to",
                where=f"output {port.name!r} {shape_text(port)}",
                fix="give an array that owns its memory, or a copy of this one",
            )
    return {name: out[name] for name in names}
