"""Random signals, and parts of signals: frames and rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnedge.adoption.options import Array
from rnnedge_runtime.contract import BATCH, TIME, Port, State, dim_factor


def random_array(random: np.random.Generator, dtype: str, shape: Sequence[int]) -> Array:
    """Floats of variance 1; of any other type 0 and 1, which every table of values has."""
    if np.dtype(dtype).kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)


def sizes_of(tensor: Port | State, batch: int, frames: int) -> list[int]:
    """The shape in numbers."""
    return [
        d if isinstance(d, int) else dim_factor(d, BATCH) * batch + dim_factor(d, TIME) * frames
        for d in tensor.shape
    ]


def frames_from(port: Port, array: Array, start: int) -> Array:
    """The frames from `start` on."""
    axis = port.time_axis
    if axis is None:
        return array
    first = start * dim_factor(port.shape[axis], TIME)
    return array[(slice(None),) * axis + (slice(first, None),)]


def one_row(tensor: Port | State, array: Array, row: int, batch: int) -> Array:
    """One row, batch axis kept; a folded axis of ``F*batch`` is ``[outer, batch, F / outer]``."""
    axis = tensor.batch_axis
    if axis is None:
        return array
    outer = tensor.batch_outer if isinstance(tensor, State) else 1
    shape = array.shape
    inner = shape[axis] // (outer * batch)
    split = array.reshape(*shape[:axis], outer, batch, inner, *shape[axis + 1 :])
    return split.take(row, axis + 1).reshape(*shape[:axis], outer * inner, *shape[axis + 1 :])


def distance(a: Array, b: Array) -> float:
    """The largest absolute difference."""
    if not a.size:
        return 0.0
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
