"""Turns inputs that never change, such as a sample rate, into stored values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.files import Declared, Original
from rnnedge.adoption.options import Array, Value
from rnnedge.adoption.rewrite import remove_input


def frozen_values(original: Original, values: Mapping[str, Value]) -> dict[str, Array]:
    """The values as arrays of their inputs' types.

    Raises:
        AdoptionError: a value does not fit its input.
    """
    return {
        name: fitted(np.asarray(value), original.inputs[name], f"--set {name}")
        for name, value in values.items()
    }


def fitted(array: Array, port: Declared, where: str) -> Array:
    """The array in the port's element type.

    Raises:
        AdoptionError: the type cannot hold the value exactly, or the shape is another one.
    """
    with np.errstate(all="ignore"):
        cast = array.astype(port.dtype)
    # float32 may round a decimal fraction; nothing else may change.
    exact = cast.dtype.kind == "f" or np.array_equal(cast, array)
    if not exact or not np.isfinite(array).all():
        raise AdoptionError(
            f"{array.tolist()} cannot be held as {port.dtype}",
            where=where,
            fix=f"give a finite value of type {port.dtype}",
        )
    fits = port.shape is None or (
        len(port.shape) == array.ndim
        and all(
            not isinstance(d, int) or d == n for d, n in zip(port.shape, array.shape, strict=True)
        )
    )
    if not fits:
        raise AdoptionError(
            f"the value has shape {list(array.shape)}, {port} expected",
            where=where,
            fix="give a list with these axes, or a .npy file",
        )
    return cast


def freeze(model: onnx.ModelProto, values: Mapping[str, Array]) -> None:
    """Edits `model`: the inputs become initializers."""
    for name, value in values.items():
        remove_input(model.graph, name)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
